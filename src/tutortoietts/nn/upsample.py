"""Layers of the vocoders of the HiFi-GAN family: upsampling convolutions, each followed by residual branches.

Kong et al., "HiFi-GAN: Generative Adversarial Networks for Efficient and High Fidelity Speech Synthesis", 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

__all__ = ["branch_mean", "dilated_pairs", "level_widths", "split_levels", "upsamplers"]

T = TypeVar("T")


def level_widths(first: int, levels: int) -> list[int]:
    """Return the channels before the first level and after each: halved every time."""
    return [first >> level for level in range(levels + 1)]


def upsamplers(widths: Sequence[int], rates: Sequence[int], sizes: Sequence[int]) -> nn.ModuleList:
    """Return a transposed convolution for each level: (B, widths[i], L) -> (B, widths[i + 1], L * rates[i])."""
    return nn.ModuleList(
        nn.ConvTranspose1d(wide, narrow, size, stride=rate, padding=(size - rate) // 2)
        for (wide, narrow), rate, size in zip(pairwise(widths), rates, sizes, strict=True)
    )


def dilated_pairs(width: int, size: int, dilations: Sequence[int]) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Return a dilated and a plain convolution for each dilation, all (B, width, L) -> (B, width, L)."""
    dilated = nn.ModuleList(nn.Conv1d(width, width, size, padding=(size - 1) * d // 2, dilation=d) for d in dilations)
    plain = nn.ModuleList(nn.Conv1d(width, width, size, padding=size // 2) for _ in dilations)
    return dilated, plain


def branch_mean(blocks: nn.ModuleList, level: int, branches: int, x: Tensor) -> Tensor:
    """Return the mean of a level's branches of x (B, C, L), in the same shape; `blocks`: those of all levels."""
    return torch.stack([blocks[level * branches + branch](x) for branch in range(branches)]).mean(dim=0)


def split_levels(parts: Sequence[T], levels: int) -> list[Sequence[T]]:
    """Split the parts of all branches by level."""
    branches = len(parts) // levels
    return [parts[start : start + branches] for start in range(0, len(parts), branches)]
