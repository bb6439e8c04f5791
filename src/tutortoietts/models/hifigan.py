"""HiFi-GAN decoder: a waveform straight from the autoregressive latents, for streaming.

Kong et al., "HiFi-GAN: Generative Adversarial Networks for Efficient and High Fidelity Speech Synthesis", 2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutortoietts.core.config import HifiganConfig
from tutortoietts.core.errors import OptionError
from tutortoietts.nn.receptive_field import Span, Stretch, seen, union
from tutortoietts.nn.upsample import branch_mean, dilated_pairs, level_widths, upsamplers

__all__ = ["LAST_SLOPE", "SLOPE", "Hifigan", "Needed", "ResidualBlock"]

SLOPE = 0.1
"""Slope of the leaky ReLUs but the last."""
LAST_SLOPE = 0.01


class Needed(NamedTuple):
    """Parts of the signals that some of the samples depend on.

    first: of the first layer's output. levels: of each level's signal, after its upsampling and after its blocks, each
    of what was kept before. last: of the last layer's output.
    """

    first: slice
    levels: Sequence[tuple[slice, slice]]
    last: slice


class Hifigan(nn.Module):
    """Streaming decoder: latents (B, S, D), speaker (B, D) -> waveform (B, 1, floor(4 S 24000 / 22050) * hop).

    `hop`, `reach`, `frame_count`, `settled`, `frames` and `synthesize` are the protocol of a streaming decoder.
    """

    def __init__(self, cfg: HifiganConfig) -> None:
        super().__init__()
        self.cfg = cfg
        widths = level_widths(cfg.upsample_initial_channel, len(cfg.upsample_factors))
        self.conv_pre = nn.Conv1d(cfg.in_channels, widths[0], 7, padding=3)
        self.speaker = nn.Conv1d(cfg.cond_channels, widths[0], 1) if cfg.cond_channels else None
        levels = widths[1:] if cfg.cond_each_level else []
        self.conds = nn.ModuleList(nn.Conv1d(cfg.cond_channels, width, 1) for width in levels)
        self.ups = upsamplers(widths, cfg.upsample_factors, cfg.upsample_kernel_sizes)
        shapes = list(zip(cfg.resblock_kernel_sizes, cfg.resblock_dilation_sizes, strict=True))
        self.resblocks = nn.ModuleList(
            ResidualBlock(width, size, dilations) for width in widths[1:] for size, dilations in shapes
        )
        self.conv_post = nn.Conv1d(widths[-1], cfg.out_channels, 7, padding=3, bias=cfg.final_bias)

        ratios = [Fraction(cfg.code_stride, self.hop)]
        if cfg.output_sample_rate != cfg.input_sample_rate:
            ratios.append(Fraction(cfg.output_sample_rate, cfg.input_sample_rate))
        self.stretch = Stretch(tuple(ratios))

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.cfg.upsample_factors)

    @property
    def reach(self) -> tuple[int, int]:
        """Numbers of frames before and after a frame that its samples depend on."""
        span = seen((0, self.hop - 1), self.conv_post)
        branches = len(self.cfg.resblock_kernel_sizes)
        for level in reversed(range(len(self.ups))):
            blocks = self.resblocks[level * branches : (level + 1) * branches]
            span = seen(union(cast(ResidualBlock, block).seen(span) for block in blocks), self.ups[level])
        first, last = seen(span, self.conv_pre)
        return -first, last

    def forward(self, latents: Tensor, speaker: Tensor | None = None) -> Tensor:
        """Return samples (B, 1, L) in [-1, 1]: latents (B, S, D), speaker (B, D), needed unless cond_channels is 0."""
        return self.synthesize(self.frames(latents), speaker)

    def frame_count(self, latents: int) -> int:
        """Return the number of frames of `latents` latents."""
        return self.stretch.counts(latents)[-1]

    def settled(self, latents: int) -> int:
        """Return the number of frames that no later latent changes."""
        return self.stretch.settled(latents)

    def frames(self, latents: Tensor, first: int = 0, end: int | None = None) -> Tensor:
        """Return frames first..end-1 of latents (B, S, D), as (B, D, F).

        Latents are stretched linearly to one column for each hop, then to the output's sample rate.
        """
        count = latents.shape[1]
        end = self.frame_count(count) if end is None else end
        low, high = self.stretch.needed(first, end - 1, count)
        part = latents[:, low : high + 1].to(self.conv_post.weight).transpose(1, 2)
        return self.stretch(part, first, end, start=low, inputs=count)

    def synthesize(self, frames: Tensor, speaker: Tensor | None, skip: tuple[int, int] = (0, 0)) -> Tensor:
        """Return samples (B, 1, L) of frames (B, D, F) and speaker (B, D), L = (F - sum(skip)) * hop.

        skip: numbers of frames at both ends that are only the surroundings of the others, and are not sounded.
        """
        return torch.tanh(self.upsample(frames, self._shifts(speaker), skip))

    def upsample(self, frames: Tensor, shifts: Sequence[Tensor], skip: tuple[int, int] = (0, 0)) -> Tensor:
        """Return samples before the last tanh.

        shifts, each (B, W, 1): the first is added after the first layer, others after the upsampling of each level.
        skip: as in `synthesize`; each layer computes only what the others need.

        The convolutions between the first and the last may be in another dtype than the frames.
        """
        x = self.conv_pre(frames.to(self.conv_pre.weight.dtype))
        x = x + shifts[0].to(x.dtype) if shifts else x
        needed = self.needed(frames.shape[-1], skip)
        x = x[..., needed.first]
        branches = len(self.cfg.resblock_kernel_sizes)
        for level, (up, (entering, leaving)) in enumerate(zip(self.ups, needed.levels, strict=True)):
            x = up(F.leaky_relu(x, SLOPE))[..., entering]
            x = x + shifts[level + 1].to(x.dtype) if len(shifts) > 1 else x
            x = branch_mean(self.resblocks, level, branches, x)[..., leaving]
        return self.conv_post(F.leaky_relu(x.to(frames.dtype), LAST_SLOPE))[..., needed.last]  # type: ignore[no-any-return]

    def needed(self, frames: int, skip: tuple[int, int]) -> Needed:
        """Return what the samples of `frames` frames without those of `skip` at both ends depend on."""
        lengths = [frames]
        for rate in self.cfg.upsample_factors:
            lengths.append(lengths[-1] * rate)
        wanted = skip[0] * self.hop, lengths[-1] - skip[1] * self.hop - 1
        branches = len(self.cfg.resblock_kernel_sizes)
        span = _within(seen(wanted, self.conv_post), lengths[-1])
        last, levels = _slice(wanted, span[0]), list[tuple[slice, slice]]()
        for level in reversed(range(len(self.ups))):
            blocks = self.resblocks[level * branches : (level + 1) * branches]
            inner = _within(union(cast(ResidualBlock, block).seen(span) for block in blocks), lengths[level + 1])
            outer = _within(seen(inner, self.ups[level]), lengths[level])
            start = outer[0] * self.cfg.upsample_factors[level]
            levels.insert(0, (_slice(inner, start), _slice(span, inner[0])))
            span = outer
        return Needed(first=_slice(span, 0), levels=levels, last=last)

    def _shifts(self, speaker: Tensor | None) -> list[Tensor]:
        """Return what the speaker adds after the first layer, and to each level if it does, (B, W, 1) each."""
        if self.speaker is None:
            return []
        if speaker is None:
            raise OptionError("this streaming decoder needs a speaker latent and got none")
        column = speaker.to(self.speaker.weight).unsqueeze(-1)
        return [self.speaker(column), *(cond(column) for cond in self.conds)]


def _within(span: Span, length: int) -> Span:
    return max(span[0], 0), min(span[1], length - 1)


def _slice(span: Span, start: int) -> slice:
    """Return the span as a part of a signal that begins at `start`."""
    return slice(span[0] - start, span[1] + 1 - start)


class ResidualBlock(nn.Module):
    """Residual block, (B, C, L) -> (B, C, L): pairs of a dilated and a plain convolution."""

    def __init__(self, width: int, size: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.dilated, self.plain = dilated_pairs(width, size, dilations)

    def seen(self, span: Span) -> Span:
        """Return the first and last input that outputs first..last depend on."""
        inner = span
        for dilated, plain in zip(reversed(self.dilated), reversed(self.plain), strict=True):
            inner = seen(inner, dilated, plain)
        return union((span, inner))

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            inner = dilated(F.leaky_relu(x, SLOPE))
            x = x + plain(F.leaky_relu(inner, SLOPE))
        return x
