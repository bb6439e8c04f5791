"""Places where a text may be cut, and how well: `find_breaks` lists them, `balanced` chooses among them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tutortoietts.text.traced import Traced

__all__ = ["CLAUSE", "SENTENCE", "TOKEN", "WORD", "Break", "balanced", "find_breaks", "longest_run"]

SENTENCE, CLAUSE, QUOTED, WORD, TOKEN = 0.0, 0.3, 0.5, 3.0, 12.0  # what a cut costs; TOKEN: inside one thing, as "$5"
_GAP = re.compile(r"(?P<closed>[\"')\]]*)(?P<gap>\s+)|(?<=[。！？])")
_QUOTE = re.compile(r'"')
_LONGEST_QUOTE = 1000  # characters; a mark whose partner is further away opens nothing
_GROUPS = frozenset(
    "thousand million billion trillion dollars pounds euros dot slash".split()
)  # cut a long number here
_SEPARATOR = re.compile(r"[,/_;:&-](?=\w)")
_LAST_WORD = re.compile(r"[^\s\"'(\[]*$")


@dataclass(frozen=True, slots=True)
class Break:
    """A place to cut: the part before ends at `end`, the next one starts at `start`."""

    end: int
    start: int
    cost: float


def find_breaks(text: Traced, abbreviations: frozenset[str] = frozenset(), sentence_ends: str = ".!?") -> list[Break]:
    """Return every gap between words, in order, with what a cut there costs.

    A dot ends no sentence after one of the `abbreviations`, an initial or a word with inner dots, nor before a
    lower-case letter or a digit; a sentence that ends inside quotation marks is a clause.
    """
    string = text.text
    quoted = _quoted(string)
    position = 0
    breaks = []
    for match in _GAP.finditer(string):
        end, start = match.end("closed") if match["gap"] else match.end(), match.end()
        while position < len(quoted) and quoted[position][1] <= match.start():
            position += 1
        inside = position < len(quoted) and quoted[position][0] < match.start() and end < quoted[position][1]
        if 0 < end and start < len(string):
            cost = _cost(text, match.start(), end, start, abbreviations, sentence_ends)
            breaks.append(Break(end, start, QUOTED + cost / 2 if inside and cost <= CLAUSE else cost))
    return breaks


def _quoted(string: str) -> list[tuple[int, int]]:
    """Return the stretches in quotation marks. A mark behind a digit, or without a partner nearby, opens nothing."""
    stretches: list[tuple[int, int]] = []
    opened: int | None = None
    for match in _QUOTE.finditer(string):
        place = match.start()
        before, after = string[place - 1 : place] if place else " ", string[place + 1 : place + 2]
        if opened is not None and place - opened > _LONGEST_QUOTE:
            opened = None
        if opened is None:
            if not before.isdigit() and not after.isspace() and after:
                opened = place
        elif not before.isspace() or after.isspace():
            stretches.append((opened, place + 1))
            opened = None
    return stretches


def _cost(text: Traced, mark: int, end: int, start: int, abbreviations: frozenset[str], sentence_ends: str) -> float:
    """Return the cost of a cut. `mark`: end of what precedes closing quotes; `end`, `start`: the gap itself."""
    string = text.text
    last, following = string[mark - 1], string[start]
    if text.source(end - 1, end) == text.source(start, start + 1):
        grouped = _LAST_WORD.search(string, max(0, end - 20), end)
        return TOKEN / 2 if grouped and grouped[0] in _GROUPS else TOKEN  # "five| dollars", written "$5"
    if last in sentence_ends or last in "。！？":
        if _ends_sentence(text, mark, start, abbreviations):
            return SENTENCE
        return CLAUSE if last != "." or string[mark - 3 : mark] == "..." else WORD * 2
    if last in ",;:)" or following == "(" or string[end - 1] == ")":
        return CLAUSE
    if last in "-–—" and string[mark - 2 : mark - 1].isspace():
        return CLAUSE
    if following in "-–—" and string[start + 1 : start + 2].isspace():
        return WORD  # the dash itself goes with the part before it, and is then left out
    return WORD * 1.5 if last.isdigit() or following.isdigit() else WORD


def _ends_sentence(text: Traced, mark: int, start: int, abbreviations: frozenset[str]) -> bool:
    string = text.text
    following = (
        string[start:].lstrip("\"'([")[:1] if string[start] in "\"'([" and start + 4 > len(string) else string[start]
    )
    if following in "\"'([":
        following = string[start + 1 : start + 2]
    first, last = text.source(start, start + 1)
    if following.islower() and last - first == 1:
        return False
    if string[mark - 1] != ".":
        return True
    if following.isdigit():
        return False
    found = _LAST_WORD.search(string, max(0, mark - 40), mark - 1)
    word = found[0] if found else ""
    if len(word) == 1 and word.isupper() and word != "I":
        return False
    return not (
        word.lower() in abbreviations
        or ("." in word and not word.endswith(".") and word.replace(".", "").isalpha() and len(word) < 8)
    )


def balanced(
    text: str, start: int, end: int, breaks: Sequence[Break], longest: int, parts: int = 0
) -> list[tuple[int, int]]:
    """Cut start..end of `text` into parts of at most `longest` characters, about equally long, where cuts cost least.

    `parts`: at least this many. `breaks` lie inside start..end, in order. A run of characters without a break that is
    longer than `longest` is cut in it, between groups of digits where there are some.
    """
    places = [Break(start, start, 0.0), *breaks, Break(end, end, 0.0)]
    if any(after.end - before.start > longest for before, after in pairwise(places)):
        places = _with_hard_breaks(text, places, longest)
    count = max(parts, -(-(end - start) // longest), 1)
    target = (end - start) / count
    best = [0.0] + [float("inf")] * (len(places) - 1)
    came = [0] * len(places)
    low = 0
    for index in range(1, len(places)):
        while places[index].end - places[low].start > longest and low < index - 1:
            low += 1
        for before in range(low, index):
            size = (places[index].end - places[before].start) / target
            cost = best[before] + places[index].cost + 2 * (size - 1) ** 2
            if cost < best[index]:
                best[index], came[index] = cost, before
    cuts, index = [], len(places) - 1
    while index:
        cuts.append((places[came[index]].start, places[index].end))
        index = came[index]
    return cuts[::-1]


def _with_hard_breaks(text: str, places: list[Break], longest: int) -> list[Break]:
    """Add breaks inside the runs that have none: between groups of digits and the like, or anywhere."""
    result: list[Break] = []
    for before, after in pairwise(places):
        result.append(before)
        if after.end - before.start <= longest:
            continue
        last = before.start
        groups = [match.end() for match in _SEPARATOR.finditer(text, before.start, after.end)]
        for at in [*groups, after.end]:
            while at - last > longest:
                last += max(1, longest // 2)
                result.append(Break(last, last, 2 * TOKEN))
            if at != after.end:
                result.append(Break(at, at, TOKEN))
                last = at
    return [*result, places[-1]]


def longest_run(start: int, end: int, breaks: Sequence[Break]) -> int:
    """Return the length of the longest stretch of start..end without a break."""
    places = [Break(start, start, 0.0), *breaks, Break(end, end, 0.0)]
    return max(after.end - before.start for before, after in pairwise(places))
