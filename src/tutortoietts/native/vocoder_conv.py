"""Vocoders of the HiFi-GAN family on a CPU, in C (vocoder_conv.c): about as fast as the processor can multiply.

Channels lie side by side in planes of 32, so that a convolution reads its operand as it lies, and a transposed one is
one with a set of outputs for each phase. Activation, convolution, activation, convolution and the sum with the input
are done tile by tile, in a processor's cache. Windows of a signal come out as the whole, to the bit. The models' own
forward passes are the oracle.

What is multiplied is float32; or, for a matrix unit (AMX), `split` into the sum of two bfloat16 numbers: 16 bits, three
products for one, and still two to three times as fast. Sums, activations and what lies between the layers are float32.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, c_float, c_int64, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutortoietts.native.build import library
from tutortoietts.nn.upsample import split_levels

__all__ = ["Activation", "Layer", "Pair", "Upsampler", "can_convolve", "layer_of", "leaky", "snake", "upsampler_of"]

_SOURCE = Path(__file__).with_name("vocoder_conv.c")
_PLANE = 32
_FEWEST, _NUMBERS = 64, 1 << 16  # rows of a tile, and what a tile holds at most beyond them


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
    """Whether this machine can: it has a C compiler and AVX2 at least, and for `split` a matrix unit for bfloat16."""
    made = _functions()
    return made is not None and bool(made.has_vectors()) and (not split or bool(made.has_matrix_unit()))


def _functions() -> ctypes.CDLL | None:
    """vocoder_conv.c, which says what the arguments mean."""
    made = library(_SOURCE)
    if made is None:
        return None
    layer: Any = POINTER(_Layer)
    activation: Any = POINTER(_Activation)
    numbers: list[Any] = [c_int64] * 5
    scratch: list[Any] = [c_int64, c_void_p, c_int64]
    for name in ("has_vectors", "has_matrix_unit", "scratch_convolve", "scratch_pair"):
        getattr(made, name).restype = c_int64
    made.scratch_convolve.argtypes = (layer, c_int64)
    made.scratch_pair.argtypes = (layer, layer, c_int64)
    made.convolve.argtypes = (c_void_p, c_int64, layer, activation, c_void_p, *numbers, *scratch)
    layers = [layer, activation, layer, activation]
    made.pair.argtypes = (c_void_p, c_int64, *layers, c_void_p, c_float, c_int64, *scratch)
    made.convolve.restype = made.pair.restype = None
    return made


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Activation:
    """What a layer does with its input first: nothing, a leaky ReLU, or a snake with `tensors` rate, share and taps."""

    slope: float = 1.0
    tensors: tuple[Tensor, ...] = ()

    def side(self) -> _Activation:
        """For C, while this lives."""
        kind = 2 if self.tensors else int(self.slope != 1)
        return _Activation(kind, self.slope, *(values.data_ptr() for values in self.tensors))


def leaky(slope: float) -> Activation:
    """Leaky ReLU of this slope; of 1, nothing."""
    return Activation(slope=slope)


def snake(alpha: Tensor, beta: Tensor, taps: Tensor) -> Activation:
    """x + sin^2(x alpha) / beta, alpha and beta (C,), at twice the rate, to which and from which `taps` (12,) lead."""
    rate, share = (_padded(values.detach().float(), 0) for values in (alpha / torch.pi, 1 / beta))
    return Activation(tensors=(rate, share, taps.detach().float().contiguous()))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Layer:
    """A convolution, or a transposed one that makes `rate` outputs an input, the first `cut` of which are dropped.

    weights (outputs, taps, inputs, ...) in planes, for C; an output sees inputs from `before` places before it on.
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

    def side(self, bias: Tensor | None = None) -> _Layer:
        """For C, while this and the other `bias` live."""
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


def layer_of(conv: nn.Conv1d | nn.ConvTranspose1d, split: bool = False) -> Layer:
    """The layer as it is now. Zero padding; strides only where transposed; no groups."""
    kernel, weight, width = conv.kernel_size[0], conv.weight.detach().float(), conv.out_channels
    rate, padding = conv.stride[0], int(conv.padding[0])
    bias = _padded(torch.zeros(width) if conv.bias is None else conv.bias.detach().float(), 0)
    if isinstance(conv, nn.Conv1d):
        weights = _packed(_padded(_padded(weight, 0), 1), split)
        place = {"before": padding, "dilation": conv.dilation[0]}
        return Layer(weights=weights, bias=bias, split=split, width=width, **place)
    taps = -(-kernel // rate)
    weight = _padded(_padded(F.pad(weight, (0, taps * rate - kernel)), 0), 1)
    phases = weight.view(*weight.shape[:2], taps, rate).flip(2).permute(3, 1, 0, 2).flatten(0, 1)
    place = {"before": taps - 1, "rate": rate, "cut": padding, "kernel": kernel}
    return Layer(weights=_packed(phases, split), bias=bias.repeat(rate), split=split, width=width, **place)


def _packed(weight: Tensor, split: bool) -> Tensor:
    """(N, C, taps), N and C whole planes -> (N / 32, taps, C / 32, ...): 32 inputs of 32 outputs each; or in bfloat16
    two tiles of 16 outputs, each of 16 pairs of inputs, first of what is left of the weights, then of the weights."""
    outputs, inputs, taps = weight.shape[0] // _PLANE, weight.shape[1] // _PLANE, weight.shape[2]
    if not split:
        return weight.reshape(outputs, _PLANE, inputs, _PLANE, taps).permute(0, 4, 2, 3, 1).contiguous()
    parts = weight.reshape(outputs, 2, 16, inputs, 16, 2, taps).permute(0, 6, 3, 1, 4, 2, 5)
    high = parts.bfloat16()
    return torch.stack([(parts - high).bfloat16(), high], dim=3)


@dataclass(frozen=True, slots=True)
class Pair:
    """x + second(after(first(before(x)))), all of one width."""

    before: Activation
    first: Layer
    after: Activation
    second: Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsampler:
    """HiFi-GAN's layout, as of its making: a layer; levels of a transposed one and the mean of branches of pairs, an
    activation before each; a last activation and layer, of one channel."""

    start: Layer
    levels: Sequence[tuple[Activation, Layer, Sequence[Sequence[Pair]]]]
    last: Activation
    end: Layer

    def __call__(self, x: Tensor, shifts: Sequence[Tensor] = ()) -> Tensor:
        """x (B, C, F) -> (B, 1, L) float32 before a last tanh. shifts, each (B, W): the first is added to what the
        first layer makes, the next ones, if there are any, to what the transposed layer of each level makes."""
        each = [[shift[row].float() for shift in shifts] for row in range(len(x))]
        return torch.stack([self._row(row.float(), more) for row, more in zip(x, each, strict=True)])

    def _row(self, x: Tensor, shifts: Sequence[Tensor]) -> Tensor:
        work = _Work()
        planes = _padded(x, 0).view(-1, _PLANE, x.shape[-1]).transpose(1, 2).contiguous()
        planes = work.convolve(planes, leaky(1), self.start, shifts[0] if shifts else None)
        for level, (before, up, branches) in enumerate(self.levels):
            shift = shifts[level + 1] if len(shifts) > 1 else None
            planes = work.mean(work.convolve(planes, before, up, shift), branches)
        return work.convolve(planes, self.last, self.end).view(1, -1)


class Upsampling(Protocol):
    """A module of HiFi-GAN's layout; its residual blocks have `native(split)`, their pairs."""

    conv_pre: nn.Conv1d
    ups: nn.ModuleList
    resblocks: nn.ModuleList
    conv_post: nn.Conv1d


def upsampler_of(module: Upsampling, before: Activation, last: Activation, half: bool) -> Upsampler | None:
    """What `module` computes up to its last tanh, with its weights as they are now; None where this machine cannot.

    before: the activation before each transposed convolution; last: before the last layer. half: on a matrix unit all
    convolutions but the last multiply numbers of 16 bits.
    """
    split = half and can_convolve(split=True)
    narrow = any(cast(nn.ConvTranspose1d, up).out_channels == 1 for up in module.ups)  # one channel is the end alone
    if narrow or not can_convolve(split):
        return None
    blocks = [cast(Any, block).native(split) for block in module.resblocks]
    levels = zip(module.ups, split_levels(blocks, len(module.ups)), strict=True)
    return Upsampler(
        start=layer_of(module.conv_pre, split),
        levels=[(before, layer_of(cast(nn.ConvTranspose1d, up), split), level) for up, level in levels],
        last=last,
        end=layer_of(module.conv_post),
    )


class _Work:
    """The memory of one signal's way through."""

    def __init__(self) -> None:
        self.c: Any
        self.c, self.threads = _functions(), torch.get_num_threads()
        self.scratch = torch.empty(0, dtype=torch.uint8)

    def convolve(self, x: Tensor, before: Activation, layer: Layer, shift: Tensor | None = None) -> Tensor:
        """x (planes, L, 32) -> the same of the layer's outputs; (L, 1) for a layer of one channel."""
        bias = None if shift is None else layer.bias + _padded(shift, 0).repeat(layer.rate)
        side, inputs, length = layer.side(bias), x.shape[0], x.shape[1]
        size = length if layer.rate == 1 else (length - 1) * layer.rate - 2 * layer.cut + layer.kernel
        planes, columns = side.outputs // layer.rate, 1 if layer.width == 1 else _PLANE
        out = torch.empty((size, 1) if columns == 1 else (planes, size, columns))
        rows = self._rows(-(-size // layer.rate), inputs)
        places = (out.data_ptr(), size, planes, layer.rate, layer.cut, columns)
        scratch = self._scratch(self.c.scratch_convolve(side, rows))
        self.c.convolve(x.data_ptr(), length, side, before.side(), *places, rows, scratch, self.threads)
        return out

    def mean(self, x: Tensor, branches: Sequence[Sequence[Pair]]) -> Tensor:
        """x (planes, L, 32) -> the mean of what the branches make of it."""
        total, between = torch.empty_like(x), (torch.empty_like(x), torch.empty_like(x))
        rows = self._rows(x.shape[1], x.shape[0])
        for branch, pairs in enumerate(branches):
            source = x
            for place, pair in enumerate(pairs):
                done = place == len(pairs) - 1
                target = total if done else between[place % 2]
                first, second = pair.first.side(), pair.second.side()
                sides = (first, pair.before.side(), second, pair.after.side())
                scratch = self._scratch(self.c.scratch_pair(first, second, rows))
                places = (target.data_ptr(), 1 / len(branches) if done else 1, done and branch > 0)
                self.c.pair(source.data_ptr(), x.shape[1], *sides, *places, rows, scratch, self.threads)
                source = target
        return total

    def _rows(self, length: int, planes: int) -> int:
        """Of a tile: what a cache holds, but a tile for each thread."""
        fair = -(-length // self.threads)
        return min(max(_FEWEST, _NUMBERS // (planes * _PLANE)), -(-fair // _PLANE) * _PLANE)

    def _scratch(self, size: int) -> int:
        """The address of so many bytes for each thread."""
        if self.scratch.numel() < size * self.threads:
            self.scratch = torch.empty(size * self.threads, dtype=torch.uint8)
        return self.scratch.data_ptr()


def _padded(x: Tensor, axis: int) -> Tensor:
    """Zeros behind, to whole planes along the axis."""
    lacking = -x.shape[axis] % _PLANE
    return F.pad(x, [0] * (2 * (x.ndim - 1 - axis)) + [0, lacking]).contiguous()
