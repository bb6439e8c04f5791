"""Weights of linear layers and norms: as tensors, and as the C structures that the kernels read."""

from __future__ import annotations

from ctypes import Structure, c_int64, c_void_p
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["KINDS", "LinearC", "LinearWeights", "NormWeights", "scratch"]

KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}
"""Numbers of the dtypes of weights in C."""


class LinearC(Structure):
    """`Linear` of linear.h."""

    _fields_ = (
        ("weight", c_void_p),
        ("scale", c_void_p),
        ("sums", c_void_p),
        ("bias", c_void_p),
        ("kind", c_int64),
        ("inputs", c_int64),
        ("outputs", c_int64),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearWeights:
    """A linear layer, or a convolution over time of `taps` frames. All tensors are contiguous and on the CPU.

    weight (out, taps * in) float32, bfloat16 or int8; bias (out,) float32. For int8: scale (out,) float32 of each
    output, and sums (taps, out) int32 of its integers.
    """

    weight: Tensor
    bias: Tensor
    scale: Tensor | None = None
    sums: Tensor | None = None
    taps: int = 1

    @property
    def inputs(self) -> int:
        """Input channels."""
        return self.weight.shape[1] // self.taps

    @property
    def outputs(self) -> int:
        """Output channels."""
        return self.weight.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in (self.weight, self.bias, self.scale, self.sums) if tensor is not None)

    def struct(self) -> LinearC:
        """Return the C structure, which is valid while this object lives."""
        return LinearC(
            weight=self.weight.data_ptr(),
            scale=None if self.scale is None else self.scale.data_ptr(),
            sums=None if self.sums is None else self.sums.data_ptr(),
            bias=self.bias.data_ptr(),
            kind=KINDS[self.weight.dtype],
            inputs=self.inputs,
            outputs=self.outputs,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NormWeights:
    """A norm: gain and bias (channels,) float32, `eps`, and for a group norm the number of `groups`.

    Without a bias it is a root-mean-square norm.
    """

    gain: Tensor
    bias: Tensor | None
    eps: float
    groups: int = 1

    @property
    def nbytes(self) -> int:
        """Bytes of both tensors."""
        return self.gain.nbytes + (0 if self.bias is None else self.bias.nbytes)


def scratch(size: int) -> Tensor:
    """Return `size` uninitialised bytes."""
    return torch.empty(size, dtype=torch.uint8)
