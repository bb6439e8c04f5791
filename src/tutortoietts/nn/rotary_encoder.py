"""Transformer encoder of CLVP and CVVP: RMSNorm, rotary attention, GEGLU feed-forward, no mask but padding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.accelerate.eligible import forwards, why_not
from tutortoietts.native.layer_chain import NUMBERS, Attend, Chain, Convolve, Rotate, Step, can_attend, can_run, library
from tutortoietts.nn.attention import attend
from tutortoietts.nn.quant import Int8RowsLinear

__all__ = ["RotaryEncoder", "real_positions"]

_BASE = 10000.0
_RMS_EPS = 1e-16  # the square of the original's least root mean square, 1e-8


class Attention(nn.Module):
    """x (B, T, D) -> (B, T, D), the input added. Queries, keys and also values are rotated."""

    def __init__(self, dim: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.RMSNorm(dim, eps=_RMS_EPS)
        self.qkv = nn.Linear(dim, 3 * heads * head_dim, bias=False)
        self.out = nn.Linear(heads * head_dim, dim)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, _ = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = _rotate(qkv, cos, sin)
        return x + self.out(attend(q, k, v, mask=mask).transpose(1, 2).reshape(batch, length, -1))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """x (B, T, D) -> (B, T, D): x * gelu(gate) on `mult` times the width, the input added (arXiv:2002.05202)."""

    def __init__(self, dim: int, mult: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(dim, eps=_RMS_EPS)
        self.widen = nn.Linear(dim, 2 * mult * dim)
        self.narrow = nn.Linear(mult * dim, dim)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        value, gate = self.widen(self.norm(x)).chunk(2, dim=-1)
        return x + self.narrow(value * F.gelu(gate))  # type: ignore[no-any-return]


class RotaryEncoder(nn.Module):
    """x (B, T, D) -> (B, T, D): `depth` times attention and feed-forward, then LayerNorm."""

    def __init__(self, dim: int, depth: int, heads: int, head_dim: int, rotary_dim: int, mult: int) -> None:
        super().__init__()
        self.rotary_dim, self.heads = rotary_dim, heads
        self.widths = dim, heads * head_dim, mult * dim
        self.native = False
        pairs = [(Attention(dim, heads, head_dim), FeedForward(dim, mult)) for _ in range(depth)]
        self.layers = nn.ModuleList(layer for pair in pairs for layer in pair)
        self.norm = nn.LayerNorm(dim)

    def accelerate(self) -> None:
        """From now on forwards without gradients on a CPU go through `native.layer_chain`, where it can take them."""
        self.native = True

    def _fits(self, layer: nn.Module) -> bool:
        """Whether a layer is of the sizes of this encoder, and `native.layer_chain` takes those."""
        dim, inner, wide = self.widths
        size = inner // self.heads
        if isinstance(layer, Attention):
            sizes = ((layer.qkv, dim, 3 * inner), (layer.out, inner, dim))
            if layer.heads != self.heads or self.rotary_dim > size or not can_attend(size):
                return False
        elif isinstance(layer, FeedForward):
            sizes = ((layer.widen, dim, 2 * wide), (layer.narrow, wide, dim))
        else:
            return False
        return layer.norm.elementwise_affine and all(can_run(*one) for one in sizes)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """lengths (B,) int64: positions from there on are padding, which no other position sees; None: none is."""
        if self.native and x.device.type == "cpu" and not torch.is_grad_enabled():
            chain = _chain(self, x.shape[1])
            if chain is not None:
                return self.norm(_through(chain, x, lengths))  # type: ignore[no-any-return]
        cos, sin = _angles(x.shape[1], self.rotary_dim, x)
        mask = None if lengths is None else real_positions(x.shape[1], lengths)[:, None, None]
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        return self.norm(x)  # type: ignore[no-any-return]


_KNOWN = forwards(Attention, FeedForward, nn.RMSNorm, nn.Linear, Int8RowsLinear)


def _chain(encoder: RotaryEncoder, length: int) -> Chain | None:
    """The layers for so many positions, as they are now; None where torch must do it."""
    made = library()
    if made is None or why_not(encoder.layers, _KNOWN, NUMBERS) or not all(map(encoder._fits, encoder.layers)):
        return None
    dim, inner, wide = encoder.widths
    size = inner // encoder.heads
    turns = _angles(length, encoder.rotary_dim, encoder.norm.weight)
    cos, sin = (angles[:, : encoder.rotary_dim // 2] for angles in turns)
    # the signal: x | queries, keys and values of all heads, or what is bf16_to_f32 | what attention makes
    work, mixed = dim, dim + max(3 * inner, 2 * wide)
    steps: list[Step] = []
    for layer in encoder.layers:
        if isinstance(layer, Attention):
            steps += [
                Convolve(layer=layer.qkv, norm=layer.norm, source=0, target=work),
                Rotate(heads=3 * layer.heads, size=size, source=work, cos=cos, sin=sin),
                Attend(heads=layer.heads, size=size, step=size, apart=inner, source=work, target=mixed),
                Convolve(layer=layer.out, source=mixed, target=0, add=True),
            ]
        elif isinstance(layer, FeedForward):
            steps += [
                Convolve(layer=layer.widen, norm=layer.norm, source=0, target=work),
                Convolve(layer=layer.narrow, active="geglu", source=work, target=0, add=True),
            ]
    return Chain(steps, mixed + inner, length, made)


def _through(chain: Chain, x: Tensor, lengths: Tensor | None) -> Tensor:
    rows, _, dim = x.shape
    signal = chain.signal(rows)
    signal[:, :dim] = x.transpose(1, 2)
    chain.run(rows, lengths=lengths)
    return signal[:, :dim].transpose(1, 2).to(x.dtype, copy=True)


def real_positions(length: int, lengths: Tensor) -> Tensor:
    """(B, length) bool: which positions are not padding."""
    return torch.arange(length, device=lengths.device) < lengths[:, None]


def _angles(length: int, dim: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin (length, dim): pair k of a position turns by position * 10000 ** (-2 k / dim)."""
    rates = _BASE ** (-torch.arange(0, dim, 2, device=like.device, dtype=torch.float32) / dim)
    angles = torch.outer(torch.arange(length, device=like.device, dtype=torch.float32), rates)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (..., T, E): the first channels rotated by position, halves as pairs (arXiv:2104.09864), in float32."""
    turned, rest = x[..., : cos.shape[-1]].float(), x[..., cos.shape[-1] :]
    first, second = turned.chunk(2, dim=-1)
    turned = turned * cos + torch.cat([-second, first], dim=-1) * sin
    return torch.cat([turned.to(x.dtype), rest], dim=-1)
