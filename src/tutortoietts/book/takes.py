"""A take as it is stored: FLAC of 16 bits, its loudness, and the words of its note."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import Tensor

from tutortoietts.audio.loudness import integrated_loudness
from tutortoietts.core.types import Word
from tutortoietts.engine.finish import Cut

__all__ = ["decode_take", "encode_take", "loudness_of", "words_of"]

_SHORTEST = 0.4


def encode_take(cut: Cut) -> bytes:
    """Return the sound as FLAC of 16 bits; equal sound gives equal bytes."""
    import soundfile

    buffer = io.BytesIO()
    data = cut.samples.clamp(-1, 1).mul_(32767).round_().to(torch.int16).numpy()
    soundfile.write(buffer, data, cut.sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def decode_take(data: bytes) -> tuple[Tensor, int]:
    """Return (samples (N,) float32, sample rate) of FLAC bytes."""
    import soundfile

    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    return torch.from_numpy(samples), int(rate)


def loudness_of(cut: Cut) -> float:
    """Return the loudness of a take in LUFS; one shorter than a gating block is measured repeated."""
    samples = cut.samples
    shortest = round(_SHORTEST * cut.sample_rate)
    if 0 < len(samples) < shortest:
        samples = samples.repeat(-(-shortest // len(samples)))
    return integrated_loudness(samples, cut.sample_rate)


def words_of(info: Any, spoken: str) -> list[Word]:
    """Return the words of a take of the text `spoken`; its note holds their times and places, but no text."""
    notes = [note[-5:] for note in info.get("words", ())]  # older notes begin with the word itself
    return [Word(spoken[a:b], start, end, confidence, (a, b)) for start, end, confidence, a, b in notes]
