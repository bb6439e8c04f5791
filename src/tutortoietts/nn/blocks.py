"""Blocks over (B, C, T) that several models share: group normalisation and self-attention over time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tutortoietts.nn.attention import attend

__all__ = ["AttentionBlock", "RelativeBias", "group_norm"]

_BUCKETS = 32
_MAX_DISTANCE = 64


def group_norm(channels: int) -> nn.GroupNorm:
    """32 groups; 16 up to 64 channels, 8 up to 16; halved until they divide. torch's kernel computes in float32."""
    groups = 8 if channels <= 16 else 16 if channels <= 64 else 32
    while channels % groups:
        groups //= 2
    return nn.GroupNorm(groups, channels)


class RelativeBias(nn.Module):
    """A bias for every distance between two positions, in logarithmic buckets (T5, arXiv:1910.10683)."""

    def __init__(self, heads: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.table = nn.Embedding(_BUCKETS, heads)

    def forward(self, length: int) -> Tensor:
        """(1, heads, length, length), to be added to the scores of query i (rows) and key j (columns)."""
        distances = torch.arange(length - 1, -length, -1, device=self.table.weight.device)  # query - key
        line = self.table(_bucket(distances)).t() * self.scale  # (heads, 2 length - 1)
        return line.unfold(1, length, 1).flip(1)[None]  # type: ignore[no-any-return]


def _bucket(distance: Tensor) -> Tensor:
    """Query position minus key position, any int64 -> bucket 0..31.

    The upper half is for keys after the query. Distances below 8 have their own bucket; from 8 to 64 they share
    logarithmic ones, and all beyond the last.
    """
    half = _BUCKETS // 2
    exact = half // 2
    size = distance.abs()
    steps = torch.log(size.clamp(min=1).float() / exact) / math.log(_MAX_DISTANCE / exact) * (half - exact)
    far = (exact + steps.long()).clamp(max=half - 1)
    return torch.where(size < exact, size, far) + torch.where(distance < 0, half, 0)


class AttentionBlock(nn.Module):
    """x (B, C, T) -> (B, C, T): GroupNorm, 1x1 convs around multi-head attention over time, and the input added.

    relative: with a `RelativeBias`. The last conv starts at zero, so an untrained block changes nothing.
    """

    def __init__(self, channels: int, heads: int, *, relative: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.norm = group_norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)
        self.bias = RelativeBias(heads, math.sqrt(channels / heads)) if relative else None
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """bias: this block's own `self.bias(T)`, where the caller already has it."""
        batch, channels, length = x.shape
        if bias is None and self.bias is not None:
            bias = self.bias(length)
        qkv = self.qkv(self.norm(x)).view(batch, self.heads, -1, length)  # for each head [q | k | v]
        q, k, v = qkv.transpose(2, 3).chunk(3, dim=3)
        y = attend(q, k, v, mask=None if bias is None else bias.to(q.dtype))
        return x + self.proj_out(y.transpose(2, 3).reshape(batch, channels, length))  # type: ignore[no-any-return]
