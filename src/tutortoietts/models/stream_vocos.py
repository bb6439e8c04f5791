"""A small streaming decoder: a convolutional front from latents to mel frames, then the model's own Vocos vocoder.

The vocoder's weights are those of the voice model's vocoder file; only the front has a file of its own. All layers are
local, so any part of the sound can be made from the latents around it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.audio.mel import denormalize_mel
from tutortoietts.core.config import StreamVocosConfig
from tutortoietts.core.errors import ModelError
from tutortoietts.models.vocos import ConvNeXtBlock, Vocos
from tutortoietts.nn.receptive_field import Span, Stretch, seen, seen_transposed

__all__ = ["StreamFront", "StreamVocos"]

_KERNEL = 7


class StreamFront(nn.Module):
    """Front, latents (B, S, D) and speaker (B, D) -> normalised mel (B, n_mels, F), F: `frame_count(S)`.

    A latent and the next one, which depends on the code that was drawn, give `upsample` columns; these are stretched
    linearly to frames. The blocks over frames look back further than ahead (`ahead` frames each), for low latency.
    """

    def __init__(self, cfg: StreamVocosConfig) -> None:
        super().__init__()
        self.cfg = cfg
        dim = cfg.dim
        self.embed = nn.Conv1d(cfg.in_channels, dim, 2)
        self.spread = nn.Conv1d(dim, cfg.upsample * dim, 1)
        self.speaker = nn.Linear(cfg.cond_channels, 2 * dim)
        self.blocks = nn.ModuleList(ConvNeXtBlock(dim, cfg.intermediate_dim, 1 / cfg.layers) for _ in range(cfg.layers))
        for block in self.blocks:
            sides = (_KERNEL - 1 - cfg.ahead, cfg.ahead)
            conv = nn.Conv1d(dim, dim, _KERNEL, groups=dim)
            block.depthwise = nn.Sequential(nn.ConstantPad1d(sides, 0.0), conv)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.out = nn.Linear(dim, cfg.n_mels)
        columns = Fraction(cfg.code_stride, cfg.hop) * Fraction(cfg.output_sample_rate, cfg.input_sample_rate)
        self.stretch = Stretch((columns / cfg.upsample,))

    def frame_count(self, latents: int) -> int:
        """Return the number of frames of `latents` latents."""
        return self.stretch.counts(latents * self.cfg.upsample)[-1]

    def settled(self, latents: int) -> int:
        """Return the number of frames that no later latent changes."""
        return self.stretch.settled(max(0, latents - 1) * self.cfg.upsample)

    def frames(self, latents: Tensor, first: int = 0, end: int | None = None) -> Tensor:
        """Return frames first..end-1 before the blocks, (B, dim, F), of latents (B, S, D)."""
        up, count = self.cfg.upsample, latents.shape[1]
        end = self.frame_count(count) if end is None else end
        low, high = (column // up for column in self.stretch.needed(first, end - 1, count * up))
        part = latents[:, low : high + 2].to(self.embed.weight).transpose(1, 2)
        x = F.gelu(self.embed(F.pad(part, (0, high + 2 - low - part.shape[-1]))), approximate="tanh")
        columns = self.spread(x).unflatten(1, (-1, up)).transpose(2, 3).flatten(2)
        return self.stretch(columns, first, end, start=low * up, inputs=count * up)

    def mel(self, frames: Tensor, speaker: Tensor) -> Tensor:
        """Return a normalised mel (B, n_mels, F): frames (B, dim, F) of `frames`, speaker (B, D)."""
        scale, shift = self.speaker(speaker.to(frames)).unsqueeze(-1).chunk(2, dim=1)
        x = frames * (1 + scale) + shift
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x.transpose(1, 2))).transpose(1, 2)  # type: ignore[no-any-return]

    def forward(self, latents: Tensor, speaker: Tensor) -> Tensor:
        return self.mel(self.frames(latents), speaker)


class StreamVocos:
    """A front and a vocoder as one streaming decoder. Raises ModelError if their mels differ."""

    def __init__(self, front: StreamFront, vocoder: Vocos) -> None:
        ours, theirs = (front.cfg.n_mels, front.cfg.hop), (vocoder.cfg.n_mels, vocoder.cfg.hop)
        if ours != theirs:
            raise ModelError(f"the streaming decoder makes (mels, hop) {ours}, but the vocoder takes {theirs}")
        self.front, self.vocoder = front, vocoder

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return self.front.cfg.hop

    @property
    def reach(self) -> tuple[int, int]:
        """Numbers of frames before and after a frame that its samples depend on."""
        vocoder, size = self.vocoder, self.vocoder.cfg.n_fft
        span: Span = seen_transposed((0, self.hop - 1), size, self.hop, size // 2)
        for block in (*reversed(vocoder.blocks), vocoder.embed, *reversed(self.front.blocks)):
            span = seen(span, block if isinstance(block, nn.Conv1d) else cast(ConvNeXtBlock, block).depthwise)
        return -span[0], span[1]

    def frame_count(self, latents: int) -> int:
        """Return the number of frames of `latents` latents."""
        return self.front.frame_count(latents)

    def settled(self, latents: int) -> int:
        """Return the number of frames that no later latent changes."""
        return self.front.settled(latents)

    def frames(self, latents: Tensor, first: int = 0, end: int | None = None) -> Tensor:
        """Return frames first..end-1: see `StreamFront.frames`."""
        return self.front.frames(latents, first, end)

    def synthesize(self, frames: Tensor, speaker: Tensor, skip: tuple[int, int] = (0, 0)) -> Tensor:
        """Return samples (B, 1, L) of frames (B, dim, F) and speaker (B, D), L = (F - sum(skip)) * hop.

        skip: numbers of frames at both ends that are only the surroundings of the others.
        """
        mel = self.front.mel(frames, speaker).float().clamp(-1.0, 1.0)
        wave: Tensor = self.vocoder(denormalize_mel(mel))
        return wave[..., skip[0] * self.hop : wave.shape[-1] - skip[1] * self.hop]
