"""Linear layers with weights of 8 or 4 bits: what a step reads is a half or a quarter of half precision.

int8  one scale for each output channel. On a CPU the input is rounded too, each row by its own largest number, and the
      sum is exact in whole numbers: a row's result is the same bits in any batch. By kernels.c, or by fbgemm.
int4  one scale and offset for every 64 weights of a channel (w = (q - 8) * scale + offset); the input is bfloat16.

`int8_weights`, `int4_weights` and their inverses are the arithmetic; a plain Linear over the dequantised weights is the
oracle of every kernel here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.errors import OptionError
from tutortoietts.native import kernels
from tutortoietts.nn.blocks import TimeConv, stacked_taps
from tutortoietts.nn.linear import FewRowsLinear

__all__ = [
    "GROUP",
    "Int4Linear",
    "Int8Linear",
    "Int8RowsLinear",
    "Int8TimeConv",
    "QuantLinear",
    "RoundedLinear",
    "WeightInt8Linear",
    "quantize",
]

GROUP = 64  # weights that share a scale in int4
_LEVELS8 = 127
_FBGEMM = "linear_with_input_q_dq_qweight_dq_output_fp32"
_TILES = 8  # of 16 inputs each, how CUDA's int4 layout is interleaved
_FEW = 8  # rows up to which the weight-only int8 kernel is the faster one


def int8_weights(weight: Tensor) -> tuple[Tensor, Tensor]:
    """weight (N, K) -> q (N, K) int8 of -127..127 and scale (N,) float32, so that weight = q * scale or nearly so."""
    weight = weight.float()
    scale = weight.abs().amax(dim=1).clamp_min(1e-12) / _LEVELS8
    return (weight / scale[:, None]).round_().clamp_(-_LEVELS8, _LEVELS8).to(torch.int8), scale


def int8_inverse(q: Tensor, scale: Tensor) -> Tensor:
    """The weight (N, K) float32 that q and scale stand for."""
    return q.float() * scale[:, None]


def rounded_rows(x: Tensor) -> Tensor:
    """x (..., K) as it is with each row in 8 bits, float32."""
    size = x.float().abs().amax(dim=-1, keepdim=True)
    return (x.float() * (_LEVELS8 / size).nan_to_num(posinf=0.0)).round() * (size / _LEVELS8)


def int4_weights(weight: Tensor, group: int = GROUP) -> tuple[Tensor, Tensor]:
    """weight (N, K) -> q (N, K) uint8 of 0..15 and (K / group, N, 2) bfloat16: scale and offset of each group."""
    groups = weight.float().view(weight.shape[0], -1, group)
    low, high = groups.amin(dim=2), groups.amax(dim=2)
    scale = ((high - low) / 15).clamp_min(1e-12).bfloat16()
    offset = (low + 8 * scale.float()).bfloat16()
    q = ((groups - offset.float()[..., None]) / scale.float()[..., None]).round_().add_(8).clamp_(0, 15)
    return q.flatten(1).to(torch.uint8), torch.stack([scale, offset], dim=-1).transpose(0, 1).contiguous()


def int4_inverse(q: Tensor, scales: Tensor) -> Tensor:
    """The weight (N, K) float32 that q and the groups' scales and offsets stand for."""
    scale, offset = scales.float().transpose(0, 1).unsqueeze(-1).unbind(2)
    groups = (q.float() - 8).view(q.shape[0], scales.shape[0], -1)
    return (groups * scale + offset).flatten(1)


class QuantLinear(nn.Module):
    """x (..., K) -> (..., N) in x's dtype, as `nn.Linear`. For inference on the device it was made for."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        bias = torch.zeros(linear.out_features, device=linear.weight.device) if linear.bias is None else linear.bias
        self.register_buffer("bias", bias.detach().clone())
        self.bias: Tensor

    @property
    def nbytes(self) -> int:
        """What one forward reads of weights."""
        raise NotImplementedError

    def _rows(self, rows: Tensor) -> Tensor:
        """(M, K) -> (M, N)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self._rows(x.reshape(-1, self.in_features)).to(x.dtype).view(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}"


class RoundedLinear(QuantLinear):
    """On CPUs, in C: inputs are rounded to 8 bits, each row by its own largest number. The weight stays in rows,
    (N, taps * K), with the sums of each tap (taps, N)."""

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

    def described(self) -> kernels.LinearC:
        """As the kernels want it, good as long as this layer lives where it is."""
        pointers = {name: getattr(self, name).data_ptr() for name in ("scale", "sums", "bias")}
        shape = {"inputs": self.in_features // self.kernel_size, "outputs": self.out_features}
        return kernels.LinearC(weight=self.q.data_ptr(), kind=kernels.KINDS[torch.int8], **pointers, **shape)


class Int8RowsLinear(RoundedLinear):
    """By kernels.c: inputs (M, K)."""

    @staticmethod
    def fits(linear: nn.Linear) -> bool:
        """Whether the kernel is at hand and takes a layer of this shape."""
        return linear.in_features % 16 == 0 and kernels.library() is not None

    def _rows(self, rows: Tensor) -> Tensor:
        library = kernels.library()
        if library is None:
            return self.slowly(rows)
        layer, rows, threads = self.described(), rows.float().contiguous(), torch.get_num_threads()
        y = torch.empty(len(rows), self.out_features)
        space = kernels.scratch(library.linear_bytes(layer, len(rows), threads))
        library.linear(layer, rows.data_ptr(), y.data_ptr(), len(rows), space.data_ptr(), threads)
        return y

    def slowly(self, rows: Tensor) -> Tensor:
        """The oracle: the same sums in float32."""
        return F.linear(rounded_rows(rows), int8_inverse(self.q, self.scale), self.bias)


class Int8TimeConv(RoundedLinear):
    """A `TimeConv` of stride 1, each frame a row. This forward is the oracle of frames.c, which works on the numbers
    themselves."""

    def __init__(self, conv: TimeConv) -> None:
        super().__init__(conv, conv.kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        taps = stacked_taps(rounded_rows(x), self.kernel_size)
        return F.linear(taps, int8_inverse(self.q, self.scale), self.bias).to(x.dtype)


class Int8Linear(QuantLinear):
    """On x86 CPUs, by fbgemm: rows are scaled to -1..1, rounded to 8 bits (7 without VNNI), summed in whole numbers."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.bias = self.bias.float()
        q, scale = int8_weights(linear.weight)
        with warnings.catch_warnings():  # the packed weight is made from a kind of tensor that torch means to retire
            warnings.simplefilter("ignore")
            zeros = torch.zeros(len(scale), dtype=torch.int64)
            tensor = torch._make_per_channel_quantized_tensor(q, scale.double(), zeros, 0)
            self.packed = torch.ops.quantized.linear_prepack(tensor, None)
        self.steps, self.zero = (127, 128) if _has_vnni() else (63, 64)  # without it, sums of two products are cut
        self.product = getattr(torch.ops.quantized, _FBGEMM).default

    @staticmethod
    def works() -> bool:
        """Whether this torch and this machine have it."""
        made = hasattr(torch, "_make_per_channel_quantized_tensor") and hasattr(torch.ops.quantized, _FBGEMM)
        return made and torch.backends.quantized.engine in ("x86", "fbgemm")

    @property
    def nbytes(self) -> int:
        return self.in_features * self.out_features + 8 * self.out_features

    def forward(self, x: Tensor) -> Tensor:
        """As few calls as can be: between two weights of some megabytes each one starts with cold caches."""
        rows = x if x.dtype == torch.float32 else x.float()
        size = rows.abs().amax(dim=-1, keepdim=True)  # 0: NaN is rounded to some number, times 0
        y = self.product(rows / size, 1 / self.steps, self.zero, self.packed)
        y = torch.addcmul(self.bias, y, size)
        return y if x.dtype == torch.float32 else y.to(x.dtype)


class WeightInt8Linear(QuantLinear):
    """Elsewhere: only the weight is rounded. torch's kernel for few rows where it has one, else the weight expanded."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        q, scale = int8_weights(linear.weight)
        self.register_buffer("q", q)
        self.register_buffer("scale", scale.to(linear.weight.dtype))
        self.q: Tensor
        self.scale: Tensor
        device = q.device.type.upper()
        compiled = torch._C._dispatch_has_kernel_for_dispatch_key("aten::_weight_int8pack_mm", device)
        self.kernel = compiled and device in ("CPU", "CUDA")

    @property
    def nbytes(self) -> int:
        return self.q.numel() + self.scale.numel() * (self.scale.element_size() + self.bias.element_size())

    def _rows(self, rows: Tensor) -> Tensor:
        if self.kernel and rows.shape[0] <= _FEW:
            y = torch._weight_int8pack_mm(rows.bfloat16(), self.q, self.scale.bfloat16())
            return self.bias + y
        return self.bias + F.linear(rows, self.q.to(rows.dtype)) * self.scale.to(rows.dtype)


class Int4Linear(QuantLinear):
    """On CPUs and CUDA GPUs, by torch's kernels, whose layouts differ: made for the device that the Linear is on."""

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
        """Whether the kernels take a layer of this shape."""
        return linear.in_features % (16 * _TILES) == 0 and linear.out_features % 16 == 0 and 128 % group == 0

    @property
    def nbytes(self) -> int:
        return self.in_features * self.out_features // 2 + 2 * self.scales.numel() + 4 * self.out_features

    def _rows(self, rows: Tensor) -> Tensor:
        return self.bias + self.product(rows.bfloat16(), self.packed, self.group, self.scales)


def _pack4(q: Tensor) -> Tensor:
    """q (N, K) uint8 of 0..15 in the layout of its device's kernel."""
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


def quantize(module: nn.Module, precision: str) -> nn.Module:
    """`module` itself with every plain Linear inside replaced, for the device it is on; a Linear alone gives another.
    On a CPU in int8 every `TimeConv` of stride 1 too.

    precision "int8" or "int4"; a layer that the int4 kernels cannot take becomes int8. Raises OptionError.
    """
    if precision not in ("int8", "int4"):
        raise OptionError(f"weights cannot be {precision!r}: must be int8 or int4")
    if isinstance(module, TimeConv) and module.stride == 1 and precision == "int8":
        return Int8TimeConv(module) if module.weight.device.type == "cpu" else module
    if isinstance(module, nn.Linear) and type(module) in (nn.Linear, FewRowsLinear):  # others do more than multiply
        return _layer(module, precision)
    for name, child in module.named_children():
        setattr(module, name, quantize(child, precision))
    return module


def _layer(linear: nn.Linear, precision: str) -> QuantLinear:
    device = linear.weight.device.type
    if precision == "int4":
        if device not in ("cpu", "cuda"):
            raise OptionError(f"precision int4 has kernels for cpu and cuda, not for {device}: use int8 or fp16")
        if Int4Linear.fits(linear):
            return Int4Linear(linear)
    if device == "cpu" and Int8RowsLinear.fits(linear):
        return Int8RowsLinear(linear)
    return Int8Linear(linear) if device == "cpu" and Int8Linear.works() else WeightInt8Linear(linear)


def _has_vnni() -> bool:
    known = getattr(torch.cpu, "_is_vnni_supported", None)
    return bool(known is not None and known())
