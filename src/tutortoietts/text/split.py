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
from tutortoietts.text.breaks import CLAUSE, SENTENCE, Break, balanced, find_breaks, longest_run
from tutortoietts.text.languages import find_language
from tutortoietts.text.normalize import collapse_whitespace, is_sayable
from tutortoietts.text.traced import Traced

__all__ = ["passages", "split_and_recombine_text"]

_log = logging.getLogger(__name__)

DESIRED_LENGTH = 200
MAX_LENGTH = 300
_PUNCTUATION_ONLY = re.compile(r"[\s.,;:!?]*")
_SPACE = re.compile(r"[^\S ]")
_CURLY = re.compile("[“”]")
_DASHES = "-–—"
_LEADING = re.compile(r"\s*(?:[-–—]+\s+|[–—]+)*")
_CURLY_QUOTES = str.maketrans("“”", '""')


def split_and_recombine_text(
    text: str, desired_length: int = DESIRED_LENGTH, max_length: int = MAX_LENGTH
) -> list[str]:
    """Split text into passages of about `desired_length` characters, at most `max_length`, best between sentences.

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
    language: str = "en",
) -> list[Passage]:
    """Return the passages of a text: sentences together up to the desired length, none longer than the maximum.

    A sentence that is too long is cut at commas, dashes and brackets into about equal parts, else between words; never
    inside a word, a number or an address (as written, where the passage has an `origin`) unless that alone is too
    long. A dot behind an abbreviation or initial of the `language` ends no sentence.
    With `clauses` a part of the desired length may also end at a clause, if half as much follows.
    With `count` (`Tokenizer.count`, of a part's pieces) and `limit`, a part whose count is not under the limit (numbers
    grow when spelled out) is split again, until all are; one whose count is 0, of characters without a reading, is left
    out with a logged warning. A part without a letter or digit is left out.
    Raises OptionError unless 1 <= desired_length <= max_length, TextError when nothing sayable is left, or when even a
    single character is over the limit.
    """
    if not 1 <= desired_length <= max_length:
        raise OptionError(f"lengths desired {desired_length}, max {max_length} must satisfy 1 <= desired <= max")
    whole = _single_spaced(passage)
    splitter = _Splitter(language, desired_length, max_length, clauses)
    parts = [_cut(whole, *edges) for edges in splitter.ranges(_origin(whole))]
    parts = [part for part in parts if is_sayable(part.text)]
    if parts and count is not None and limit is not None:
        parts = [fitting for part in parts for fitting in _fit(part, count, limit, splitter)]
    if not parts:
        raise TextError(f"nothing to say in {passage.text[:60]!r}: give text with at least one letter or digit")
    return parts


class _Splitter:
    """Splitter of one text."""

    def __init__(self, language: str, desired: int, longest: int, clauses: bool) -> None:
        found = find_language(language)
        self.abbreviations, self.sentence_ends = found.abbreviations, found.sentence_ends
        self.desired, self.longest, self.clauses = desired, longest, clauses

    def breaks(self, text: Traced) -> list[Break]:
        return find_breaks(text, self.abbreviations, self.sentence_ends)

    def ranges(self, text: Traced) -> list[tuple[int, int]]:
        """Return the parts as (start, end) in the text, without space, dashes and the like at their ends."""
        breaks = self.breaks(text)
        length = len(text.text)
        ends = CLAUSE if self.clauses else SENTENCE
        units = [number for number, place in enumerate(breaks) if place.cost <= ends]
        groups: list[tuple[int, int, int, int]] = []  # start, end, first break inside, behind the last
        start, first = 0, 0
        for order, number in enumerate(units):
            place = breaks[number]
            following = breaks[units[order + 1]].end if order + 1 < len(units) else length
            size = place.end - start + (1 if start else 0)
            full = size >= self.desired or (following - start > self.longest and size > self.desired // 4)
            if full and (place.cost == SENTENCE or length - place.end > self.desired // 2):
                groups.append((start, place.end, first, number))
                start, first = place.start, number + 1
        groups.append((start, length, first, len(breaks)))
        if len(groups) > 1 and length - start < self.desired // 4 and length - groups[-2][0] <= self.longest:
            begin, inner = groups[-2][0], groups[-2][2]
            groups[-2:] = [(begin, length, inner, len(breaks))]
        ranges: list[tuple[int, int]] = []
        for begin, end, low, high in groups:
            inside = breaks[low:high]
            fits = end - begin <= self.longest
            cuts = [(begin, end)] if fits else balanced(text.text, begin, end, inside, self.longest)
            ranges += cuts
        return [edges for cut in ranges if (edges := _stripped(text.text, *cut))]


def _stripped(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Strip white space and rules of dashes at the ends; return None where only punctuation is left."""
    first = _LEADING.match(text, start, end)
    start = first.end() if first else start
    while start < end and (text[end - 1].isspace() or (text[end - 1] in _DASHES and _lone_dashes(text, start, end))):
        end -= 1
    return None if start == end or _PUNCTUATION_ONLY.fullmatch(text, start, end) else (start, end)


def _lone_dashes(text: str, start: int, end: int) -> bool:
    """Return whether the dashes that end here stand alone: " --", not "word-"."""
    while end > start and text[end - 1] in _DASHES:
        end -= 1
    return end == start or text[end - 1].isspace()


def _fit(part: Passage, count: Callable[..., int], limit: int, splitter: _Splitter) -> list[Passage]:
    if not is_sayable(part.text):
        return []
    size = count(*(piece for piece, _ in part.pieces()))  # as they are encoded: "1[0]" is two numbers
    if size == 0:
        _log.warning("left out %r: none of its characters has a reading", part.text[:60])
        return []
    if size < limit:
        return [part]
    length = len(part.text)
    if length < 2:
        raise TextError(f"{part.text!r} alone is {size} tokens, must be fewer than {limit}: leave it out")
    breaks = splitter.breaks(_origin(part))
    pieces = min(length, -(-size // max(1, limit - 1)))
    longest = max(1, min(length - 1, round(1.4 * length / pieces)))
    run = longest_run(0, length, breaks)
    longest = max(longest, run) if run < length else longest  # a word that fits alone is not cut
    cuts = (_stripped(part.text, *edges) for edges in balanced(part.text, 0, length, breaks, longest, pieces))
    return [fitting for edges in cuts if edges for fitting in _fit(_cut(part, *edges), count, limit, splitter)]


def _origin(passage: Passage) -> Traced:
    return passage.origin or Traced(passage.text)


def _single_spaced(passage: Passage) -> Passage:
    """Make white space single, as the splitter does, and move the hidden spans along."""
    kept = [not (char.isspace() and i and passage.text[i - 1].isspace()) for i, char in enumerate(passage.text)]
    moved = [0, *accumulate(map(int, kept))]
    hidden = tuple((moved[start], moved[end]) for start, end in passage.hidden if moved[start] < moved[end])
    text = _origin(passage).rewrite((i, i + 1, "") for i, keep in enumerate(kept) if not keep)
    text = text.sub(_SPACE, " ").sub(_CURLY, '"')
    return Passage(text=text.text, hidden=hidden, origin=text)


def _cut(passage: Passage, start: int, end: int) -> Passage:
    first = bisect_right(passage.hidden, start, key=itemgetter(1))
    last = bisect_left(passage.hidden, end, key=itemgetter(0))
    hidden = tuple((max(a, start) - start, min(b, end) - start) for a, b in passage.hidden[first:last])
    return Passage(text=passage.text[start:end], hidden=hidden, origin=_origin(passage).cut(start, end))


def _ranges(text: str, desired_length: int, max_length: int) -> list[tuple[int, int]]:
    """Return the parts as (start, end) in `text`, stripped, those with nothing but punctuation left out."""
    if not 1 <= desired_length <= max_length:
        raise OptionError(f"lengths desired {desired_length}, max {max_length} must satisfy 1 <= desired <= max")
    quotes = [0, *accumulate(int(char == '"') for char in text)]
    ranges, start = [], 0
    while start < len(text):
        end = _part_end(text, start, quotes, desired_length, max_length)
        piece = text[start:end]
        first = start + len(piece) - len(piece.lstrip())
        last = end - len(piece) + len(piece.rstrip())
        if first < last and not _PUNCTUATION_ONLY.fullmatch(text, first, last):
            ranges.append((first, last))
        start = end
    return ranges


def _part_end(text: str, start: int, quotes: list[int], desired: int, longest: int) -> int:
    """Return where the part that begins at `start` ends.

    Goes forward and notes the end of every sentence outside quotation marks (`quotes[i]`: how many stand before i) and
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
        elif quoted and text[here + 1 : here + 2] == '"' and text[here + 2 : here + 3] in ("", " "):
            here = min(here + 2, len(text) - 1)
            noted = here + 1
        here += 1
    return len(text)


def _ends_sentence(text: str, here: int) -> bool:
    return text[here] in "!?" or (text[here] == "." and text[here + 1 : here + 2] in ("", " "))


def _word_gap(text: str, start: int, here: int, desired: int) -> int:
    """Step back from `here` to a character that may end a part, but not below the desired length."""
    while text[here] not in "!?. " and here + 1 - start > desired:
        here -= 1
    return here + 1
