"""`RotaryEncoder` of CLVP and CVVP as one chain of layers on a CPU."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from tutortoietts.accelerate.cache import chains
from tutortoietts.accelerate.eligible import changed_layer, forwards
from tutortoietts.accelerate.layers import CompiledInt8Linear, can_chain, linear_weights, norm_weights
from tutortoietts.native import layer_chain
from tutortoietts.native.layer_chain import Attend, Chain, Convolve, Rotate, Step
from tutortoietts.nn.quant import Int8RowsLinear
from tutortoietts.nn.rotary_encoder import Attention, FeedForward, RotaryEncoder, rotation

__all__ = ["AcceleratedEncoder"]

_KNOWN = forwards(Attention, FeedForward, nn.RMSNorm, nn.Linear, Int8RowsLinear, CompiledInt8Linear)


class AcceleratedEncoder(RotaryEncoder):
    """Encoder whose forwards without gradients on a CPU run as a chain, unless `why_not` gives a reason.

    `accelerate` turns a `RotaryEncoder` into it.
    """

    def why_not(self) -> str | None:
        """Return why torch does the work, or None."""
        if layer_chain.library() is None:
            return "no compiled kernels"
        reason = changed_layer(self.layers, _KNOWN, layer_chain.DTYPES)
        if reason is None and not all(map(self._fits, self.layers)):
            reason = "a layer is of another size"
        return reason

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        if x.device.type != "cpu" or torch.is_grad_enabled() or self.why_not() is not None:
            return super().forward(x, lengths)
        chain = chains.get(self, self.layers, x.shape[1], partial(self._build, x.shape[1]))
        return self.norm(_run(chain, x, lengths))  # type: ignore[no-any-return]

    def _fits(self, layer: nn.Module) -> bool:
        """Return True if a layer has the sizes of this encoder, and a chain takes those."""
        dim, inner, wide = self.widths
        size = inner // self.heads
        if isinstance(layer, Attention):
            sizes = ((layer.qkv, dim, 3 * inner), (layer.out, inner, dim))
            if layer.heads != self.heads or self.rotary_dim > size or size % layer_chain.OUTPUTS:
                return False
        elif isinstance(layer, FeedForward):
            sizes = ((layer.widen, dim, 2 * wide), (layer.narrow, wide, dim))
        else:
            return False
        return layer.norm.elementwise_affine and all(can_chain(*one) for one in sizes)

    def _build(self, length: int) -> Chain:
        """Return the layers for `length` positions."""
        dim, inner, wide = self.widths
        size = inner // self.heads
        angles = rotation(length, self.rotary_dim, self.norm.weight.device)
        cos, sin = (table[:, : self.rotary_dim // 2] for table in angles)
        # the signal: x | queries, keys and values of all heads, or the wide layer | output of attention
        work, mixed = dim, dim + max(3 * inner, 2 * wide)
        steps: list[Step] = []
        for layer in self.layers:
            if isinstance(layer, Attention):
                qkv, out = linear_weights(layer.qkv), linear_weights(layer.out)
                steps += [
                    Convolve(layer=qkv, norm=norm_weights(layer.norm), source=0, target=work),
                    Rotate(heads=3 * layer.heads, size=size, source=work, cos=cos, sin=sin),
                    Attend(
                        heads=layer.heads, size=size, head_stride=size, part_stride=inner, source=work, target=mixed
                    ),
                    Convolve(layer=out, source=mixed, target=0, add=True),
                ]
            elif isinstance(layer, FeedForward):
                widen, narrow = linear_weights(layer.widen), linear_weights(layer.narrow)
                steps += [
                    Convolve(layer=widen, norm=norm_weights(layer.norm), source=0, target=work),
                    Convolve(layer=narrow, activation="geglu", source=work, target=0, add=True),
                ]
        return Chain(steps, mixed + inner, length, layer_chain.library())


def _run(chain: Chain, x: Tensor, lengths: Tensor | None) -> Tensor:
    """Return the output of a chain, (B, T, D) like x."""
    rows, _, dim = x.shape
    buffers = chain.buffers()
    signal = buffers.signal(rows)
    signal[:, :dim] = x.transpose(1, 2)
    buffers.run(rows, lengths=lengths)
    return signal[:, :dim].transpose(1, 2).to(x.dtype, copy=True)
