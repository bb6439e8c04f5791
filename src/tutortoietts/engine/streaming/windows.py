"""Decode latents to sound in windows, each with exactly the surroundings it needs, so that they join without seams."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

__all__ = ["StreamDecoder", "Windows", "decode_whole"]


class StreamDecoder(Protocol):
    """Streaming decoder: latents (B, S, D) become frames, and frames sound, `hop` samples each."""

    @property
    def hop(self) -> int: ...

    @property
    def reach(self) -> tuple[int, int]:
        """Numbers of frames before and after a frame that its samples depend on."""

    def frame_count(self, latents: int) -> int:
        """Return the number of frames that `latents` latents give."""

    def settled(self, latents: int) -> int:
        """Return the number of frames that no latent after these can change."""

    def frames(self, latents: Tensor, first: int = 0, end: int | None = None) -> Tensor:
        """Return frames first..end-1 (B, C, end - first) of those that the latents so far give."""

    def synthesize(self, frames: Tensor, speaker: Tensor, skip: tuple[int, int] = (0, 0)) -> Tensor:
        """Turn frames (B, C, F) of a speaker (B, D) into samples (B, 1, (F - sum(skip)) * hop).

        skip: numbers of frames at both ends that are only the surroundings of the others, and are not sounded.
        """


@torch.inference_mode()
def decode_whole(decoder: StreamDecoder, latents: Tensor, speaker: Tensor) -> Tensor:
    """Turn latents (1, S, D) into samples (N,) in -1..1 at once: the slow reference of `Windows`."""
    return decoder.synthesize(decoder.frames(latents), speaker).flatten().clamp(-1.0, 1.0)


class Windows:
    """Sound of one passage whose latents come bit by bit. `speaker` (1, D)."""

    def __init__(self, decoder: StreamDecoder, speaker: Tensor) -> None:
        self.decoder, self.speaker = decoder, speaker
        self.before, self.after = decoder.reach
        self.sounded = 0  # frames that have been given out

    @torch.inference_mode()
    def push(self, latents: Tensor, last: bool) -> Tensor:
        """Return the samples (N,) in -1..1 that have become final since the last call; maybe none.

        latents (1, S, D): all so far, at least one if they are the `last`.
        """
        count = latents.shape[1]
        ready = self.decoder.frame_count(count) if last else self.decoder.settled(count)
        end = ready if last else ready - self.after
        if end <= self.sounded:
            return self.speaker.new_zeros(0)
        first = max(0, self.sounded - self.before)
        frames, skip = self.decoder.frames(latents, first, ready), (self.sounded - first, ready - end)
        self.sounded = end
        return self.decoder.synthesize(frames, self.speaker, skip).flatten().clamp(-1.0, 1.0)
