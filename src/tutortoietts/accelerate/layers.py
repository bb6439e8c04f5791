"""Layers of torch as the weights that the kernels read, and 8-bit layers that call them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tutortoietts.native import gpt_step
from tutortoietts.native.gpt_step import linear
from tutortoietts.native.layer_chain import OUTPUTS
from tutortoietts.native.linear import LinearWeights, NormWeights
from tutortoietts.nn.quant import Int8RowsLinear, QuantLinear, RoundedLinear, int8_linear

__all__ = ["CompiledInt8Linear", "can_chain", "compiled_int8_linear", "linear_weights", "norm_weights"]


class CompiledInt8Linear(Int8RowsLinear):
    """`Int8RowsLinear` by gpt_step.c: sums are exact."""

    @staticmethod
    def fits(linear: nn.Linear) -> bool:
        """Return True if the kernel can be used and takes a layer of this shape."""
        return linear.in_features % 16 == 0 and gpt_step.library() is not None

    def _rows(self, rows: Tensor) -> Tensor:
        found = gpt_step.library()
        if found is None:
            return self.reference(rows)
        return linear(linear_weights(self), rows.float().contiguous(), found)


def compiled_int8_linear(linear: nn.Linear) -> QuantLinear:
    """Return an int8 layer by our kernel where it can be used, otherwise by torch's."""
    if linear.weight.device.type == "cpu" and CompiledInt8Linear.fits(linear):
        return CompiledInt8Linear(linear)
    return int8_linear(linear)


def linear_weights(layer: nn.Module) -> LinearWeights:
    """Return the weights of a linear layer, of a `TimeConv`, or of their 8-bit forms; TypeError for another module."""
    if isinstance(layer, RoundedLinear):
        return LinearWeights(
            weight=layer.q, bias=layer.bias, scale=layer.scale, sums=layer.sums, taps=layer.kernel_size
        )
    if not isinstance(layer, nn.Linear):
        raise TypeError(f"no kernel takes a {type(layer).__name__}")
    bias = torch.zeros(layer.out_features) if layer.bias is None else layer.bias.detach().float()
    return LinearWeights(weight=layer.weight.detach(), bias=bias, taps=getattr(layer, "kernel_size", 1))


def norm_weights(norm: nn.LayerNorm | nn.GroupNorm | nn.RMSNorm) -> NormWeights:
    """Return the weights of a norm with a gain and, but for RMSNorm, a bias."""
    bias = None if isinstance(norm, nn.RMSNorm) else norm.bias.detach().float()
    groups = norm.num_groups if isinstance(norm, nn.GroupNorm) else 1
    eps = torch.finfo(torch.float32).eps if norm.eps is None else norm.eps
    return NormWeights(gain=norm.weight.detach().float(), bias=bias, eps=eps, groups=groups)


def can_chain(layer: nn.Module, inputs: int, outputs: int) -> bool:
    """Return True if a chain takes this layer, and it is one from `inputs` channels to `outputs`."""
    if not isinstance(layer, nn.Linear | RoundedLinear) or getattr(layer, "stride", 1) != 1:
        return False
    taps, step = getattr(layer, "kernel_size", 1), 4 if isinstance(layer, RoundedLinear) else 1
    if taps not in (1, 3) or (layer.in_features, layer.out_features) != (taps * inputs, outputs):
        return False
    return inputs % step == 0 and outputs % OUTPUTS == 0
