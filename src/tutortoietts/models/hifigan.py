"""HiFi-GAN decoder: a waveform straight from the autoregressive latents, for streaming.

Kong et al., "HiFi-GAN: Generative Adversarial Networks for Efficient and High Fidelity Speech Synthesis", 2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutortoietts.core.config import HifiganConfig
from tutortoietts.core.errors import OptionError
from tutortoietts.native.vocoder_conv import Pair, Upsampler, layer_of, leaky, upsampler_of
from tutortoietts.nn.receptive_field import Span, Stretch, seen, union
from tutortoietts.nn.upsample import branch_mean, dilated_pairs, level_widths, upsamplers

__all__ = ["Hifigan"]

_SLOPE = 0.1
_LAST_SLOPE = 0.01


class Hifigan(nn.Module):
    """Latents (B, S, D) and speaker (B, D) -> waveform (B, 1, floor(4 S * 24000 / 22050) * product of factors).

    `hop`, `reach`, `frame_count`, `settled`, `frames` and `synthesize` are what a streaming decoder has.
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
            _ResidualBlock(width, size, dilations) for width in widths[1:] for size, dilations in shapes
        )
        self.conv_post = nn.Conv1d(widths[-1], cfg.out_channels, 7, padding=3, bias=cfg.final_bias)

        ratios = [Fraction(cfg.code_stride, self.hop)]
        if cfg.output_sample_rate != cfg.input_sample_rate:
            ratios.append(Fraction(cfg.output_sample_rate, cfg.input_sample_rate))
        self.stretch = Stretch(tuple(ratios))
        self.native: Upsampler | None = None

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.cfg.upsample_factors)

    @property
    def reach(self) -> tuple[int, int]:
        """How many frames before and after a frame its samples depend on."""
        span = seen((0, self.hop - 1), self.conv_post)
        branches = len(self.cfg.resblock_kernel_sizes)
        for level in reversed(range(len(self.ups))):
            blocks = self.resblocks[level * branches : (level + 1) * branches]
            span = seen(union(cast(_ResidualBlock, block).seen(span) for block in blocks), self.ups[level])
        first, last = seen(span, self.conv_pre)
        return -first, last

    def accelerate(self, half: bool = False) -> None:
        """Run forwards without gradients on a CPU by `native.vocoder_conv` where the machine can, with the
        weights as they are now. `half`: where it has a matrix unit, its convolutions but the last may multiply numbers
        of 16 bits, which leaves the sound within about 1e-4 of what it is."""
        self.native = upsampler_of(self, leaky(_SLOPE), leaky(_LAST_SLOPE), half)

    def lower(self, dtype: torch.dtype) -> None:
        """All convolutions over samples but the last in `dtype`, about twice as fast where the processor multiplies
        such matrices: frames, the last convolution and so the samples stay in float32."""
        for part in (self.conv_pre, self.ups, self.resblocks):
            part.to(dtype)

    def forward(self, latents: Tensor, speaker: Tensor | None = None) -> Tensor:
        """latents (B, S, D), speaker (B, D), needed unless ``cond_channels`` is 0 -> (B, 1, L) in [-1, 1]."""
        return self.synthesize(self.frames(latents), speaker)

    def frame_count(self, latents: int) -> int:
        """Frames of so many latents."""
        return self.stretch.counts(latents)[-1]

    def settled(self, latents: int) -> int:
        """Frames that no latent after these changes."""
        return self.stretch.settled(latents)

    def frames(self, latents: Tensor, first: int = 0, end: int | None = None) -> Tensor:
        """(B, S, D) -> frames first..end-1 of all, (B, D, F): stretched linearly to one column a hop, then to the
        output's sample rate."""
        count = latents.shape[1]
        end = self.frame_count(count) if end is None else end
        low, high = self.stretch.needed(first, end - 1, count)
        part = latents[:, low : high + 1].to(self.conv_post.weight).transpose(1, 2)
        return self.stretch(part, first, end, start=low, inputs=count)

    def synthesize(self, frames: Tensor, speaker: Tensor | None) -> Tensor:
        """frames (B, D, F), speaker (B, D) -> (B, 1, F * product of factors)."""
        shifts = self._shifts(speaker)
        if self.native is not None and frames.device.type == "cpu" and not torch.is_grad_enabled():
            return self.native(frames, [shift.flatten(1) for shift in shifts]).to(frames.dtype).tanh_()
        x = self.conv_pre(frames.to(self.conv_pre.weight.dtype))
        x = x + shifts[0].to(x.dtype) if shifts else x
        branches = len(self.cfg.resblock_kernel_sizes)
        for level, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, _SLOPE))
            x = x + shifts[level + 1].to(x.dtype) if self.conds else x
            x = branch_mean(self.resblocks, level, branches, x)
        return torch.tanh(self.conv_post(F.leaky_relu(x.to(frames.dtype), _LAST_SLOPE)))

    def _shifts(self, speaker: Tensor | None) -> list[Tensor]:
        """What the speaker adds to every frame, and behind the upsampling of each level: (B, width, 1) each."""
        if self.speaker is None:
            return []
        if speaker is None:
            raise OptionError("this streaming decoder needs a speaker latent and got none")
        column = speaker.to(self.speaker.weight).unsqueeze(-1)
        return [self.speaker(column), *(cond(column) for cond in self.conds)]


class _ResidualBlock(nn.Module):
    """(B, C, L) -> same: pairs of a dilated and a plain convolution."""

    def __init__(self, width: int, size: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.dilated, self.plain = dilated_pairs(width, size, dilations)

    def seen(self, span: Span) -> Span:
        """The inputs that outputs first..last depend on."""
        inner = span
        for dilated, plain in zip(reversed(self.dilated), reversed(self.plain), strict=True):
            inner = seen(inner, dilated, plain)
        return union((span, inner))

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            inner = dilated(F.leaky_relu(x, _SLOPE))
            x = x + plain(F.leaky_relu(inner, _SLOPE))
        return x

    def native(self, split: bool) -> list[Pair]:
        """The same for `native.vocoder_conv`."""
        first, second = ([layer_of(cast(nn.Conv1d, c), split) for c in convs] for convs in (self.dilated, self.plain))
        return [Pair(leaky(_SLOPE), one, leaky(_SLOPE), other) for one, other in zip(first, second, strict=True)]
