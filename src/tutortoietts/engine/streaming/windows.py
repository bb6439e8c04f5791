"""Latents to sound in windows: each with exactly the surroundings it needs, so that joined they are the whole."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

__all__ = ["StreamDecoder", "Windows", "decode_whole"]


class StreamDecoder(Protocol):
    """What a streaming decoder has: latents (B, S, D) become frames, and frames sound, `hop` samples each."""

    @property
    def hop(self) -> int: ...

    @property
    def reach(self) -> tuple[int, int]:
        """How many frames before and after a frame its samples depend on."""

    def frame_count(self, latents: int) -> int:
        """Frames of so many latents."""

    def settled(self, latents: int) -> int:
        """Frames that no latent after these changes."""

    def frames(self, latents: Tensor, first: int = 0, end: int | None = None) -> Tensor:
        """Frames first..end-1 of all that the latents so far give -> (B, C, end - first)."""

    def synthesize(self, frames: Tensor, speaker: Tensor) -> Tensor:
        """frames (B, C, F), speaker (B, D) -> (B, 1, F * hop)."""


@torch.inference_mode()
def decode_whole(decoder: StreamDecoder, latents: Tensor, speaker: Tensor) -> Tensor:
    """The oracle: latents (1, S, D) to sound (samples,) in -1..1 at once."""
    return decoder.synthesize(decoder.frames(latents), speaker).flatten().clamp(-1.0, 1.0)


class Windows:
    """The sound of one utterance, whose latents come bit by bit. `speaker` (1, D)."""

    def __init__(self, decoder: StreamDecoder, speaker: Tensor) -> None:
        self.decoder, self.speaker = decoder, speaker
        self.before, self.after = decoder.reach
        self.sounded = 0  # frames that have been given out

    @torch.inference_mode()
    def push(self, latents: Tensor, last: bool) -> Tensor:
        """What can be heard now and was not before, (samples,) in -1..1, maybe empty.

        latents (1, S, D): all so far, at least one if they are the `last`.
        """
        count = latents.shape[1]
        ready = self.decoder.frame_count(count) if last else self.decoder.settled(count)
        end = ready if last else ready - self.after
        if end <= self.sounded:
            return self.speaker.new_zeros(0)
        first = max(0, self.sounded - self.before)
        wave = self.decoder.synthesize(self.decoder.frames(latents, first, ready), self.speaker).flatten()
        hop = self.decoder.hop
        sound = wave[(self.sounded - first) * hop : (end - first) * hop]
        self.sounded = end
        return sound.clamp(-1.0, 1.0)
