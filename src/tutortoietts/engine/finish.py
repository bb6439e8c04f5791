"""Speech made ready to be kept or judged: ends trimmed, long silences shortened, word times moved along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from tutortoietts.audio.stitch import fade
from tutortoietts.core.types import Word
from tutortoietts.engine.align import retime

__all__ = ["Cut", "Spoken", "finish", "frames"]

FRAME_SECONDS = 0.01
FLOOR_DECIBELS = -45.0
KEEP_SECONDS = 0.05
BREATH_SECONDS = 0.25
LONGEST_SILENCE = 1.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spoken:
    """A text as spoken: `samples` (N,) float32 at `sample_rate`; the words with their times; evidence for checks.

    The words' `chars` are those of the text that was given.

    evidence: "finished" 1 or 0 (the model stopped by itself), "loss" nats (of the least likely codes under the text).
    """

    samples: Tensor
    sample_rate: int
    words: tuple[Word, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A sound ready to be kept: samples (N,), its words, and the longest silence that was inside, in seconds."""

    samples: Tensor
    sample_rate: int
    words: tuple[Word, ...]
    longest_silence: float


def frames(samples: Tensor, sample_rate: int) -> Tensor:
    """Return the level of every frame of 10 ms, in decibels under the loudest frame, (F,) float32."""
    size = max(1, round(FRAME_SECONDS * sample_rate))
    padded = torch.nn.functional.pad(samples.to(torch.float32).square(), (0, -len(samples) % size))
    power = padded.reshape(-1, size).mean(1)
    if len(power) == 0:
        return power
    return 10 * torch.log10((power / power.max().clamp_min(1e-12)).clamp_min(1e-12))


def finish(spoken: Spoken) -> Cut:
    """Return the speech without the silence at its ends, with no silence inside of more than 1.2 s.

    Speech that is silent throughout is returned as it is. What follows the last word by more than 0.25 s (breath,
    noise) is cut.
    """
    samples, rate = spoken.samples.detach().to("cpu", torch.float32).flatten(), spoken.sample_rate
    levels = frames(samples, rate)
    loud = torch.nonzero(levels > FLOOR_DECIBELS).flatten()
    if len(loud) == 0 or float(samples.abs().max()) < 1e-4:
        return Cut(samples, rate, spoken.words, len(samples) / rate)
    size, keep = max(1, round(FRAME_SECONDS * rate)), round(KEEP_SECONDS * rate)
    start = max(0, int(loud[0]) * size - keep)
    end = min(len(samples), (int(loud[-1]) + 1) * size + keep)
    if spoken.words:
        end = max(start + 1, min(end, round((spoken.words[-1].end + BREATH_SECONDS) * rate)))
    kept, longest = _kept(loud.tolist(), size, start, end, rate)
    pieces = [samples[a:b] for a, b in kept]
    joined = [fade(piece, rate, seconds_in=0.005, seconds_out=0.005) for piece in pieces]
    words = tuple(retime(spoken.words, [(a / rate, b / rate) for a, b in kept]))
    return Cut(torch.cat(joined), rate, words, longest)


def _kept(loud: list[int], size: int, start: int, end: int, rate: int) -> tuple[list[tuple[int, int]], float]:
    """The stretches that stay, and the longest silence in seconds."""
    most = round(LONGEST_SILENCE * rate)
    kept, longest, begin = [], 0, start
    for before, after in pairwise(loud):
        quiet = (after - before - 1) * size
        longest = max(longest, quiet)
        if quiet > most:
            middle = (before + 1) * size + most // 2
            kept.append((begin, min(middle, end)))
            begin = after * size - (most - most // 2)
    kept.append((begin, end))
    return [(a, b) for a, b in kept if a < b], longest / rate
