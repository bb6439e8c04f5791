"""The words of a segment as shown, with their times: what subtitles, overlays and the player are made of."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tutortoietts.book.spoken import Speech
from tutortoietts.book.timeline import Placed

__all__ = ["ShownWord", "shown_words"]

_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class ShownWord:
    """A word of the shown text: seconds from the chapter's start, its characters, confidence (0: a guess)."""

    text: str
    start: float
    end: float
    chars: tuple[int, int]
    confidence: float


def shown_words(placed: Placed, speech: Speech, sample_rate: int) -> list[ShownWord]:
    """Return the words of the shown text in order, none lost, times that never fall.

    A shown word has the span of all the words that were spoken for it ("1984"). Words whose times the engine did not
    tell share what is between their neighbours, by their lengths.
    """
    segment = placed.segment
    shown = [(match.group(0), match.start(), match.end()) for match in _WORD.finditer(segment.shown)]
    begin, end = placed.start / sample_rate, placed.end / sample_rate
    spans: list[tuple[float, float, float] | None] = [None] * len(shown)
    traced = speech.of(segment.shown, {"voice": segment.voice, "chapter": str(segment.chapter + 1), "lang": ""})
    if traced.text == segment.spoken:
        for word in placed.words(sample_rate):
            first, last = traced.source(*word.chars)
            for i, (_, a, b) in enumerate(shown):
                if a < last and first < b:
                    before = spans[i]
                    start = word.start if before is None else min(before[0], word.start)
                    stop = word.end if before is None else max(before[1], word.end)
                    spans[i] = (start, stop, word.confidence if before is None else min(before[2], word.confidence))
    return _filled(shown, spans, begin, end)


def _filled(
    shown: list[tuple[str, int, int]], spans: list[tuple[float, float, float] | None], begin: float, end: float
) -> list[ShownWord]:
    words: list[ShownWord] = []
    at, i = begin, 0
    while i < len(shown):
        known = spans[i]
        if known is not None:
            start = min(max(at, known[0]), end)
            stop = min(max(start, known[1]), end)
            words.append(ShownWord(shown[i][0], start, stop, (shown[i][1], shown[i][2]), known[2]))
            at, i = stop, i + 1
            continue
        j = i
        while j < len(shown) and spans[j] is None:
            j += 1
        following = spans[j] if j < len(shown) else None
        until = max(at, min(end, following[0] if following else end))
        total = sum(len(text) for text, _, _ in shown[i:j])
        for text, a, b in shown[i:j]:
            stop = at + (until - at) * len(text) / max(total, 1)
            words.append(ShownWord(text, at, stop, (a, b), 0.0))
            (
                at,
                total,
            ) = stop, total - len(text)
        i = j
    return words
