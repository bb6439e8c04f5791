"""One step of a GPT-2 on a CPU in one call of gpt_step.c, and a linear layer alone."""

from __future__ import annotations

import copy
import ctypes
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_double, c_int64, c_void_p
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from tutortoietts.core.errors import OptionError
from tutortoietts.native import build
from tutortoietts.native.linear import KINDS, LinearC, LinearWeights, NormWeights, scratch

__all__ = ["BlockWeights", "GptStep", "library", "linear"]

_SOURCE = Path(__file__).with_name("gpt_step.c")
_THREAD_BYTES = 1 << 18  # least bytes of a block's weights for each thread
_MOST_ROWS = 256  # torch is faster for more inputs at once


class _Norm(Structure):
    _fields_ = (("gain", c_void_p), ("bias", c_void_p), ("eps", c_double))


class _Block(Structure):
    _fields_ = (
        ("before", _Norm),
        ("between", _Norm),
        ("qkv", LinearC),
        ("proj", LinearC),
        ("widen", LinearC),
        ("narrow", LinearC),
    )


class _Gpt(Structure):
    _fields_ = (
        ("blocks", POINTER(_Block)),
        ("norms", POINTER(_Norm)),
        ("layers", c_int64),
        ("norms_count", c_int64),
        ("dim", c_int64),
        ("heads", c_int64),
    )


class _Cache(Structure):
    _fields_ = (
        ("keys", c_void_p),
        ("values", c_void_p),
        ("kind", c_int64),
        ("layer", c_int64),
        ("row", c_int64),
        ("head", c_int64),
        ("positions", c_int64),
        ("shared", c_int64),
    )


class Cache(Protocol):
    """Keys and values, each (layers, rows, heads, positions, head_dim)."""

    keys: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockWeights:
    """A block: norm, queries, keys and values, projection; norm, feed-forward layer up and down."""

    before: NormWeights
    qkv: LinearWeights
    proj: LinearWeights
    between: NormWeights
    widen: LinearWeights
    narrow: LinearWeights

    @property
    def nbytes(self) -> int:
        """Bytes of all weights."""
        layers = (self.qkv, self.proj, self.widen, self.narrow)
        return self.before.nbytes + self.between.nbytes + sum(layer.nbytes for layer in layers)

    def struct(self) -> _Block:
        """Return the C structure, which is valid while this object lives."""
        layers = {name: getattr(self, name).struct() for name in ("qkv", "proj", "widen", "narrow")}
        return _Block(before=_norm(self.before), between=_norm(self.between), **layers)


def library(*flags: str) -> Any:
    """Return the compiled functions, or None (`build.library`). flags: -DPLAIN compiles the code of processors without
    AVX-512."""
    found = build.library(_SOURCE, *flags)
    return None if found is None else _typed(found)


@cache
def _typed(found: ctypes.CDLL) -> ctypes.CDLL:
    found.gpt_step_bytes.argtypes = (POINTER(_Gpt), c_int64, c_int64, c_int64)
    found.gpt_step.argtypes = (
        POINTER(_Gpt),
        POINTER(_Cache),
        *(c_void_p, c_void_p, c_int64, c_int64, c_void_p),
        *(c_void_p, c_int64),
    )
    found.linear_bytes.argtypes = (POINTER(LinearC), c_int64, c_int64)
    found.linear.argtypes = (POINTER(LinearC), c_void_p, c_void_p, c_int64, c_void_p, c_int64)
    found.gpt_step.restype = found.linear.restype = None
    for counting in (found.gpt_step_bytes, found.linear_bytes, found.start):
        counting.restype = c_int64
    found.start.argtypes = (c_int64,)
    found.start(1)
    return found


def linear(weights: LinearWeights, x: Tensor, library: Any) -> Tensor:
    """Return x weight^T + bias: x (rows, in) float32, contiguous -> (rows, out) float32."""
    threads, layer = torch.get_num_threads(), weights.struct()
    y = torch.empty(len(x), weights.outputs)
    space = scratch(library.linear_bytes(layer, len(x), threads))
    library.linear(layer, x.data_ptr(), y.data_ptr(), len(x), space.data_ptr(), threads)
    return y


class GptStep:
    """All blocks of a GPT-2, the norms behind them, and a head. It owns scratch memory: one thread at a time."""

    def __init__(
        self,
        blocks: Sequence[BlockWeights],
        norms: Sequence[NormWeights],
        head: LinearWeights,
        heads: int,
        library: ctypes.CDLL,
    ) -> None:
        self._library = library
        self._weights = (tuple(blocks), tuple(norms), head)  # kept alive for the structures
        self._dim = blocks[0].qkv.inputs
        self._gpt = _Gpt(
            blocks=(_Block * len(blocks))(*(block.struct() for block in blocks)),
            norms=(_Norm * len(norms))(*map(_norm, norms)),
            layers=len(blocks),
            norms_count=len(norms),
            dim=self._dim,
            heads=heads,
        )
        self._head = head.struct()
        read = (sum(block.nbytes for block in blocks) + sum(norm.nbytes for norm in norms)) // len(blocks)
        self._threads = max(1, min(torch.get_num_threads(), read // _THREAD_BYTES))
        self._scratch = scratch(0)

    def copy(self) -> GptStep:
        """Return a step over the same weights with scratch memory of its own, for another thread."""
        other = copy.copy(self)
        other._scratch = scratch(0)
        return other

    def takes(self, x: Tensor, cache: Cache) -> bool:
        """Return True if a call can do this step: no gradients, few inputs, and a float32 or bfloat16 cache whose
        positions are contiguous."""
        size = self._dim // int(self._gpt.heads)
        keys, values = cache.keys, cache.values
        plain = keys.stride()[3:] == values.stride()[3:] == (size, 1)
        alike = keys.dtype in (torch.float32, torch.bfloat16) and keys.stride() == values.stride()
        return x.shape[0] * x.shape[1] <= _MOST_ROWS and plain and alike and not torch.is_grad_enabled()

    def __call__(self, x: Tensor, cache: Cache, position: int | Tensor, shared: int = 0) -> Tensor:
        """Return the outputs (B, S, D), in x's dtype, of inputs x (B, S, D) at `position`, `position` + 1, ...

        position: int, or () or (B,) int64. shared: number of first positions that are equal in all rows of the cache.
        Raises OptionError if a position is past the cache.
        """
        batch, steps, _ = x.shape
        where = torch.as_tensor(position, dtype=torch.int64).expand(batch).contiguous()
        end, first, most = int(where.max()) + steps, int(where.min()), cache.keys.shape[3]
        if end > most:
            raise OptionError(f"position {end} is past the {most} positions of the KV cache: allocate a longer one")
        inputs = x.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        outputs = torch.empty_like(inputs)
        place = _cache(cache, min(shared, first))
        space = self._space(self._library.gpt_step_bytes(self._gpt, batch * steps, most, self._threads))
        rest = where.data_ptr(), space, self._threads
        self._library.gpt_step(self._gpt, place, inputs.data_ptr(), outputs.data_ptr(), batch, steps, *rest)
        return outputs.to(x.dtype)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the head's outputs: hidden (B, D) -> (B, classes) float32."""
        inputs = hidden.to(torch.float32).contiguous()
        outputs = torch.empty(len(hidden), int(self._head.outputs))
        space = self._space(self._library.linear_bytes(self._head, len(hidden), self._threads))
        rest = inputs.data_ptr(), outputs.data_ptr(), len(hidden), space, self._threads
        self._library.linear(self._head, *rest)
        return outputs

    def _space(self, size: int) -> int:
        """Return the address of `size` bytes of scratch memory."""
        if self._scratch.numel() < size:
            self._scratch = scratch(size)
        return self._scratch.data_ptr()


def _norm(norm: NormWeights) -> _Norm:
    return _Norm(gain=norm.gain.data_ptr(), bias=None if norm.bias is None else norm.bias.data_ptr(), eps=norm.eps)


def _cache(cache: Cache, shared: int) -> _Cache:
    layer, row, head = cache.keys.stride()[:3]
    return _Cache(
        keys=cache.keys.data_ptr(),
        values=cache.values.data_ptr(),
        kind=KINDS[cache.keys.dtype],
        layer=layer,
        row=row,
        head=head,
        positions=cache.keys.shape[3],
        shared=shared,
    )
