"""Cut bracketed text from the sound after it was spoken. `engine.align` finds where it lies in the codes.

The cut is moved to the quietest moment nearby. Cuts are good to about a tenth of a second where there is a pause.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tutortoietts.audio.stitch import remove_spans
from tutortoietts.engine.align import CODE_SECONDS, text_path

__all__ = ["cut_spans", "kept_spans", "redact", "text_path"]

_SEARCH_SECONDS = 0.25
_FRAME_SECONDS = 0.02


def cut_spans(
    path: Tensor | None, codes: int, ends: Sequence[int], hidden: Sequence[bool]
) -> list[tuple[float, float | None]]:
    """Return the seconds (from, to) of the hidden pieces; `to` None: to the end.

    `path`: from `text_path`; None: cut in proportion to the tokens. `codes`: number of codes spoken. `ends`: number of
    tokens up to the end of each piece; `hidden`: True for the pieces to cut.
    """
    spans: list[tuple[float, float | None]] = []
    begin = 0
    for index, (end, cut) in enumerate(zip(ends, hidden, strict=True)):
        if cut:
            stop = None if index + 1 == len(ends) else _seconds(path, codes, end, ends[-1])
            spans.append((_seconds(path, codes, begin, ends[-1]) if index else 0.0, stop))
        begin = end
    return spans


def _seconds(path: Tensor | None, codes: int, token: int, tokens: int) -> float:
    """Return the second at which token number `token` begins to sound."""
    if path is None:
        return codes * token / max(tokens, 1) * CODE_SECONDS
    return int((path < token).sum()) * CODE_SECONDS


def redact(wave: Tensor, spans: Sequence[tuple[float, float | None]], rate: int) -> Tensor:
    """Remove the spans (seconds) from wave (..., N), each inner edge moved to the quietest moment within 0.25 s."""
    edges = _edges(wave, spans, rate)
    if sum(last - first for first, last in edges) >= wave.shape[-1]:
        return wave[..., :0]
    return remove_spans(wave, edges, rate)


def kept_spans(wave: Tensor, spans: Sequence[tuple[float, float | None]], rate: int) -> list[tuple[float, float]]:
    """Return the (start, end) seconds of `wave` that `redact` leaves, in order: for `align.retime`."""
    places = [0, *(place for edge in _edges(wave, spans, rate) for place in edge), wave.shape[-1]]
    kept = zip(places[::2], places[1::2], strict=True)
    return [(start / rate, end / rate) for start, end in kept if start < end]


def _edges(wave: Tensor, spans: Sequence[tuple[float, float | None]], rate: int) -> list[tuple[int, int]]:
    """Return the spans to cut in samples, in order and without overlap."""
    samples = wave.shape[-1]
    edges: list[tuple[int, int]] = []
    floor = 0
    for begin, end in spans:
        first = _quietest(wave, begin, rate) if begin > 0 else 0
        last = samples if end is None else _quietest(wave, end, rate)
        first = min(max(first, floor), samples)
        last = min(max(last, first), samples)
        edges.append((first, last))
        floor = last
    return edges


def _quietest(wave: Tensor, seconds: float, rate: int) -> int:
    """Return the middle of the frame of least energy near a moment; of equal ones, the nearest."""
    frame = round(_FRAME_SECONDS * rate)
    low = max(0, round((seconds - _SEARCH_SECONDS) * rate))
    high = min(wave.shape[-1], round((seconds + _SEARCH_SECONDS) * rate))
    if high - low < 2 * frame:
        return min(round(seconds * rate), wave.shape[-1])
    near = wave[..., low:high].float().reshape(-1, high - low).square().mean(dim=0)
    energy = F.avg_pool1d(near[None], frame, stride=frame // 4)[0]
    middle = torch.arange(len(energy), device=wave.device) * (frame // 4) + frame // 2
    away = (middle - (seconds * rate - low)).abs() / (_SEARCH_SECONDS * rate)
    return low + int(middle[(energy.clamp(min=1e-8).log() + away).argmin()])
