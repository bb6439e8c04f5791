"""Linear layers with weights of 8 or 4 bits: a step reads a half or a quarter of the bytes of half precision.

int8  one scale for each output channel. On a CPU the input is rounded too, each row by its own largest number, and the
      sum is exact in integers: a row's result has the same bits in any batch.
int4  one scale and offset for every 64 weights of a channel (w = (q - 8) * scale + offset); the input is bfloat16.

`int8_weights`, `int4_weights` and their inverses are the arithmetic; a plain Linear over the dequantized weights is the
reference of every kernel here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.errors import OptionError
from tutortoietts.nn.blocks import TimeConv, stacked_taps
from tutortoietts.nn.gpt import FewRowsLinear

__all__ = [
    "GROUP",
    "Int4Linear",
    "Int8Linear",
    "Int8RowsLinear",
    "Int8TimeConv",
    "QuantLinear",
    "RoundedLinear",
    "WeightInt8Linear",
    "int8_linear",
    "quantize",
]

GROUP = 64  # weights that share a scale in int4
_LEVELS8 = 127
_FBGEMM = "linear_with_input_q_dq_qweight_dq_output_fp32"
_TILES = 8  # tiles of 16 inputs that CUDA's int4 layout interleaves
_FEW = 8  # most rows for which the weight-only int8 kernel is faster


def int8_weights(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round weight (N, K) to q (N, K) int8 in -127..127 and scale (N,) float32: weight is about q * scale."""
    weight = weight.float()
    scale = weight.abs().amax(dim=1).clamp_min(1e-12) / _LEVELS8
    return (weight / scale[:, None]).round_().clamp_(-_LEVELS8, _LEVELS8).to(torch.int8), scale


def int8_inverse(q: Tensor, scale: Tensor) -> Tensor:
    """Return the weight (N, K) float32 that q and scale represent."""
    return q.float() * scale[:, None]


def rounded_rows(x: Tensor) -> Tensor:
    """Return x (..., K) with each row rounded to 8 bits by its own largest number, as float32."""
    size = x.float().abs().amax(dim=-1, keepdim=True)
    return (x.float() * (_LEVELS8 / size).nan_to_num(posinf=0.0)).round() * (size / _LEVELS8)


def int4_weights(weight: Tensor, group: int = GROUP) -> tuple[Tensor, Tensor]:
    """Round weight (N, K) to q (N, K) uint8 in 0..15 and (K / group, N, 2) bfloat16: scale and offset of each group."""
    groups = weight.float().view(weight.shape[0], -1, group)
    low, high = groups.amin(dim=2), groups.amax(dim=2)
    scale = ((high - low) / 15).clamp_min(1e-12).bfloat16()
    offset = (low + 8 * scale.float()).bfloat16()
    q = ((groups - offset.float()[..., None]) / scale.float()[..., None]).round_().add_(8).clamp_(0, 15)
    return q.flatten(1).to(torch.uint8), torch.stack([scale, offset], dim=-1).transpose(0, 1).contiguous()


def int4_inverse(q: Tensor, scales: Tensor) -> Tensor:
    """Return the weight (N, K) float32 that q and the groups' scales and offsets represent."""
    scale, offset = scales.float().transpose(0, 1).unsqueeze(-1).unbind(2)
    groups = (q.float() - 8).view(q.shape[0], scales.shape[0], -1)
    return (groups * scale + offset).flatten(1)


class QuantLinear(nn.Module):
    """Linear layer x (..., K) -> (..., N) in x's dtype, for inference on the device of the original layer."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        bias = torch.zeros(linear.out_features, device=linear.weight.device) if linear.bias is None else linear.bias
        self.register_buffer("bias", bias.detach().clone())
        self.bias: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of weights that one forward reads."""
        raise NotImplementedError

    def _rows(self, rows: Tensor) -> Tensor:
        """Return (M, N) for rows (M, K)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self._rows(x.reshape(-1, self.in_features)).to(x.dtype).view(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}"


class RoundedLinear(QuantLinear):
    """8-bit weights in rows, q (N, taps * K), with scale (N,) and the sums (taps, N) of each tap's integers; inputs are
    rounded to 8 bits, each row by its own largest number."""

    def __init__(self, linear: nn.Linear, kernel_size: int = 1) -> None:
        super().__init__(linear)
        self.kernel_size = kernel_size
        self.bias = self.bias.float()
        q, scale = int8_weights(linear.weight)
        self.register_buffer("q", q)
        self.register_buffer("scale", scale)
        sums = q.view(len(q), kernel_size, -1).sum(dim=2, dtype=torch.int32)
        self.register_buffer("sums", sums.t().contiguous())
        self.q: Tensor
        self.scale: Tensor
        self.sums: Tensor

    @property
    def nbytes(self) -> int:
        return self.q.nbytes + 4 * (self.kernel_size + 2) * self.out_features


class Int8RowsLinear(RoundedLinear):
    """Linear layer over rounded rows; this forward is the reference, with the same sums in float32."""

    def _rows(self, rows: Tensor) -> Tensor:
        return self.reference(rows)

    def reference(self, rows: Tensor) -> Tensor:
        """Return (M, N) float32 from rows (M, K)."""
        return F.linear(rounded_rows(rows), int8_inverse(self.q, self.scale), self.bias)


class Int8TimeConv(RoundedLinear):
    """`TimeConv` of stride 1 over rounded frames; this forward is the reference, with the same sums in float32."""

    def __init__(self, conv: TimeConv) -> None:
        super().__init__(conv, conv.kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        taps = stacked_taps(rounded_rows(x), self.kernel_size)
        return F.linear(taps, int8_inverse(self.q, self.scale), self.bias).to(x.dtype)


class Int8Linear(QuantLinear):
    """Linear layer by fbgemm on x86 CPUs: rows are scaled to -1..1, rounded to 8 bits (7 without VNNI), and summed in
    integers."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.bias = self.bias.float()
        q, scale = int8_weights(linear.weight)
        with warnings.catch_warnings():  # torch means to retire the kind of tensor that is packed here
            warnings.simplefilter("ignore")
            zeros = torch.zeros(len(scale), dtype=torch.int64)
            tensor = torch._make_per_channel_quantized_tensor(q, scale.double(), zeros, 0)
            self.packed = torch.ops.quantized.linear_prepack(tensor, None)
        self.steps, self.zero = (127, 128) if _has_vnni() else (63, 64)  # without VNNI, sums of two products saturate
        self.product = getattr(torch.ops.quantized, _FBGEMM).default

    @staticmethod
    def works() -> bool:
        """Return True if this torch has fbgemm for this machine."""
        present = hasattr(torch, "_make_per_channel_quantized_tensor") and hasattr(torch.ops.quantized, _FBGEMM)
        return present and torch.backends.quantized.engine in ("x86", "fbgemm")

    @property
    def nbytes(self) -> int:
        return self.in_features * self.out_features + 8 * self.out_features

    def forward(self, x: Tensor) -> Tensor:
        # few calls: between two weights of some megabytes, each call starts with cold caches
        rows = x if x.dtype == torch.float32 else x.float()
        size = rows.abs().amax(dim=-1, keepdim=True)  # 0 / 0 is rounded to some number, then multiplied by 0
        y = self.product(rows / size, 1 / self.steps, self.zero, self.packed)
        y = torch.addcmul(self.bias, y, size)
        return y if x.dtype == torch.float32 else y.to(x.dtype)


class WeightInt8Linear(QuantLinear):
    """Linear layer with rounded weights and exact inputs, for other devices: torch's kernel for few rows on a CPU,
    otherwise the weight is expanded. On a CUDA GPU torch's kernel takes ten times as long as that."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        q, scale = int8_weights(linear.weight)
        self.register_buffer("q", q)
        self.register_buffer("scale", scale.to(linear.weight.dtype))
        self.q: Tensor
        self.scale: Tensor
        has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key("aten::_weight_int8pack_mm", "CPU")
        self.kernel = has_kernel and q.device.type == "cpu"

    @property
    def nbytes(self) -> int:
        return self.q.numel() + self.scale.numel() * (self.scale.element_size() + self.bias.element_size())

    def _rows(self, rows: Tensor) -> Tensor:
        if self.kernel and rows.shape[0] <= _FEW:
            y = torch._weight_int8pack_mm(rows.bfloat16(), self.q, self.scale.bfloat16())
            return self.bias + y
        return torch.addcmul(self.bias, F.linear(rows, self.q.to(rows.dtype)), self.scale.to(rows.dtype))


class Int4Linear(QuantLinear):
    """Linear layer with 4-bit weights by torch's kernels for CPUs and CUDA GPUs, for the device of the Linear."""

    def __init__(self, linear: nn.Linear, group: int = GROUP) -> None:
        super().__init__(linear)
        self.group = group
        q, scales = int4_weights(linear.weight, group)
        self.register_buffer("packed", _pack4(q))
        self.register_buffer("scales", scales)
        self.packed: Tensor
        self.scales: Tensor
        self.product: Callable[..., Tensor] = _product4(q.device.type)

    @staticmethod
    def fits(linear: nn.Linear, group: int = GROUP) -> bool:
        """Return True if the kernels take a layer of this shape."""
        return linear.in_features % (16 * _TILES) == 0 and linear.out_features % 16 == 0 and 128 % group == 0

    @property
    def nbytes(self) -> int:
        return self.in_features * self.out_features // 2 + 2 * self.scales.numel() + 4 * self.out_features

    def _rows(self, rows: Tensor) -> Tensor:
        return self.bias + self.product(rows.bfloat16(), self.packed, self.group, self.scales)


def _pack4(q: Tensor) -> Tensor:
    """Pack q (N, K) uint8 in 0..15 in the layout of its device's kernel."""
    if q.device.type == "cpu":
        packed: Tensor = torch.ops.aten._convert_weight_to_int4pack_for_cpu(q.int(), _TILES)
    else:
        pairs = q[:, ::2] << 4 | q[:, 1::2]
        packed = torch.ops.aten._convert_weight_to_int4pack(pairs.contiguous(), _TILES)
    return packed


def _product4(device: str) -> Any:
    if device == "cpu":
        return torch.ops.aten._weight_int4pack_mm_for_cpu
    return torch.ops.aten._weight_int4pack_mm


Int8Maker = Callable[[nn.Linear], QuantLinear]


def quantize(module: nn.Module, precision: str, int8: Int8Maker | None = None) -> nn.Module:
    """Quantize the weights of a module in place, for the device it is on, and return it; a Linear alone is replaced.

    Every plain `nn.Linear` and `FewRowsLinear` is replaced, and on a CPU in int8 every `TimeConv` of stride 1.
    precision: "int8" or "int4"; a layer that the int4 kernels cannot take becomes int8. int8: makes an int8 layer;
    default `int8_linear`. Raises OptionError for another precision, or for int4 on another device than CPU and CUDA.
    """
    if precision not in ("int8", "int4"):
        raise OptionError(f"weights cannot be {precision!r}: must be int8 or int4")
    if isinstance(module, TimeConv) and module.stride == 1 and precision == "int8":
        return Int8TimeConv(module) if module.weight.device.type == "cpu" else module
    if isinstance(module, nn.Linear) and type(module) in (nn.Linear, FewRowsLinear):  # subclasses do more
        return _layer(module, precision, int8 or int8_linear)
    for name, child in module.named_children():
        setattr(module, name, quantize(child, precision, int8))
    return module


def _layer(linear: nn.Linear, precision: str, int8: Int8Maker) -> QuantLinear:
    device = linear.weight.device.type
    if precision == "int4":
        if device not in ("cpu", "cuda"):
            raise OptionError(f"precision int4 has kernels for cpu and cuda, not for {device}: use int8 or fp16")
        if Int4Linear.fits(linear):
            return Int4Linear(linear)
    return int8(linear)


def int8_linear(linear: nn.Linear) -> QuantLinear:
    """Return the fastest int8 layer of torch for the device that the Linear is on."""
    on_cpu = linear.weight.device.type == "cpu"
    return Int8Linear(linear) if on_cpu and Int8Linear.works() else WeightInt8Linear(linear)


def _has_vnni() -> bool:
    known = getattr(torch.cpu, "_is_vnni_supported", None)
    return bool(known is not None and known())
