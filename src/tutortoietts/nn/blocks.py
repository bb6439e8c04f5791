"""Blocks over time that several models share.

They work on (B, T, C), channels last, so that every convolution is one matrix product (`nn.Linear`): in bfloat16 on a
CPU that is 2 to 8 times faster than torch's convolutions, and code that quantizes a Linear quantizes these too.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.nn.attention import attend

__all__ = ["AttentionBlock", "RelativeBias", "TimeConv", "TimeGroupNorm", "group_norm", "stacked_taps"]

_BUCKETS = 32
_MAX_DISTANCE = 64
_ALIGNED = 8  # numbers
_WIDE_GROUP = 32  # least channels of a group for which the channels-last kernel is faster


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a norm for (B, C, T): 32 groups; 16 up to 64 channels, 8 up to 16; halved until they divide."""
    return nn.GroupNorm(_groups(channels), channels)


def _groups(channels: int) -> int:
    groups = 8 if channels <= 16 else 16 if channels <= 64 else 32
    while channels % groups:
        groups //= 2
    return groups


class TimeGroupNorm(nn.GroupNorm):
    """Group norm, x (B, T, C) -> (B, T, C), over time and the channels of a group; float32 inside torch's kernel."""

    def __init__(self, channels: int) -> None:
        super().__init__(_groups(channels), channels)

    def forward(self, x: Tensor) -> Tensor:
        turned = x.transpose(1, 2)
        if x.device.type == "cpu" and self.num_channels >= _WIDE_GROUP * self.num_groups:
            return super().forward(turned.unsqueeze(2)).squeeze(2).transpose(1, 2)  # the channels-last kernel: no copy
        return super().forward(turned).transpose(1, 2).contiguous()


class TimeConv(nn.Linear):
    """Convolution over time, x (B, T, C) -> (B, T / stride, C'), with zero padding of kernel_size // 2.

    weight (C', kernel_size * C): tap after tap; from a Conv1d's by ``weight.permute(0, 2, 1).flatten(1)``.
    """

    def __init__(self, channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__(kernel_size * channels, out_channels)
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(stacked_taps(x, self.kernel_size, self.stride))


def stacked_taps(x: Tensor, kernel_size: int, stride: int = 1) -> Tensor:
    """Return the inputs of a convolution with zero padding kernel_size // 2, (B, T / stride, kernel_size * C), of x
    (B, T, C)."""
    side, last = kernel_size // 2, x.shape[1] - 1
    padded = F.pad(x, (0, 0, side, side))
    last -= last % stride
    return torch.cat([padded[:, tap : tap + last + 1 : stride] for tap in range(kernel_size)], dim=-1)


class RelativeBias(nn.Module):
    """Bias for every distance between two positions, in logarithmic buckets (T5, arXiv:1910.10683)."""

    def __init__(self, heads: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.table = nn.Embedding(_BUCKETS, heads)

    def line(self, length: int) -> Tensor:
        """Return the biases by distance, (heads, 2 length - 1): first for a key length - 1 places before the query,
        last for one as far after it."""
        distances = torch.arange(length - 1, -length, -1, device=self.table.weight.device)  # query - key
        return (self.table(_bucket(distances)).t() * self.scale).contiguous()  # type: ignore[no-any-return]

    def forward(self, length: int) -> Tensor:
        """Return (1, heads, length, length), to be added to the scores of query i (rows) and key j (columns)."""
        return self.line(length).unfold(1, length, 1).flip(1).contiguous()[None]


def _bucket(distance: Tensor) -> Tensor:
    """Return the bucket, 0..31, of a distance: query position minus key position, any int64.

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
    """Block, x (B, T, C) -> (B, T, C): GroupNorm, multi-head attention over time between two Linears; input added.

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

    def kept_bias(self, length: int) -> Tensor | None:
        """Return the bias in the layout that is fastest on this device, for many calls of `forward` with one length.

        On a CPU (heads, 2 length - 1), see `_attend_line`. Elsewhere (1, heads, length, length), in rows of a multiple
        of 8 numbers, because CUDA's kernels would copy other rows on each call.
        """
        if self.bias is None:
            return None
        if self.bias.table.weight.device.type == "cpu":
            return self.bias.line(length)
        return F.pad(self.bias(length), (0, -length % _ALIGNED))[..., :length]

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Apply the block. bias: its `kept_bias(T)`, if the caller has it; otherwise it is built."""
        batch, length, channels = x.shape
        if bias is None and self.bias is not None:
            bias = self.bias(length)
        qkv = self.qkv(self.norm(x)).view(batch, length, self.heads, 3, -1)  # for each head [q | k | v]
        q, k, v = qkv.permute(3, 0, 2, 1, 4)
        if bias is not None and bias.ndim == 2:
            y = _attend_line(q, k, v, bias)
        else:
            y = attend(q, k, v, mask=None if bias is None else bias.to(q.dtype))
        return x + self.proj_out(y.transpose(1, 2).reshape(batch, length, channels))  # type: ignore[no-any-return]


def _attend_line(q: Tensor, k: Tensor, v: Tensor, line: Tensor) -> Tensor:
    """Attend with a bias (heads, 2 T - 1) by distance, without the square.

    With the queries in reverse order, row i of the square is the line from its i-th number on: a view. So the bias of
    a layer is kilobytes that stay in the cache, not megabytes that are read each time.
    """
    rows = line.to(q.dtype).unfold(1, k.shape[2], 1)[None]
    return attend(q.flip(2), k, v, mask=rows).flip(2)
