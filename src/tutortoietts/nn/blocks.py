"""Blocks over time that several models share.

They work on (B, T, C), channels last, so that every convolution is one matrix product (`nn.Linear`): in bfloat16 on a
CPU that is 2 to 8 times faster than torch's convolutions, and what quantises a Linear quantises these too.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.nn.attention import attend

__all__ = ["AttentionBlock", "RelativeBias", "TimeConv", "TimeGroupNorm", "group_norm"]

_BUCKETS = 32
_MAX_DISTANCE = 64
_NATIVE_GROUP = 32  # channels a group from which the channels-last kernel is the faster one


def group_norm(channels: int) -> nn.GroupNorm:
    """For (B, C, T). 32 groups; 16 up to 64 channels, 8 up to 16; halved until they divide."""
    return nn.GroupNorm(_groups(channels), channels)


def _groups(channels: int) -> int:
    groups = 8 if channels <= 16 else 16 if channels <= 64 else 32
    while channels % groups:
        groups //= 2
    return groups


class TimeGroupNorm(nn.GroupNorm):
    """x (B, T, C) -> (B, T, C): normalised over time and the channels of a group, in float32 inside torch's kernel."""

    def __init__(self, channels: int) -> None:
        super().__init__(_groups(channels), channels)

    def forward(self, x: Tensor) -> Tensor:
        turned = x.transpose(1, 2)
        if x.device.type == "cpu" and self.num_channels >= _NATIVE_GROUP * self.num_groups:
            return super().forward(turned.unsqueeze(2)).squeeze(2).transpose(1, 2)  # the channels-last kernel: no copy
        return super().forward(turned).transpose(1, 2).contiguous()


class TimeConv(nn.Linear):
    """x (B, T, C) -> (B, T / stride, C'): a convolution over time with zero padding of kernel_size // 2.

    weight (C', kernel_size * C): tap after tap; from a Conv1d's by ``weight.permute(0, 2, 1).flatten(1)``.
    """

    def __init__(self, channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__(kernel_size * channels, out_channels)
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, x: Tensor) -> Tensor:
        side, last = self.kernel_size // 2, x.shape[1] - 1
        padded = F.pad(x, (0, 0, side, side))
        last -= last % self.stride
        taps = [padded[:, tap : tap + last + 1 : self.stride] for tap in range(self.kernel_size)]
        return super().forward(torch.cat(taps, dim=-1))


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
    """x (B, T, C) -> (B, T, C): GroupNorm, multi-head attention over time between two Linears, and the input added.

    relative: with a `RelativeBias`. The last Linear starts at zero, so an untrained block changes nothing.
    """

    def __init__(self, channels: int, heads: int, *, relative: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.norm = TimeGroupNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj_out = nn.Linear(channels, channels)
        self.bias = RelativeBias(heads, math.sqrt(channels / heads)) if relative else None
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """bias: this block's own `self.bias(T)`, where the caller already has it."""
        batch, length, channels = x.shape
        if bias is None and self.bias is not None:
            bias = self.bias(length)
        qkv = self.qkv(self.norm(x)).view(batch, length, self.heads, 3, -1)  # for each head [q | k | v]
        q, k, v = qkv.permute(3, 0, 2, 1, 4)
        y = attend(q, k, v, mask=None if bias is None else bias.to(q.dtype))
        return x + self.proj_out(y.transpose(1, 2).reshape(batch, length, channels))  # type: ignore[no-any-return]
