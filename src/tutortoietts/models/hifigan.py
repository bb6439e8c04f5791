"""HiFi-GAN decoder: a waveform straight from the autoregressive latents, for streaming.

Kong et al., "HiFi-GAN: Generative Adversarial Networks for Efficient and High Fidelity Speech Synthesis", 2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutortoietts.core.config import HifiganConfig
from tutortoietts.core.errors import OptionError

__all__ = ["Hifigan"]

_SLOPE = 0.1
_LAST_SLOPE = 0.01


class Hifigan(nn.Module):
    """Latents (B, S, D) and speaker (B, D) -> waveform (B, 1, floor(4 S * 24000 / 22050) * product of factors)."""

    def __init__(self, cfg: HifiganConfig) -> None:
        super().__init__()
        self.cfg = cfg
        widths = [cfg.upsample_initial_channel >> level for level in range(len(cfg.upsample_factors) + 1)]
        self.conv_pre = nn.Conv1d(cfg.in_channels, widths[0], 7, padding=3)
        self.speaker = nn.Conv1d(cfg.cond_channels, widths[0], 1) if cfg.cond_channels else None
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(wide, narrow, size, stride=rate, padding=(size - rate) // 2)
            for (wide, narrow), rate, size in zip(
                pairwise(widths), cfg.upsample_factors, cfg.upsample_kernel_sizes, strict=True
            )
        )
        shapes = list(zip(cfg.resblock_kernel_sizes, cfg.resblock_dilation_sizes, strict=True))
        self.resblocks = nn.ModuleList(
            _ResidualBlock(width, size, dilations) for width in widths[1:] for size, dilations in shapes
        )
        self.conv_post = nn.Conv1d(widths[-1], cfg.out_channels, 7, padding=3)

    def forward(self, latents: Tensor, speaker: Tensor | None = None) -> Tensor:
        """latents (B, S, D), speaker (B, D), needed unless ``cond_channels`` is 0 -> (B, 1, L) in [-1, 1]."""
        return self.synthesize(self.frames(latents), speaker)

    def frames(self, latents: Tensor) -> Tensor:
        """(B, S, D) -> (B, D, F): stretched linearly to one column a hop, then to the output's sample rate."""
        cfg = self.cfg
        columns = cfg.code_stride / math.prod(cfg.upsample_factors)
        x = F.interpolate(latents.transpose(1, 2), scale_factor=columns, mode="linear")
        if cfg.output_sample_rate == cfg.input_sample_rate:
            return x
        return F.interpolate(x, scale_factor=cfg.output_sample_rate / cfg.input_sample_rate, mode="linear")

    def synthesize(self, frames: Tensor, speaker: Tensor | None) -> Tensor:
        """frames (B, D, F), speaker (B, D) -> (B, 1, F * product of factors)."""
        x = self.conv_pre(frames)
        if self.speaker is not None:
            if speaker is None:
                raise OptionError("this streaming decoder needs a speaker latent and got none")
            x = x + self.speaker(speaker.unsqueeze(-1))
        branches = len(self.cfg.resblock_kernel_sizes)
        for level, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, _SLOPE))
            outputs = [self.resblocks[level * branches + branch](x) for branch in range(branches)]
            x = torch.stack(outputs).mean(dim=0)
        return torch.tanh(self.conv_post(F.leaky_relu(x, _LAST_SLOPE)))


class _ResidualBlock(nn.Module):
    """(B, C, L) -> same: pairs of a dilated and a plain convolution."""

    def __init__(self, width: int, size: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.dilated = nn.ModuleList(
            nn.Conv1d(width, width, size, padding=(size - 1) * d // 2, dilation=d) for d in dilations
        )
        self.plain = nn.ModuleList(nn.Conv1d(width, width, size, padding=size // 2) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            inner = dilated(F.leaky_relu(x, _SLOPE))
            x = x + plain(F.leaky_relu(inner, _SLOPE))
        return x
