"""Bracketed text: "[I am really sad,] Please feed me." is spoken whole, and the bracketed part cut from the audio."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import pairwise

from tutortoietts.core.errors import TextError
from tutortoietts.text.normalize import is_sayable

__all__ = ["Passage", "parse_brackets"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Text to speak at one go, and what of it is cut from the audio afterwards.

    `text` has no brackets; `hidden` are its (start, end) character spans that were bracketed, in order, not empty,
    not touching.
    """

    text: str
    hidden: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        edge = -1
        for start, end in self.hidden:
            if not edge < start < end <= len(self.text):
                raise TextError(f"hidden span {start}..{end} does not fit in a text of {len(self.text)} characters")
            edge = end

    def pieces(self) -> list[tuple[str, bool]]:
        """The text in consecutive pieces, each with whether it is hidden; for `Tokenizer.encode_parts`."""
        edges = [0, *(edge for span in self.hidden for edge in span), len(self.text)]
        cuts = pairwise(edges)
        pieces = [(self.text[start:end], bool(i % 2)) for i, (start, end) in enumerate(cuts)]
        return [(piece, hidden) for piece, hidden in pieces if piece]


def parse_brackets(text: str) -> Passage:
    """Takes the brackets out of `text` and remembers what they held.

    Nested brackets count as the outermost pair. A bracket without its partner cannot be spoken either: it is left
    out with a logged warning (one for all of them), and hides nothing, so no text is lost by a slip of the pen.
    Raises TextError when everything sayable is bracketed, as nothing would be heard.
    """
    opened: list[int] = []
    paired: set[int] = set()
    for position, char in enumerate(text):
        if char == "[":
            opened.append(position)
        elif char == "]" and opened:
            paired |= {opened.pop(), position}
    plain: list[str] = []
    hidden: list[tuple[int, int]] = []
    unpaired: list[int] = []
    depth = start = 0
    for position, char in enumerate(text):
        if char not in "[]":
            plain.append(char)
        elif position not in paired:
            unpaired.append(position)
        elif char == "[":
            start = len(plain) if depth == 0 else start
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                _append(hidden, start, len(plain))
    if unpaired:
        more = f" (and {len(unpaired) - 1} more)" if len(unpaired) > 1 else ""
        message = "unpaired %r at character %d%s is left out: pair it, to cut what it holds"
        _log.warning(message, text[unpaired[0]], unpaired[0], more)
    passage = Passage(text="".join(plain), hidden=tuple(hidden))
    if hidden and not any(is_sayable(piece) for piece, cut in passage.pieces() if not cut):
        raise TextError("all of the text is in [brackets], so nothing would be heard: leave some of it outside")
    return passage


def _append(hidden: list[tuple[int, int]], start: int, end: int) -> None:
    """Adds a span; an empty one is nothing, one that touches the last is joined to it."""
    if start == end:
        return
    if hidden and hidden[-1][1] == start:
        start = hidden.pop()[0]
    hidden.append((start, end))
