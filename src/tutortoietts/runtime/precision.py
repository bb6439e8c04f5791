"""Numeric precision of the models: one name for a user, a choice for each device.

auto   fp16 on a CUDA GPU of compute capability 7 or more, otherwise fp32
fp32, bf16, fp16   weights and activations of all models except vocoders, which stay in float32 (but with AMX their
             convolutions multiply 16-bit numbers: `native.vocoder_conv`)
int8, int4   weights of the autoregressive model (`nn.quant`), which decoding reads again for every code. The other
             models run in half precision where the device is fast at it; the diffusion and CLVP in 8 bits on a CPU
             that is faster at those (`native.layer_chain`)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tutortoietts.core.errors import OptionError
from tutortoietts.native.layer_chain import has_integer_products

__all__ = ["PRECISIONS", "Precision", "pick_precision", "plain_precision"]

PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8", "int4")
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_QUANTIZED = {"cpu": ("int8", "int4"), "cuda": ("int8", "int4"), "mps": ("int8",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """Numeric types of each model.

    dtype: that of all models but the vocoders. decoder: that of the autoregressive model. weights: "int8" or "int4" for
    the autoregressive model's; others: "int8" for those of the diffusion and of CLVP. half_products: vocoders may
    multiply 16-bit numbers.
    """

    name: str
    dtype: torch.dtype
    decoder: torch.dtype
    weights: str | None = None
    others: str | None = None
    half_products: bool = False

    def of(self, part: str) -> str | None:
        """Return the `precision` to which `accelerate` brings a model: None keeps the dtype of its weights."""
        if part in ("vocoder", "stream_decoder"):
            return "bf16" if self.half_products else None
        return {"autoregressive": self.weights, "diffusion": self.others, "clvp": self.others}.get(part)


def pick_precision(name: str, half: bool, device: torch.device) -> Precision:
    """Return the types that `name`, one of `PRECISIONS`, or the older switch `half` means on this device.

    Raises OptionError for another name, for two that contradict each other, and for types that the device cannot use.
    """
    if name not in PRECISIONS:
        raise OptionError(f"precision is {name!r}, must be one of {', '.join(PRECISIONS)}")
    if half:
        usual = "bf16" if device.type == "cpu" else "fp16"
        if name not in ("auto", usual):
            raise OptionError(f"half=True means precision {usual!r} on {device}, not {name!r}: give one of them")
        name = usual
    if name == "auto":
        name = "fp16" if device.type == "cuda" and _capability(device) >= 7 else "fp32"
    if name in _DTYPES:
        if name == "fp16" and device.type == "cpu":
            raise OptionError("precision 'fp16' is for GPUs, and slow on a CPU: use 'bf16'")
        return plain_precision(name, _DTYPES[name])
    if name not in _QUANTIZED.get(device.type, ()):
        raise OptionError(f"precision {name!r} has no kernels for {device}: use 'fp16' or 'fp32'")
    if device.type == "cpu":
        half, others = _has_amx(), "int8" if has_integer_products() else None
        dtype = torch.bfloat16 if half and others is None else torch.float32
        return Precision(name=name, dtype=dtype, decoder=torch.float32, weights=name, others=others, half_products=half)
    if name == "int4" and device.type == "cuda" and _capability(device) < 8:
        raise OptionError(f"precision 'int4' has kernels for GPUs of capability 8 and more, not {device}: use 'int8'")
    dtype = torch.float16 if device.type != "cuda" or _capability(device) >= 7 else torch.float32
    decoder = torch.bfloat16 if device.type == "cuda" else dtype  # what the int4 kernel of CUDA takes
    return Precision(name=name, dtype=dtype, decoder=decoder, weights=name)


def plain_precision(name: str, dtype: torch.dtype) -> Precision:
    """Return the precision in which all models have this type."""
    return Precision(name=name, dtype=dtype, decoder=dtype, half_products=dtype == torch.bfloat16)


def _capability(device: torch.device) -> int:
    return torch.cuda.get_device_capability(device)[0]


def _has_amx() -> bool:
    """Return True if this CPU has AMX, and so multiplies bfloat16 matrices faster than float32 ones."""
    known = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(known is not None and known())
