"""Join clips: trims, fades, pauses. Every edge passes through zero, so that no join clicks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from tutortoietts.core.errors import AudioError, OptionError

__all__ = ["fade", "join", "remove_spans", "trim", "trim_edges"]

FRAME_SECONDS = 0.01
PAUSE_SECONDS = 0.2
FADE_SECONDS = 0.005


def fade(
    wav: Tensor, sample_rate: int, *, seconds_in: float = FADE_SECONDS, seconds_out: float = FADE_SECONDS
) -> Tensor:
    """Fade `wav` (..., N) in and out with a raised cosine, from and to exactly 0. Returns a new tensor.

    A clip shorter than both fades together is divided between them.
    """
    if seconds_in < 0 or seconds_out < 0:
        raise OptionError(f"fades of {seconds_in} and {seconds_out} s must not be negative")
    samples = wav.shape[-1]
    rise, fall = round(seconds_in * sample_rate), round(seconds_out * sample_rate)
    if rise + fall > samples:
        rise = round(samples * rise / (rise + fall))
        fall = samples - rise
    gain = torch.ones(samples, dtype=wav.dtype, device=wav.device)
    gain[:rise] = _ramp(rise, wav)
    gain[samples - fall :] *= _ramp(fall, wav).flip(0)
    return wav * gain


def trim(wav: Tensor, sample_rate: int, *, floor_decibels: float = -45.0, keep_seconds: float = 0.05) -> Tensor:
    """Remove the silence at both ends of `wav` (..., N), except `keep_seconds` of it.

    Frames of 10 ms are silent whose level is `floor_decibels` below the loudest frame's. All-silent audio is returned
    unchanged.
    """
    start, end = trim_edges(wav, sample_rate, floor_decibels=floor_decibels, keep_seconds=keep_seconds)
    return wav[..., start:end]


def trim_edges(
    wav: Tensor, sample_rate: int, *, floor_decibels: float = -45.0, keep_seconds: float = 0.05
) -> tuple[int, int]:
    """Return the (start, end) samples that `trim` keeps."""
    frame = max(1, round(FRAME_SECONDS * sample_rate))
    samples = wav.shape[-1]
    if samples == 0:
        return 0, 0
    mono = wav.detach().to(torch.float32).reshape(-1, samples).square().mean(0)
    energy = functional.pad(mono, (0, -samples % frame)).reshape(-1, frame).mean(-1)
    loud = torch.nonzero(energy > energy.max() * 10 ** (floor_decibels / 10)).flatten()
    if len(loud) == 0:
        return 0, samples
    keep = round(keep_seconds * sample_rate)
    start = max(0, int(loud[0]) * frame - keep)
    end = min(samples, (int(loud[-1]) + 1) * frame + keep)
    return start, end


def join(
    parts: Sequence[Tensor],
    sample_rate: int,
    *,
    pause_seconds: float | Sequence[float] = PAUSE_SECONDS,
    trimmed: bool = True,
) -> Tensor:
    """Join clips (..., N_i) with silence between them -> (..., N).

    `pause_seconds`: one for all joins, or one per join. `trimmed`: silence at the ends of the clips is cut first, so
    that the pauses have their length. Edges at the joins are faded over 5 ms; a single clip is returned unchanged.
    Raises AudioError for no clips or clips of different shapes, OptionError for a wrong number of pauses.
    """
    if not parts:
        raise AudioError("nothing to join: give at least one part")
    if len({tuple(part.shape[:-1]) for part in parts}) > 1:
        raise AudioError(f"cannot join parts of shapes {[tuple(part.shape) for part in parts]}: use equal channels")
    if len(parts) == 1:
        return parts[0]
    joins = len(parts) - 1
    pauses = [float(pause_seconds)] * joins if isinstance(pause_seconds, (int, float)) else list(pause_seconds)
    if len(pauses) != joins or min(pauses) < 0:
        raise OptionError(f"pauses {pauses} do not fit {len(parts)} parts: give {joins}, not negative")
    pieces: list[Tensor] = []
    for i, part in enumerate(parts):
        piece = trim(part, sample_rate) if trimmed else part
        seconds_in, seconds_out = (FADE_SECONDS if i else 0.0), (FADE_SECONDS if i < joins else 0.0)
        pieces.append(fade(piece, sample_rate, seconds_in=seconds_in, seconds_out=seconds_out))
        if i < joins:
            pieces.append(piece.new_zeros((*piece.shape[:-1], round(pauses[i] * sample_rate))))
    return torch.cat(pieces, dim=-1)


def remove_spans(wav: Tensor, spans: Sequence[tuple[int, int]], sample_rate: int) -> Tensor:
    """Remove the samples of `spans` (start, end) from `wav` (..., N); the rest is faded at the cuts and joined.

    Spans must be in order and not overlap (OptionError). Raises AudioError if nothing would be left.
    """
    samples = wav.shape[-1]
    edges = [0, *(edge for span in spans for edge in span), samples]
    if any(a > b for a, b in pairwise(edges)):
        raise OptionError(f"spans {list(spans)} must be in order, apart and within 0..{samples} samples")
    kept = [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if start < end]
    if not kept:
        raise AudioError(f"cutting {list(spans)} leaves nothing of {samples} samples: bracket less of the text")
    pieces = [
        fade(
            wav[..., start:end],
            sample_rate,
            seconds_in=FADE_SECONDS if start else 0.0,
            seconds_out=FADE_SECONDS if end < samples else 0.0,
        )
        for start, end in kept
    ]
    return torch.cat(pieces, dim=-1)


def _ramp(samples: int, like: Tensor) -> Tensor:
    """Return a rise from 0 at the first sample to nearly 1 at the last."""
    steps = torch.arange(samples, dtype=like.dtype, device=like.device) / max(samples, 1)
    return (1 - torch.cos(math.pi * steps)) / 2
