"""The words of a segment as shown, with their times: what subtitles, overlays and the player are made of."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from tutortoietts.book.spoken import Speech
from tutortoietts.book.timeline import Placed
from tutortoietts.core.types import Word

__all__ = ["ShownWord", "shown_words", "words_of_text"]

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
    begin, end = placed.start / sample_rate, placed.end / sample_rate
    where = {"voice": segment.voice, "chapter": str(segment.chapter + 1), "lang": ""}
    traced = speech.of(segment.shown, where, language=segment.language)
    timed: list[Word] = []
    if traced.text == segment.spoken:
        timed = [word._replace(chars=traced.source(*word.chars)) for word in placed.words(sample_rate)]
    return words_of_text(segment.shown, timed, begin, end)


def words_of_text(text: str, timed: Sequence[Word], begin: float, end: float) -> list[ShownWord]:
    """Return the words of `text`, with their marks, and the times of `timed`, whose `chars` are places in `text`."""
    shown = [(match.group(0), match.start(), match.end()) for match in _WORD.finditer(text)]
    starts = [a for _, a, _ in shown]
    spans: list[tuple[float, float, float] | None] = [None] * len(shown)
    for word in timed:
        first, last = word.chars
        for i in range(max(0, bisect_right(starts, first) - 1), len(shown)):
            if shown[i][1] >= last:
                break
            if first < shown[i][2]:
                before = spans[i] or (word.start, word.end, word.confidence)
                spans[i] = (min(before[0], word.start), max(before[1], word.end), min(before[2], word.confidence))
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
