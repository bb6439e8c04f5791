"""Text that remembers where each of its characters comes from.

text = Traced("It costs $5.")
spoken = text.rewrite([(9, 11, "five dollars")])     # "It costs five dollars."
spoken.source(14, 21)                                # (9, 11): "dollars" was written "$5"
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable

__all__ = ["Edit", "Substitution", "Traced"]

Edit = tuple[int, int, str]  # (start, end, new text), in order, not overlapping
Substitution = tuple[re.Pattern[str], str | Callable[[re.Match[str]], "str | None"]]  # as the arguments of `sub`
_WORD = re.compile(r"\S+")


class Traced:
    """A text derived from another, its source, with the (start, end) in the source of every character.

    Both ends never fall from one character to the next. `Traced(text)` is its own source; instances never change.
    """

    __slots__ = ("_ends", "_starts", "text")

    def __init__(self, text: str, starts: array[int] | None = None, ends: array[int] | None = None) -> None:
        self.text = text
        self._starts = array("L", range(len(text))) if starts is None else starts
        self._ends = array("L", range(1, len(text) + 1)) if ends is None else ends

    def __repr__(self) -> str:
        return f"Traced({self.text!r})"

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Return the (start, end) in the source of the characters start..end of `text`."""
        if start >= end:
            place = self._place(start)
            return place, place
        return self._starts[start], max(self._starts[start], self._ends[end - 1])

    def derived(self, start: int, end: int) -> tuple[int, int]:
        """Return the (start, end) in `text` of all that comes from the characters start..end of the source."""
        first = bisect_right(self._ends, start)
        return first, max(first, bisect_left(self._starts, end))

    def words(self) -> list[tuple[str, int, int]]:
        """Return each word of `text` (split at white space) with its start and end in the source."""
        return [(match[0], *self.source(*match.span())) for match in _WORD.finditer(self.text)]

    def _place(self, index: int) -> int:
        if index < len(self._starts):
            return self._starts[index]
        return self._ends[-1] if self._ends else 0

    def rewrite(self, edits: Iterable[Edit]) -> Traced:
        """Return a text with stretches replaced; every new character comes from the whole stretch it replaces."""
        pieces: list[str] = []
        starts, ends = array("L"), array("L")
        done = 0
        for start, end, new in edits:
            pieces += (self.text[done:start], new)
            starts += self._starts[done:start]
            ends += self._ends[done:start]
            first, last = self.source(start, end)
            starts += array("L", [first]) * len(new)
            ends += array("L", [last]) * len(new)
            done = end
        if not pieces:
            return self
        pieces.append(self.text[done:])
        return Traced("".join(pieces), starts + self._starts[done:], ends + self._ends[done:])

    def sub(self, pattern: re.Pattern[str], new: str | Callable[[re.Match[str]], str | None]) -> Traced:
        """Return a text with every match replaced, as `re.sub`; a function may return None to leave its match alone."""
        if isinstance(new, str):
            return self.rewrite((*match.span(), new) for match in pattern.finditer(self.text))
        read = ((match, new(match)) for match in pattern.finditer(self.text))
        return self.rewrite((*match.span(), text) for match, text in read if text is not None)

    def sub_all(self, substitutions: Iterable[Substitution]) -> Traced:
        """Return a text after several substitutions, one after the other."""
        text = self
        for pattern, new in substitutions:
            text = text.sub(pattern, new)
        return text

    def cut(self, start: int, end: int) -> Traced:
        """Return the characters start..end, with the same source."""
        return Traced(self.text[start:end], self._starts[start:end], self._ends[start:end])

    def __add__(self, other: Traced) -> Traced:
        """Join two texts of one source."""
        return Traced(self.text + other.text, self._starts + other._starts, self._ends + other._ends)
