"""Convolutions over samples with their activations on a CPU, in C (vocoder_conv.c): HiFi-GAN's upsampling network.

Channels lie side by side in planes of 32, so that a convolution reads its operand in its own layout; a transposed
convolution is a convolution with a set of outputs for each phase. Activation, convolution, activation, convolution and
the sum with the input are done tile by tile, in a processor's cache. A part of a signal has the same bits as the whole.

Operands are float32; or, for AMX, `split` into the sum of two bfloat16 numbers: 16 bits, three products for one, and
still two to three times as fast. Sums, activations and the signals between the layers are float32.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, c_float, c_int64, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tutortoietts.native.build import library

__all__ = [
    "Activation",
    "Layer",
    "Pair",
    "Upsampler",
    "can_convolve",
    "convolution",
    "leaky",
    "snake",
    "transposed_convolution",
]

_SOURCE = Path(__file__).with_name("vocoder_conv.c")
_PLANE = 32
_FEWEST, _NUMBERS = 64, 1 << 16  # rows of a tile at least; numbers of a tile at most, where it has more rows


class _Layer(ctypes.Structure):
    _fields_ = (
        ("weights", c_void_p),
        ("bias", c_void_p),
        *((name, c_int64) for name in ("inputs", "outputs", "taps", "dilation", "before", "split")),
    )


class _Activation(ctypes.Structure):
    _fields_ = (
        ("kind", c_int64),
        ("slope", c_float),
        *((name, c_void_p) for name in ("rate", "share", "taps")),
    )


def can_convolve(split: bool = False) -> bool:
    """Return True if there is a C compiler and AVX2, and for `split` AMX for bfloat16."""
    found = _functions()
    return found is not None and bool(found.has_vectors()) and (not split or bool(found.has_amx()))


def _functions() -> ctypes.CDLL | None:
    """Return the compiled functions of vocoder_conv.c, or None; the arguments are explained there."""
    found = library(_SOURCE)
    if found is None:
        return None
    layer: Any = POINTER(_Layer)
    activation: Any = POINTER(_Activation)
    numbers: list[Any] = [c_int64] * 5
    scratch: list[Any] = [c_int64, c_void_p, c_int64]
    for name in ("has_vectors", "has_amx", "scratch_convolve", "scratch_pair"):
        getattr(found, name).restype = c_int64
    found.scratch_convolve.argtypes = (layer, c_int64)
    found.scratch_pair.argtypes = (layer, layer, c_int64)
    found.convolve.argtypes = (c_void_p, c_int64, layer, activation, c_void_p, *numbers, *scratch)
    layers = [layer, activation, layer, activation]
    found.pair.argtypes = (c_void_p, c_int64, *layers, c_void_p, c_float, c_int64, *scratch)
    found.convolve.restype = found.pair.restype = None
    return found


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Activation:
    """Activation of a layer's input: none, a leaky ReLU, or a snake with `tensors` rate, share and taps."""

    slope: float = 1.0
    tensors: tuple[Tensor, ...] = ()

    def struct(self) -> _Activation:
        """Return the C structure, which is valid while this object lives."""
        kind = 2 if self.tensors else int(self.slope != 1)
        return _Activation(kind, self.slope, *(values.data_ptr() for values in self.tensors))


def leaky(slope: float) -> Activation:
    """Return a leaky ReLU; slope 1: no activation."""
    return Activation(slope=slope)


def snake(alpha: Tensor, beta: Tensor, taps: Tensor) -> Activation:
    """Return x + sin^2(x alpha) / beta, alpha and beta (C,), at twice the rate; the filter `taps` (12,) doubles and
    halves the rate."""
    rate, share = (_padded(values.detach().float(), 0) for values in (alpha / torch.pi, 1 / beta))
    return Activation(tensors=(rate, share, taps.detach().float().contiguous()))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Layer:
    """A convolution, or a transposed one with `rate` outputs for each input, of which the first `cut` are dropped.

    weights (outputs, taps, inputs, ...), in planes: see `_packed`. width: output channels. before: the first tap of
    output t is at input t - before. kernel: taps of the transposed convolution, at its output's rate.
    """

    weights: Tensor
    bias: Tensor
    split: bool
    width: int
    before: int
    dilation: int = 1
    rate: int = 1
    cut: int = 0
    kernel: int = 1

    def struct(self, bias: Tensor | None = None) -> _Layer:
        """Return the C structure, with another bias if given; valid while this object and `bias` live."""
        outputs, taps, inputs = self.weights.shape[:3]
        return _Layer(
            weights=self.weights.data_ptr(),
            bias=(self.bias if bias is None else bias).data_ptr(),
            inputs=inputs,
            outputs=outputs,
            taps=taps,
            dilation=self.dilation,
            before=self.before,
            split=self.split,
        )


def convolution(weight: Tensor, bias: Tensor | None, *, padding: int, dilation: int = 1, split: bool = False) -> Layer:
    """Return a convolution of stride 1 with zero padding: weight (out, in, taps), bias (out,)."""
    weight, width = weight.detach().float(), weight.shape[0]
    weights = _packed(_padded(_padded(weight, 0), 1), split)
    place = {"before": padding, "dilation": dilation}
    return Layer(weights=weights, bias=_padded_bias(bias, width), split=split, width=width, **place)


def transposed_convolution(
    weight: Tensor, bias: Tensor | None, *, stride: int, padding: int, split: bool = False
) -> Layer:
    """Return a transposed convolution: weight (in, out, taps), bias (out,)."""
    weight, width, kernel = weight.detach().float(), weight.shape[1], weight.shape[2]
    taps = -(-kernel // stride)
    weight = _padded(_padded(F.pad(weight, (0, taps * stride - kernel)), 0), 1)
    phases = weight.view(*weight.shape[:2], taps, stride).flip(2).permute(3, 1, 0, 2).flatten(0, 1)
    place = {"before": taps - 1, "rate": stride, "cut": padding, "kernel": kernel}
    bias = _padded_bias(bias, width).repeat(stride)
    return Layer(weights=_packed(phases, split), bias=bias, split=split, width=width, **place)


def _padded_bias(bias: Tensor | None, width: int) -> Tensor:
    return _padded(torch.zeros(width) if bias is None else bias.detach().float(), 0)


def _packed(weight: Tensor, split: bool) -> Tensor:
    """Return weights by planes: (N, C, taps), N and C multiples of 32 -> (N / 32, taps, C / 32, ...).

    The rest is (32 inputs, 32 outputs) float32; or, if split, (2, 2, 16, 16, 2) bfloat16: low numbers, then high ones,
    each two tiles of 16 outputs with 16 pairs of inputs.
    """
    outputs, inputs, taps = weight.shape[0] // _PLANE, weight.shape[1] // _PLANE, weight.shape[2]
    if not split:
        return weight.reshape(outputs, _PLANE, inputs, _PLANE, taps).permute(0, 4, 2, 3, 1).contiguous()
    parts = weight.reshape(outputs, 2, 16, inputs, 16, 2, taps).permute(0, 6, 3, 1, 4, 2, 5)
    high = parts.bfloat16()
    return torch.stack([(parts - high).bfloat16(), high], dim=3)


@dataclass(frozen=True, slots=True)
class Pair:
    """Residual pair: x + second(after(first(before(x)))), all with the same channels."""

    before: Activation
    first: Layer
    after: Activation
    second: Layer


Parts = tuple[slice, Sequence[tuple[slice, slice]], slice]
"""Parts of the signals of an `Upsampler`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsampler:
    """HiFi-GAN's network: a layer; levels of an activation, a transposed convolution and the mean of branches of pairs;
    a last activation, and a last layer of one channel."""

    start: Layer
    levels: Sequence[tuple[Activation, Layer, Sequence[Sequence[Pair]]]]
    last: Activation
    end: Layer

    def __call__(self, x: Tensor, shifts: Sequence[Tensor] = (), needed: Parts | None = None) -> Tensor:
        """Return samples before the last tanh, (B, 1, L) float32: x (B, C, F).

        shifts, each (B, W): the first is added after the first layer, further ones after the transposed convolution of
        each level. needed: parts to go on with, of the signal after the first layer; after the transposed convolution
        and after the pairs of each level; and after the last layer. None: all.
        """
        each = [[shift[row].float() for shift in shifts] for row in range(len(x))]
        whole = slice(None)
        parts = needed or (whole, [(whole, whole)] * len(self.levels), whole)
        return torch.stack([self._row(row.float(), more, parts) for row, more in zip(x, each, strict=True)])

    def _row(self, x: Tensor, shifts: Sequence[Tensor], parts: Parts) -> Tensor:
        work, (first, levels, last) = _Work(), parts
        planes = _padded(x, 0).view(-1, _PLANE, x.shape[-1]).transpose(1, 2).contiguous()
        planes = work.convolve(planes, leaky(1), self.start, shifts[0] if shifts else None)
        planes = planes[:, first].contiguous()
        for level, ((before, up, branches), (entering, leaving)) in enumerate(zip(self.levels, levels, strict=True)):
            shift = shifts[level + 1] if len(shifts) > 1 else None
            planes = work.convolve(planes, before, up, shift)[:, entering].contiguous()
            planes = work.mean(planes, branches)[:, leaving].contiguous()
        return work.convolve(planes, self.last, self.end)[last].view(1, -1)


class _Work:
    """Functions and scratch memory for one signal."""

    def __init__(self) -> None:
        self.c: Any
        self.c, self.threads = _functions(), torch.get_num_threads()
        self.scratch = torch.empty(0, dtype=torch.uint8)

    def convolve(self, x: Tensor, before: Activation, layer: Layer, shift: Tensor | None = None) -> Tensor:
        """Return the layer's outputs, (planes', L', 32), of x (planes, L, 32); (L', 1) for a layer of one channel."""
        bias = None if shift is None else layer.bias + _padded(shift, 0).repeat(layer.rate)
        struct, inputs, length = layer.struct(bias), x.shape[0], x.shape[1]
        size = length if layer.rate == 1 else (length - 1) * layer.rate - 2 * layer.cut + layer.kernel
        planes, columns = struct.outputs // layer.rate, 1 if layer.width == 1 else _PLANE
        out = torch.empty((size, 1) if columns == 1 else (planes, size, columns))
        rows = self._rows(-(-size // layer.rate), inputs)
        places = (out.data_ptr(), size, planes, layer.rate, layer.cut, columns)
        scratch = self._scratch(self.c.scratch_convolve(struct, rows))
        self.c.convolve(x.data_ptr(), length, struct, before.struct(), *places, rows, scratch, self.threads)
        return out

    def mean(self, x: Tensor, branches: Sequence[Sequence[Pair]]) -> Tensor:
        """Return the mean of the branches' outputs of x (planes, L, 32), in the same shape."""
        total, between = torch.empty_like(x), (torch.empty_like(x), torch.empty_like(x))
        rows = self._rows(x.shape[1], x.shape[0])
        for branch, pairs in enumerate(branches):
            source = x
            for place, pair in enumerate(pairs):
                done = place == len(pairs) - 1
                target = total if done else between[place % 2]
                first, second = pair.first.struct(), pair.second.struct()
                structs = (first, pair.before.struct(), second, pair.after.struct())
                scratch = self._scratch(self.c.scratch_pair(first, second, rows))
                places = (target.data_ptr(), 1 / len(branches) if done else 1, done and branch > 0)
                self.c.pair(source.data_ptr(), x.shape[1], *structs, *places, rows, scratch, self.threads)
                source = target
        return total

    def _rows(self, length: int, planes: int) -> int:
        """Return the rows of a tile: as many as a cache holds, but at least one tile for each thread."""
        fair = -(-length // self.threads)
        return min(max(_FEWEST, _NUMBERS // (planes * _PLANE)), -(-fair // _PLANE) * _PLANE)

    def _scratch(self, size: int) -> int:
        """Return the address of `size` bytes for each thread."""
        if self.scratch.numel() < size * self.threads:
            self.scratch = torch.empty(size * self.threads, dtype=torch.uint8)
        return self.scratch.data_ptr()


def _padded(x: Tensor, axis: int) -> Tensor:
    """Return x with zeros behind, padded to whole planes along the axis."""
    missing = -x.shape[axis] % _PLANE
    return F.pad(x, [0] * (2 * (x.ndim - 1 - axis)) + [0, missing]).contiguous()
