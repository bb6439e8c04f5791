"""Chains of layers over all frames of a signal in one call of layer_chain.c, on a CPU.

A chain reads the weights where they are: nothing is copied. Channels lie as rows of frames, so a (B, C, F) tensor goes
in and comes out in this layout. Weights are float32, or 8-bit; then each frame is rounded to 8 bits by its own largest
number. Everything else is float32. For inference only.
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
from torch import Tensor

from tutortoietts.native import build
from tutortoietts.native.linear import LinearC, LinearWeights, NormWeights, scratch

__all__ = [
    "DTYPES",
    "OUTPUTS",
    "Attend",
    "Chain",
    "ChainBuffers",
    "Convolve",
    "Rotate",
    "Step",
    "has_integer_products",
    "library",
]

DTYPES = (torch.float32, torch.int8, torch.int32)
"""Numbers that a chain reads."""
OUTPUTS = 8
"""Divisor of the outputs of a layer and of the channels of a head."""

_SOURCE = Path(__file__).with_name("layer_chain.c")
_PADDING = 64  # numbers after an attention bias that vectors may read
_THREAD_WORK = 1 << 22  # least multiply-adds for each thread


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Convolve:
    """Layer with its input: y = layer(activation(modulate(norm(x)))); norm, modulation, activation are optional.

    source, target: first channel of x and of y in the signal; add: add y to what is there. modulation: index of the
    scale and shift. activation: "silu", or "geglu" of 2 * inputs channels, where the second half gates the first.
    """

    layer: LinearWeights
    source: int
    target: int
    add: bool = False
    norm: NormWeights | None = None
    modulation: int | None = None
    activation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attend:
    """Attention of `heads` of `size` channels, from all frames to all frames.

    The query of head h begins at channel source + h * head_stride, its key `part_stride` channels later, its value as
    far again. bias (heads, 2 F - 1) is added to the scores by distance: first for a key F - 1 frames after the query,
    last for one as far before it.
    """

    heads: int
    size: int
    head_stride: int
    part_stride: int
    source: int
    target: int
    bias: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rotate:
    """Rotation in place of the first channels of `heads` heads of `size` channels.

    cos, sin (F, rotated / 2): the angles by which each channel of the first half rotates with one of the second.
    """

    heads: int
    size: int
    source: int
    cos: Tensor
    sin: Tensor


Step = Convolve | Attend | Rotate
_CONVOLVE, _ATTEND, _ROTATE = range(3)
_GROUP_NORM, _RMS_NORM = 1, 2
_ACTIVATIONS = {None: 0, "silu": 1, "geglu": 2}


class _Op(Structure):
    _fields_ = (
        *((name, c_int64) for name in ("kind", "source", "target", "add")),
        ("linear", LinearC),
        *((name, c_int64) for name in ("taps", "norm", "groups")),
        *(("gain", c_void_p), ("shift", c_void_p), ("eps", c_double)),
        *((name, c_int64) for name in ("modulation", "active", "heads", "size", "head_stride", "part_stride")),
        *(("table", c_void_p), ("table_stride", c_int64), ("rotated", c_int64)),
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
    """Return the compiled functions, or None (`build.library`). flags: -DPLAIN compiles the code of processors without
    AVX."""
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
    """Return True if 8-bit products are faster than float32 ones here: there is a compiler, and AVX-512 VNNI."""
    found = library()
    return found is not None and bool(found.has_integer_products())


def _check(op: _Op, step: Step, channels: int) -> None:
    """Raise ValueError if a step would leave the signal or its sizes do not agree."""
    if isinstance(step, Convolve):
        read = op.linear.inputs * (2 if step.activation == "geglu" else 1)
        written = op.linear.outputs
        if step.modulation is not None and (step.norm is None or step.norm.bias is None):
            raise ValueError("scale and shift without a group norm before them")
        if step.norm is not None and step.norm.gain.numel() != op.linear.inputs:
            raise ValueError(f"a norm of {step.norm.gain.numel()} channels before a layer of {op.linear.inputs}")
    elif isinstance(step, Attend):
        read, written = (op.heads - 1) * op.head_stride + 2 * op.part_stride + op.size, op.heads * op.size
    else:
        read = written = op.heads * op.size
    if op.source + read > channels or op.target + written > channels:
        kind = type(step).__name__
        raise ValueError(f"{kind} of channels {op.source} to {op.target} does not fit in {channels} channels")


class Chain:
    """Steps over signals of `channels` channels and `frames` frames.

    It never changes and may be used by several threads at once, each with its own `buffers`. Raises ValueError if a
    step does not fit.
    """

    def __init__(self, steps: Sequence[Step], channels: int, frames: int, library: ctypes.CDLL) -> None:
        self.channels, self.frames, self.library = channels, frames, library
        self._kept: list[object] = [*steps]  # the tensors that the structures point to
        self.stride = int(library.chain_stride(frames))
        self.ops = (_Op * len(steps))(*map(self._op, steps))
        for op, step in zip(self.ops, steps, strict=True):
            _check(op, step, channels)
        work = frames * sum(op.linear.outputs * op.linear.inputs * op.taps for op in self.ops)
        self.threads = max(1, min(torch.get_num_threads(), work // _THREAD_WORK))

    def buffers(self) -> ChainBuffers:
        """Return memory to run the chain in, for one thread at a time."""
        return ChainBuffers(self)

    def _op(self, step: Step) -> _Op:
        if isinstance(step, Attend):
            return self._attention(step)
        if isinstance(step, Rotate):
            both = torch.stack([step.cos.t(), step.sin.t()]).float()
            table = F.pad(both, (0, self.stride - self.frames)).contiguous()
            place = {"table": self._keep(table), "table_stride": self.stride, "rotated": 2 * table.shape[1]}
            return _Op(kind=_ROTATE, source=step.source, heads=step.heads, size=step.size, **place)
        norm = step.norm
        before: dict[str, Any] = {}
        if norm is not None:
            before = {"norm": _RMS_NORM, "eps": norm.eps, "gain": norm.gain.data_ptr()}
            if norm.bias is not None:
                before |= {"norm": _GROUP_NORM, "groups": norm.groups, "shift": norm.bias.data_ptr()}
        return _Op(
            kind=_CONVOLVE,
            source=step.source,
            target=step.target,
            add=step.add,
            linear=step.layer.struct(),
            taps=step.layer.taps,
            modulation=-1 if step.modulation is None else step.modulation,
            active=_ACTIVATIONS[step.activation],
            **before,
        )

    def _attention(self, step: Attend) -> _Op:
        shape = {name: getattr(step, name) for name in ("heads", "size", "head_stride", "part_stride")}
        bias = {}
        if step.bias is not None:
            padded = F.pad(step.bias.float(), (0, _PADDING))
            bias = {"table": self._keep(padded), "table_stride": padded.shape[1]}
        return _Op(kind=_ATTEND, source=step.source, target=step.target, **shape, **bias)

    def _keep(self, tensor: Tensor) -> int:
        """Return the address of a tensor, which lives as long as the chain."""
        self._kept.append(tensor)
        return tensor.data_ptr()


class ChainBuffers:
    """The signal and scratch memory of a chain, for one thread at a time."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._signal, self._scratch = torch.empty(0), scratch(0)

    def signal(self, rows: int) -> Tensor:
        """Return a view (rows, channels, frames), to be filled before `run` and read after it; it keeps its numbers."""
        if len(self._signal) < rows:
            self._signal = torch.zeros(rows, self._chain.channels, self._chain.stride)
        return self._signal[:rows, :, : self._chain.frames]

    def run(
        self,
        rows: int,
        *,
        modulations: Tensor | None = None,
        lengths: Tensor | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        """Run the steps from `start` up to `stop` over the first `rows` signals.

        modulations (count, rows or 1, 2 C): scale and shift of each. lengths (rows,) or (1,) of integers: number of
        frames that attention sees; None: all.
        """
        chain = self._chain
        kept = None if modulations is None else modulations.float().contiguous()
        seen = None if lengths is None else lengths.to(torch.int64).expand(rows).clamp(0, chain.frames).contiguous()
        ops = chain.ops[start:stop]
        arguments = _Chain(
            ops=(_Op * len(ops))(*ops),
            count=len(ops),
            signal=self._signal.data_ptr(),
            rows=rows,
            channels=chain.channels,
            frames=chain.frames,
            stride=chain.stride,
            modulations=None if kept is None else kept.data_ptr(),
            modulated=1 if kept is None else kept.shape[1],
            width=0 if kept is None else kept.shape[2] // 2,
            lengths=None if seen is None else seen.data_ptr(),
        )
        size = chain.library.chain_bytes(arguments, chain.threads)
        if self._scratch.numel() < size:
            self._scratch = scratch(size)
        chain.library.chain(arguments, self._scratch.data_ptr(), chain.threads)
