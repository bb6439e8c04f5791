"""In which numbers the models are kept: one name for a user, a choice for each device.

auto   fp16 on a CUDA GPU of compute capability 7 or more, otherwise fp32
fp32, bf16, fp16   weights and activations of all models but the vocoders, which stay in float32 (but for what a CPU's
             matrix unit multiplies in half precision: 16 bits, `nn.convolve`)
int8, int4   the autoregressive model's weights (`nn.quant`), which decoding reads again for every code; the other
             models in half precision where the device is fast at it
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tutortoietts.core.errors import OptionError

__all__ = ["PRECISIONS", "Precision", "pick_precision"]

PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8", "int4")
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_QUANTISED = {"cpu": ("int8", "int4"), "cuda": ("int8", "int4"), "mps": ("int8",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """`dtype` of all models but the vocoders; `decoder` that of the autoregressive model, whose weights may be
    `weights` "int8" or "int4"."""

    name: str
    dtype: torch.dtype
    decoder: torch.dtype
    weights: str | None = None


def pick_precision(name: str, half: bool, device: torch.device) -> Precision:
    """What `name`, one of `PRECISIONS`, or the older switch `half` means on this device.

    Raises OptionError for another name, for two that contradict each other, and for what the device cannot do.
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
        return Precision(name=name, dtype=_DTYPES[name], decoder=_DTYPES[name])
    if name not in _QUANTISED.get(device.type, ()):
        raise OptionError(f"precision {name!r} has no kernels for {device}: use 'fp16' or 'fp32'")
    if device.type == "cpu":
        others = torch.bfloat16 if _matrix_unit() else torch.float32
        return Precision(name=name, dtype=others, decoder=torch.float32, weights=name)
    others = torch.float16 if device.type != "cuda" or _capability(device) >= 7 else torch.float32
    decoder = torch.bfloat16 if device.type == "cuda" else others  # what the int4 kernel of CUDA takes
    return Precision(name=name, dtype=others, decoder=decoder, weights=name)


def _capability(device: torch.device) -> int:
    return torch.cuda.get_device_capability(device)[0]


def _matrix_unit() -> bool:
    """Whether this CPU multiplies bfloat16 matrices faster than float32 ones."""
    known = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(known is not None and known())
