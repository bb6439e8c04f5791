"""Run chains of layers over all frames of a signal in one call of layer_chain.c, on a CPU.

A chain is made from modules as they are, and reads their own weights: nothing is copied. Channels lie as rows of
frames, so a (B, C, F) tensor goes in and comes out as it is. Weights are float32, or 8-bit as `nn.quant` makes them;
then each frame is rounded to 8 bits by its own largest number. Everything else is float32. The modules' own forward
passes are the oracle. For inference only.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_double, c_int64, c_void_p
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.native import build
from tutortoietts.native.kernels import KINDS, LinearC
from tutortoietts.nn.quant import RoundedLinear

__all__ = [
    "NUMBERS",
    "Attend",
    "Chain",
    "Convolve",
    "Rotate",
    "Step",
    "can_attend",
    "can_run",
    "has_integer_products",
    "library",
]

NUMBERS = (torch.float32, torch.int8, torch.int32)
"""What the weights of a chain's layers may be."""

_SOURCE = Path(__file__).with_name("layer_chain.c")
_BEYOND = 64  # the end of a line that vectors reach
_OUTPUTS = 8  # of which a layer must have a multiple
_THREAD_WORK = 1 << 22  # multiply-adds, at the least, for each thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolve:
    """y = layer(active(modulated(norm(x)))), each but the layer only where asked for, from one place in the signal to
    another, or added to what is there. Places are channels. modulation: the number of its scale and shift. active:
    "silu", or "geglu" of twice the channels, the second half of which gates the first."""

    layer: nn.Module
    source: int
    target: int
    add: bool = False
    norm: nn.GroupNorm | nn.RMSNorm | None = None
    modulation: int | None = None
    active: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attend:
    """Attention of `heads` of `size`: the query of each begins `step` channels behind that of the one before, its key
    `apart` behind the query, its value as far behind the key. `line` (heads, 2 F - 1) is what is added to a score, from
    a key F - 1 frames behind the query on to one as far before it."""

    heads: int
    size: int
    step: int
    apart: int
    source: int
    target: int
    line: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate:
    """`heads` of `size` channels, in place: the first channels turned by cos and sin (F, turned / 2), each of the first
    half of them with one of the second."""

    heads: int
    size: int
    source: int
    cos: Tensor
    sin: Tensor


Step = Convolve | Attend | Rotate
_CONVOLVE, _ATTEND, _ROTATE = range(3)
_GROUP_NORM, _RMS_NORM = 1, 2
_ACTIVE = {None: 0, "silu": 1, "geglu": 2}


class _Op(Structure):
    _fields_ = (
        *((name, c_int64) for name in ("kind", "source", "target", "add")),
        ("linear", LinearC),
        *((name, c_int64) for name in ("taps", "norm", "groups")),
        *(("gain", c_void_p), ("shift", c_void_p), ("eps", c_double)),
        *((name, c_int64) for name in ("modulation", "active", "heads", "size", "step", "apart")),
        *(("line", c_void_p), ("line_stride", c_int64), ("turned", c_int64)),
    )


class _Chain(Structure):
    _fields_ = (
        ("ops", POINTER(_Op)),
        ("count", c_int64),
        ("signal", c_void_p),
        *((name, c_int64) for name in ("rows", "channels", "frames", "stride")),
        *(("modulations", c_void_p), ("modulated", c_int64), ("width", c_int64), ("lengths", c_void_p)),
    )


def library(*flags: str) -> Any:
    """The compiled functions, or None where there is no compiler or they are switched off. flags: -DPLAIN compiles what
    processors without AVX run."""
    found = build.library(_SOURCE, *flags)
    return None if found is None else _typed(found)


@cache
def _typed(found: ctypes.CDLL) -> ctypes.CDLL:
    found.chain_bytes.argtypes = (POINTER(_Chain), c_int64)
    found.chain.argtypes = (POINTER(_Chain), c_void_p, c_int64)
    found.chain_stride.argtypes = (c_int64,)
    found.chain.restype = None
    for counting in (found.chain_bytes, found.chain_stride, found.has_integer_products):
        counting.restype = c_int64
    return found


def has_integer_products() -> bool:
    """Whether this machine multiplies 8-bit numbers faster than floats: by a compiler and AVX-512 VNNI."""
    found = library()
    return found is not None and bool(found.has_integer_products())


def _check(op: _Op, step: Step, channels: int) -> None:
    """ValueError where a step would leave the signal."""
    if isinstance(step, Convolve):
        read = op.linear.inputs * (2 if step.active == "geglu" else 1)
        written = op.linear.outputs
        if step.modulation is not None and not isinstance(step.norm, nn.GroupNorm):
            raise ValueError("scale and shift without a GroupNorm before them")
        if step.norm is not None and step.norm.weight.numel() != op.linear.inputs:
            raise ValueError(f"a norm of {step.norm.weight.numel()} channels before a layer of {op.linear.inputs}")
    elif isinstance(step, Attend):
        read, written = (op.heads - 1) * op.step + 2 * op.apart + op.size, op.heads * op.size
    else:
        read = written = op.heads * op.size
    if op.source + read > channels or op.target + written > channels:
        raise ValueError(f"{step} does not fit in {channels} channels")


def can_attend(size: int) -> bool:
    """Whether a chain takes heads of so many channels."""
    return size % _OUTPUTS == 0


def can_run(layer: nn.Module, inputs: int, outputs: int) -> bool:
    """Whether it is a layer that a chain takes, from so many channels to so many."""
    if not isinstance(layer, nn.Linear | RoundedLinear) or getattr(layer, "stride", 1) != 1:
        return False
    taps, step = getattr(layer, "kernel_size", 1), 4 if isinstance(layer, RoundedLinear) else 1
    if taps not in (1, 3) or (layer.in_features, layer.out_features) != (taps * inputs, outputs):
        return False
    return inputs % step == 0 and outputs % _OUTPUTS == 0


class Chain:
    """`steps` over signals of `channels` and `frames`. For one thread at a time."""

    def __init__(self, steps: Sequence[Step], channels: int, frames: int, library: ctypes.CDLL) -> None:
        self.channels, self.frames = channels, frames
        self._library = library
        self._kept: list[Tensor] = []  # what the structures point to
        self._stride = int(library.chain_stride(frames))
        self._ops = (_Op * len(steps))(*map(self._op, steps))
        for op, step in zip(self._ops, steps, strict=True):
            _check(op, step, channels)
        self._signal, self._scratch = torch.empty(0), torch.empty(0, dtype=torch.uint8)
        work = frames * sum(op.linear.outputs * op.linear.inputs * op.taps for op in self._ops)
        self._threads = max(1, min(torch.get_num_threads(), work // _THREAD_WORK))

    def signal(self, rows: int) -> Tensor:
        """(rows, channels, frames) to be filled before `run`, and read after it: a view, with what was there before."""
        if len(self._signal) < rows:
            self._signal = torch.zeros(rows, self.channels, self._stride)
        return self._signal[:rows, :, : self.frames]

    def run(
        self,
        rows: int,
        *,
        modulations: Tensor | None = None,
        lengths: Tensor | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        """The steps from `start` up to `stop` over the first `rows` signals. modulations (number, rows or 1, 2 C):
        scale and shift. lengths (rows,) or (1,), whole numbers: how many frames attention sees; None: all."""
        kept = None if modulations is None else modulations.float().contiguous()
        seen = None if lengths is None else lengths.to(torch.int64).expand(rows).clamp(0, self.frames).contiguous()
        ops = self._ops[start:stop]
        told = _Chain(
            ops=(_Op * len(ops))(*ops),
            count=len(ops),
            signal=self._signal.data_ptr(),
            rows=rows,
            channels=self.channels,
            frames=self.frames,
            stride=self._stride,
            modulations=None if kept is None else kept.data_ptr(),
            modulated=1 if kept is None else kept.shape[1],
            width=0 if kept is None else kept.shape[2] // 2,
            lengths=None if seen is None else seen.data_ptr(),
        )
        size = self._library.chain_bytes(told, self._threads)
        if self._scratch.numel() < size:
            self._scratch = torch.empty(size, dtype=torch.uint8)
        self._library.chain(told, self._scratch.data_ptr(), self._threads)

    def _op(self, step: Step) -> _Op:
        if isinstance(step, Attend):
            return self._attention(step)
        if isinstance(step, Rotate):
            both = torch.stack([step.cos.t(), step.sin.t()]).float()
            table = F.pad(both, (0, self._stride - self.frames)).contiguous()
            place = {"line": self._keep(table), "line_stride": self._stride, "turned": 2 * table.shape[1]}
            return _Op(kind=_ROTATE, source=step.source, heads=step.heads, size=step.size, **place)
        norm = step.norm
        before: dict[str, Any] = {}
        if isinstance(norm, nn.GroupNorm):
            before = {"norm": _GROUP_NORM, "groups": norm.num_groups, "eps": norm.eps}
            before |= {"gain": self._keep(norm.weight), "shift": self._keep(norm.bias)}
        elif norm is not None:
            before = {"norm": _RMS_NORM, "eps": norm.eps, "gain": self._keep(norm.weight)}
        return _Op(
            kind=_CONVOLVE,
            source=step.source,
            target=step.target,
            add=step.add,
            linear=self._linear(step.layer),
            taps=getattr(step.layer, "kernel_size", 1),
            modulation=-1 if step.modulation is None else step.modulation,
            active=_ACTIVE[step.active],
            **before,
        )

    def _attention(self, step: Attend) -> _Op:
        shape = {"heads": step.heads, "size": step.size, "step": step.step, "apart": step.apart}
        line = {}
        if step.line is not None:
            room = step.line.shape[1] + _BEYOND
            padded = F.pad(step.line.float(), (0, room - step.line.shape[1]))
            line = {"line": self._keep(padded), "line_stride": room}
        return _Op(kind=_ATTEND, source=step.source, target=step.target, **shape, **line)

    def _linear(self, layer: nn.Module) -> LinearC:
        if isinstance(layer, RoundedLinear):
            self._kept += layer.buffers()
            return layer.described()
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"no chain takes a {type(layer).__name__}")
        pointers = {
            "weight": self._keep(layer.weight),
            "bias": self._keep(torch.zeros(layer.out_features) if layer.bias is None else layer.bias),
        }
        inputs = layer.in_features // getattr(layer, "kernel_size", 1)
        return LinearC(kind=KINDS[torch.float32], inputs=inputs, outputs=layer.out_features, **pointers)

    def _keep(self, tensor: Tensor) -> int:
        self._kept.append(tensor.detach())
        return tensor.data_ptr()
