"""Processing of a take: ends trimmed, long silences shortened, word times moved along, stored as FLAC."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from tutortoietts.audio.loudness import Loudness, measure
from tutortoietts.audio.stitch import fade
from tutortoietts.book.speaker import Spoken, Word
from tutortoietts.engine.align import retime

__all__ = ["Cut", "decode_take", "encode_take", "finish", "frames", "loudness_of", "words_of"]

FRAME_SECONDS = 0.01
FLOOR_DECIBELS = -45.0
KEEP_SECONDS = 0.05
BREATH_SECONDS = 0.25
LONGEST_SILENCE = 1.2
_SHORTEST = 0.4


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


def encode_take(cut: Cut) -> bytes:
    """Return the sound as FLAC of 16 bits; equal sound gives equal bytes."""
    import soundfile

    buffer = io.BytesIO()
    data = cut.samples.clamp(-1, 1).mul(32767).round().to(torch.int16).numpy()
    soundfile.write(buffer, data, cut.sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def decode_take(data: bytes) -> tuple[Tensor, int]:
    """Return (samples (N,) float32, sample rate) of FLAC bytes."""
    import soundfile

    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    return torch.from_numpy(samples), int(rate)


def loudness_of(cut: Cut) -> Loudness:
    """Return the loudness of a take; one shorter than a gating block is measured repeated."""
    samples = cut.samples
    shortest = round(_SHORTEST * cut.sample_rate)
    if 0 < len(samples) < shortest:
        samples = samples.repeat(-(-shortest // len(samples)))
    return measure(samples, cut.sample_rate)


def words_of(info: Any) -> list[Word]:
    """Return the words that a take's note holds."""
    return [Word(w, s, e, c, (a, b)) for w, s, e, c, a, b in info.get("words", ())]


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
