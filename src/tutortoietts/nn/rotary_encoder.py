"""Transformer encoder of CLVP and CVVP: RMSNorm, rotary attention, GEGLU feed-forward, no mask but padding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.nn.attention import attend

__all__ = ["Attention", "FeedForward", "RotaryEncoder", "real_positions", "rotate", "rotation"]

_BASE = 10000.0
_RMS_EPS = 1e-16  # the square of the least root mean square in the original Tortoise, 1e-8


class Attention(nn.Module):
    """Attention, x (B, T, D) -> (B, T, D), with the input added. Queries, keys and also values are rotated."""

    def __init__(self, dim: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.RMSNorm(dim, eps=_RMS_EPS)
        self.qkv = nn.Linear(dim, 3 * heads * head_dim, bias=False)
        self.out = nn.Linear(heads * head_dim, dim)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, _ = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = rotate(qkv, cos, sin)
        return x + self.out(attend(q, k, v, mask=mask).transpose(1, 2).reshape(batch, length, -1))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """GEGLU layer, x (B, T, D) -> (B, T, D): value * gelu(gate) of `mult` times the width, with the input added
    (arXiv:2002.05202)."""

    def __init__(self, dim: int, mult: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(dim, eps=_RMS_EPS)
        self.widen = nn.Linear(dim, 2 * mult * dim)
        self.narrow = nn.Linear(mult * dim, dim)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        value, gate = self.widen(self.norm(x)).chunk(2, dim=-1)
        return x + self.narrow(value * F.gelu(gate))  # type: ignore[no-any-return]


class RotaryEncoder(nn.Module):
    """Encoder, x (B, T, D) -> (B, T, D): `depth` times attention and feed-forward, then LayerNorm."""

    def __init__(self, dim: int, depth: int, heads: int, head_dim: int, rotary_dim: int, mult: int) -> None:
        super().__init__()
        self.rotary_dim, self.heads = rotary_dim, heads
        self.widths = dim, heads * head_dim, mult * dim
        pairs = [(Attention(dim, heads, head_dim), FeedForward(dim, mult)) for _ in range(depth)]
        self.layers = nn.ModuleList(layer for pair in pairs for layer in pair)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode x. lengths (B,) int64: positions from there on are padding, which no other sees; None: no padding."""
        cos, sin = rotation(x.shape[1], self.rotary_dim, x.device)
        mask = None if lengths is None else real_positions(x.shape[1], lengths)[:, None, None]
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        return self.norm(x)  # type: ignore[no-any-return]


def real_positions(length: int, lengths: Tensor) -> Tensor:
    """Return (B, length) bool: True where a position is not padding."""
    return torch.arange(length, device=lengths.device) < lengths[:, None]


def rotation(length: int, dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cos and sin (length, dim): pair k of a position rotates by position * 10000 ** (-2 k / dim)."""
    rates = _BASE ** (-torch.arange(0, dim, 2, device=device, dtype=torch.float32) / dim)
    angles = torch.outer(torch.arange(length, device=device, dtype=torch.float32), rates)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the first channels of x (..., T, E) by position, halves as pairs, in float32 (arXiv:2104.09864)."""
    rotated, rest = x[..., : cos.shape[-1]].float(), x[..., cos.shape[-1] :]
    first, second = rotated.chunk(2, dim=-1)
    rotated = rotated * cos + torch.cat([-second, first], dim=-1) * sin
    return torch.cat([rotated.to(x.dtype), rest], dim=-1)
