"""Cut bracketed text from the sound after it was spoken. `engine.align` finds where it lies in the codes.

A cut is moved to the quietest moment nearby, but not past the last letter of the word before it or the first letter of
the word behind it, and a visible piece keeps the time that its letters need. Cuts are good to about a tenth of a second
where there is a pause.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tutortoietts.audio.stitch import remove_spans

__all__ = ["LETTER_SECONDS", "Cut", "cut_spans", "heard_seconds", "kept_spans", "redact"]

LETTER_SECONDS = 0.05
"""Time that a spoken letter takes at least."""

_SEARCH_SECONDS = 0.25
_FRAME_SECONDS = 0.02


class Cut(NamedTuple):
    """A stretch of sound to cut, in seconds; `end` None: to the end. Each edge may move within its limits."""

    start: float
    end: float | None
    start_within: tuple[float, float] = (0.0, float("inf"))
    end_within: tuple[float, float] = (0.0, float("inf"))


class _Piece(NamedTuple):
    first: int  # its tokens with letters
    last: int
    hidden: bool


def cut_spans(
    begins: Sequence[float], letters: Sequence[int], ends: Sequence[int], hidden: Sequence[bool]
) -> list[Cut]:
    """Return the cuts that leave only the visible pieces, in order.

    begins: seconds at which each token begins to sound, and the end of the sound. letters: number of letters of each
    token. ends: tokens up to the end of each piece; hidden: whether it is cut. A piece without letters goes with the
    hidden one beside it.
    """
    pieces = _sounding(letters, ends, hidden)
    edges = [_edge(begins, letters, before, after) for before, after in pairwise(pieces)]
    cuts: list[Cut] = []
    for number, piece in enumerate(pieces):
        if piece.hidden:
            start, start_within = edges[number - 1] if number else (0.0, (0.0, 0.0))
            final = number + 1 == len(pieces)
            end, end_within = (None, (0.0, 0.0)) if final else edges[number]
            cuts.append(Cut(start, end, start_within, end_within))
    return cuts


def heard_seconds(cuts: Sequence[Cut], total: float) -> float:
    """Return how long the sound of `total` seconds is without the cuts, as planned."""
    return total - sum((total if cut.end is None else cut.end) - cut.start for cut in cuts)


def _sounding(letters: Sequence[int], ends: Sequence[int], hidden: Sequence[bool]) -> list[_Piece]:
    """Return the pieces with letters; neighbours that are both hidden or both visible become one."""
    pieces: list[_Piece] = []
    begin = 0
    for end, cut in zip(ends, hidden, strict=True):
        spoken = [token for token in range(begin, end) if letters[token]]
        begin = end
        if not spoken:
            continue
        if pieces and pieces[-1].hidden == cut:
            pieces[-1] = pieces[-1]._replace(last=spoken[-1])
        else:
            pieces.append(_Piece(spoken[0], spoken[-1], cut))
    return pieces


def _edge(
    begins: Sequence[float], letters: Sequence[int], before: _Piece, after: _Piece
) -> tuple[float, tuple[float, float]]:
    """Return where two pieces are parted, in the middle of the pause, and the limits of that place."""
    low, high = begins[before.last], begins[after.first + 1]
    visible = before if after.hidden else after
    count = sum(letters[visible.first : visible.last + 1])
    need = count * min(LETTER_SECONDS, begins[-1] / sum(letters))  # no more than its share of all
    at = (begins[before.last + 1] + begins[after.first]) / 2
    if visible is before:
        low = min(max(low, begins[before.first] + need), begins[-1])
    else:
        high = max(min(high, begins[after.last + 1] - need), 0.0)
    low, high = (low, max(low, high)) if visible is before else (min(low, high), high)
    return min(max(at, low), high), (low, high)


def redact(wave: Tensor, spans: Sequence[Cut | tuple[float, float | None]], rate: int) -> Tensor:
    """Remove the spans (seconds) from wave (..., N), each inner edge moved to the quietest moment within 0.25 s."""
    edges = _edges(wave, spans, rate)
    if sum(last - first for first, last in edges) >= wave.shape[-1]:
        return wave[..., :0]
    return remove_spans(wave, edges, rate)


def kept_spans(wave: Tensor, spans: Sequence[Cut | tuple[float, float | None]], rate: int) -> list[tuple[float, float]]:
    """Return the (start, end) seconds of `wave` that `redact` leaves, in order: for `align.retime`."""
    places = [0, *(place for edge in _edges(wave, spans, rate) for place in edge), wave.shape[-1]]
    kept = zip(places[::2], places[1::2], strict=True)
    return [(start / rate, end / rate) for start, end in kept if start < end]


def _edges(wave: Tensor, spans: Sequence[Cut | tuple[float, float | None]], rate: int) -> list[tuple[int, int]]:
    """Return the spans to cut in samples, in order and without overlap."""
    samples = wave.shape[-1]
    edges: list[tuple[int, int]] = []
    floor = 0
    for cut in (span if isinstance(span, Cut) else Cut(*span) for span in spans):
        first = _quietest(wave, cut.start, cut.start_within, rate) if cut.start > 0 else 0
        last = samples if cut.end is None else _quietest(wave, cut.end, cut.end_within, rate)
        first = min(max(first, floor), samples)
        last = min(max(last, first), samples)
        edges.append((first, last))
        floor = last
    return edges


def _quietest(wave: Tensor, seconds: float, within: tuple[float, float], rate: int) -> int:
    """Return the middle of the frame of least energy near a moment, within limits (seconds); of equals the nearest."""
    frame = round(_FRAME_SECONDS * rate)
    low = max(0, round(max(seconds - _SEARCH_SECONDS, within[0]) * rate))
    high = min(wave.shape[-1], round(min(seconds + _SEARCH_SECONDS, within[1]) * rate))
    if high - low < 2 * frame:
        return min(round(seconds * rate), wave.shape[-1])
    near = wave[..., low:high].float().reshape(-1, high - low).square().mean(dim=0)
    energy = F.avg_pool1d(near[None], frame, stride=frame // 4)[0]
    middle = torch.arange(len(energy), device=wave.device) * (frame // 4) + frame // 2
    away = (middle - (seconds * rate - low)).abs() / (_SEARCH_SECONDS * rate)
    return low + int(middle[(energy.clamp(min=1e-8).log() + away).argmin()])
