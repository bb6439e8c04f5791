"""Long text into parts that are spoken one at a time."""

from __future__ import annotations

import logging
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from itertools import accumulate
from operator import itemgetter

from tutortoietts.core.errors import OptionError, TextError
from tutortoietts.text.brackets import Passage
from tutortoietts.text.normalize import collapse_whitespace, is_sayable

__all__ = ["passages", "split_and_recombine_text"]

_log = logging.getLogger(__name__)

DESIRED_LENGTH = 200
MAX_LENGTH = 300
_PUNCTUATION_ONLY = re.compile(r"[\s.,;:!?]*")
_CURLY_QUOTES = str.maketrans("“”", '""')


def split_and_recombine_text(
    text: str, desired_length: int = DESIRED_LENGTH, max_length: int = MAX_LENGTH
) -> list[str]:
    """Passages of about `desired_length` characters, at most `max_length`, cut between sentences if possible.

    Whitespace is made single, curly double quotes straight; sentences inside quotation marks stay together while
    they fit; parts without anything but whitespace and punctuation are left out.
    Raises OptionError unless 1 <= desired_length <= max_length.
    """
    text = collapse_whitespace(text).translate(_CURLY_QUOTES)
    return [text[start:end] for start, end in _ranges(text, desired_length, max_length)]


def passages(
    passage: Passage,
    *,
    desired_length: int = DESIRED_LENGTH,
    max_length: int = MAX_LENGTH,
    count: Callable[..., int] | None = None,
    limit: int | None = None,
    clauses: bool = False,
) -> list[Passage]:
    """The same parts as passages that keep track of what is hidden; none longer than the token limit.

    With `clauses` a part of the desired length may also end at a comma, semicolon or colon, if half as much follows.
    With `count` (`Tokenizer.count`, of a part's pieces) and `limit`, a part whose count is not under the limit (numbers
    grow when spelled out) is split again, until all are; one whose count is 0, of characters without a reading, is left
    out with a logged warning. Raises TextError when nothing sayable is left, or when even a single character is over
    the limit.
    """
    whole = _single_spaced(passage)
    parts = [_cut(whole, *edges) for edges in _ranges(whole.text, desired_length, max_length, clauses)]
    parts = [part for part in parts if is_sayable(part.text)]
    if parts and count is not None and limit is not None:
        parts = [fitting for part in parts for fitting in _fit(part, count, limit)]
    if not parts:
        raise TextError(f"nothing to say in {passage.text[:60]!r}: give text with at least one letter or digit")
    return parts


def _fit(part: Passage, count: Callable[..., int], limit: int) -> list[Passage]:
    size = count(*(piece for piece, _ in part.pieces()))  # as they are encoded: "1[0]" is two numbers
    if size == 0:
        _log.warning("left out %r: none of its characters has a reading", part.text[:60])
        return []
    if size < limit:
        return [part]
    length = len(part.text)
    if length < 2:
        raise TextError(f"{part.text!r} alone is {size} tokens, must be fewer than {limit}: leave it out")
    halves = _ranges(part.text, length // 2, length * 2 // 3)
    return [fitting for edges in halves for fitting in _fit(_cut(part, *edges), count, limit)]


def _single_spaced(passage: Passage) -> Passage:
    """Normalises as the splitter does, and moves the hidden spans along."""
    kept = [not (char.isspace() and i and passage.text[i - 1].isspace()) for i, char in enumerate(passage.text)]
    moved = [0, *accumulate(map(int, kept))]
    hidden = tuple((moved[start], moved[end]) for start, end in passage.hidden if moved[start] < moved[end])
    text = "".join(" " if char.isspace() else char for char, keep in zip(passage.text, kept, strict=True) if keep)
    return Passage(text=text.translate(_CURLY_QUOTES), hidden=hidden)


def _cut(passage: Passage, start: int, end: int) -> Passage:
    first = bisect_right(passage.hidden, start, key=itemgetter(1))
    last = bisect_left(passage.hidden, end, key=itemgetter(0))
    hidden = tuple((max(a, start) - start, min(b, end) - start) for a, b in passage.hidden[first:last])
    return Passage(text=passage.text[start:end], hidden=hidden)


def _ranges(text: str, desired_length: int, max_length: int, clauses: bool = False) -> list[tuple[int, int]]:
    """The parts as (start, end) in `text`, stripped, those with nothing but punctuation left out."""
    if not 1 <= desired_length <= max_length:
        raise OptionError(f"lengths desired {desired_length}, max {max_length} must satisfy 1 <= desired <= max")
    quotes = [0, *accumulate(int(char == '"') for char in text)]
    ranges, start = [], 0
    while start < len(text):
        end = _part_end(text, start, quotes, desired_length, max_length, clauses)
        piece = text[start:end]
        first = start + len(piece) - len(piece.lstrip())
        last = end - len(piece) + len(piece.rstrip())
        if first < last and not _PUNCTUATION_ONLY.fullmatch(text, first, last):
            ranges.append((first, last))
        start = end
    return ranges


def _part_end(text: str, start: int, quotes: list[int], desired: int, longest: int, clauses: bool) -> int:
    """Where the part that begins at `start` ends.

    Walks forward and notes the end of every sentence outside quotation marks (`quotes[i]`: how many stand before i) and
    of every quotation; takes the first sentence end at or after the desired length, or, once the part is full, the last
    end noted, or else the last gap between words.
    """
    noted = 0
    here = start  # the last character taken
    while here < len(text):
        taken = here + 1 - start
        if taken >= longest:
            if noted and taken > desired / 2:
                return noted
            return _word_gap(text, start, here, desired)
        quoted = quotes[here + 1] % 2 == 1
        if not quoted and _ends_sentence(text, here):
            while here + 1 < len(text) and here + 1 - start < longest and text[here + 1] in "!?.":
                here += 1
            noted = here + 1
            if noted - start >= desired:
                return noted
        elif clauses and not quoted and taken >= desired and _ends_clause(text, here, desired):
            return here + 1
        elif quoted and text[here + 1 : here + 2] == '"' and text[here + 2 : here + 3] in ("", " "):
            here = min(here + 2, len(text) - 1)
            noted = here + 1
        here += 1
    return len(text)


def _ends_sentence(text: str, here: int) -> bool:
    return text[here] in "!?" or (text[here] == "." and text[here + 1 : here + 2] in ("", " "))


def _ends_clause(text: str, here: int, desired: int) -> bool:
    return text[here] in ",;:" and text[here + 1 : here + 2] == " " and len(text) - here > desired // 2


def _word_gap(text: str, start: int, here: int, desired: int) -> int:
    """Steps back from `here` to a character that may end a part, but not below the desired length."""
    while text[here] not in "!?. " and here + 1 - start > desired:
        here -= 1
    return here + 1
