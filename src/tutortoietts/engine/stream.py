"""Sound while more is being made: passage by passage. The joined stream is what `whole` gives for the same passages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from tutortoietts.audio.stitch import FADE_SECONDS, PAUSE_SECONDS, fade, join, trim
from tutortoietts.core.errors import AudioError
from tutortoietts.engine.parts import Parts
from tutortoietts.engine.pipeline import SAMPLE_RATE, Request, speak_all
from tutortoietts.engine.watch import Watch

__all__ = ["stream", "whole"]


def whole(parts: Parts, request: Request, watch: Watch) -> list[Tensor]:
    """The k readings of the whole text, each (1, 1, L) float32: the j-th best of every passage, joined."""
    spoken = list(speak_all(parts, request, watch))
    return [_joined([readings[number] for readings in spoken]) for number in range(request.k)]


def _joined(waves: Sequence[Tensor]) -> Tensor:
    heard = [wave for wave in waves if wave.shape[-1] > 0]
    if not heard:
        raise AudioError("nothing is left to hear: leave more of the text outside [brackets]")
    return join(heard, SAMPLE_RATE)


def stream(parts: Parts, request: Request, watch: Watch) -> Iterator[Tensor]:
    """Chunks (L,) float32 at 24 kHz, one a passage with the pause before it. Closing the iterator ends the work."""
    last = len(request.passages) - 1
    begun = False
    for number, (wave,) in enumerate(speak_all(parts, request, watch)):
        if wave.shape[-1] == 0:
            continue
        if last == 0:
            yield wave.flatten()
            return
        piece = fade(
            trim(wave.flatten(), SAMPLE_RATE),
            SAMPLE_RATE,
            seconds_in=FADE_SECONDS if begun else 0.0,
            seconds_out=FADE_SECONDS if number < last else 0.0,
        )
        pause = piece.new_zeros(round(PAUSE_SECONDS * SAMPLE_RATE) if begun else 0)
        begun = True
        yield torch.cat([pause, piece])
    if not begun:
        raise AudioError("nothing is left to hear: leave more of the text outside [brackets]")
