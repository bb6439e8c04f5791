"""The functions of kernels.c as they are called from here: a step of a GPT-2, and rows times 8-bit weights.

What they are given must be contiguous, on the CPU, and stay alive; `accelerate/gpt.py` and `quant.py` see to that.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_double, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tutortoietts.native import build

__all__ = ["KINDS", "BlockC", "CacheC", "GptC", "LinearC", "NormC", "library", "scratch"]

KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}
"""Numbers of the weights that the kernels know."""

_SOURCE = Path(__file__).with_name("kernels.c")


class LinearC(Structure):
    """Weights (out, in) of a kind; for int8 their scales and their sums by output; a float32 bias."""

    _fields_ = (
        ("weight", c_void_p),
        ("scale", c_void_p),
        ("sums", c_void_p),
        ("bias", c_void_p),
        ("kind", c_int64),
        ("inputs", c_int64),
        ("outputs", c_int64),
    )


class NormC(Structure):
    """Gain and bias in float32."""

    _fields_ = (("gain", c_void_p), ("bias", c_void_p), ("eps", c_double))


class BlockC(Structure):
    """One block of a GPT-2."""

    _fields_ = (
        ("before", NormC),
        ("between", NormC),
        ("qkv", LinearC),
        ("proj", LinearC),
        ("widen", LinearC),
        ("narrow", LinearC),
    )


class GptC(Structure):
    """All blocks, and the norms behind them."""

    _fields_ = (
        ("blocks", POINTER(BlockC)),
        ("norms", POINTER(NormC)),
        ("layers", c_int64),
        ("norms_count", c_int64),
        ("dim", c_int64),
        ("heads", c_int64),
    )


class CacheC(Structure):
    """Keys and values (layers, rows, heads, positions, head_dim), strides in elements; `shared` first positions are
    the same in all rows."""

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


def library(*flags: str) -> Any:
    """The compiled functions, or None where there is no compiler or they are switched off. flags: -DPLAIN compiles what
    processors without AVX-512 run."""
    found = build.library(_SOURCE, *flags)
    return None if found is None else _typed(found)


@cache
def _typed(found: ctypes.CDLL) -> ctypes.CDLL:
    found.gpt_step_bytes.argtypes = (POINTER(GptC), c_int64, c_int64, c_int64)
    found.gpt_step.argtypes = (
        POINTER(GptC),
        POINTER(CacheC),
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


def scratch(size: int) -> Tensor:
    """So many bytes of anything."""
    return torch.empty(size, dtype=torch.uint8)
