"""Bracketed text: "[I am really sad,] Please feed me." is spoken whole, and the bracketed part cut from the audio."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from itertools import pairwise

from tutortoietts.core.errors import TextError
from tutortoietts.text.normalize import is_sayable
from tutortoietts.text.plain import plain_links
from tutortoietts.text.traced import Edit, Traced

__all__ = ["Passage", "parse_brackets"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Text to speak at one go, and what of it is cut from the audio afterwards.

    `text` has no brackets; `hidden` are its (start, end) character spans that were bracketed, in order, not empty,
    not touching. `origin` is `text` with the place of each character in the text as written; None: `text` is that text.
    """

    text: str
    hidden: tuple[tuple[int, int], ...] = ()
    origin: Traced | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        edge = -1
        for start, end in self.hidden:
            if not edge < start < end <= len(self.text):
                raise TextError(f"hidden span {start}..{end} does not fit in a text of {len(self.text)} characters")
            edge = end

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Return the (start, end) in the text as written of the characters start..end."""
        return self.origin.source(start, end) if self.origin else (start, end)

    def words(self) -> list[tuple[str, int, int]]:
        """Return each word of `text` (split at white space) with its start and end in the text as written."""
        return (self.origin or Traced(self.text)).words()

    def pieces(self) -> list[tuple[str, bool]]:
        """Return the text in consecutive pieces, each with True if it is hidden; for `Tokenizer.encode_parts`."""
        edges = [0, *(edge for span in self.hidden for edge in span), len(self.text)]
        cuts = pairwise(edges)
        pieces = [(self.text[start:end], bool(i % 2)) for i, (start, end) in enumerate(cuts)]
        return [(piece, hidden) for piece, hidden in pieces if piece]


# Sounds that other engines make for such brackets. Tortoise does not.
_SOUND = re.compile(
    r"(?i)\[\s{0,3}(?:(?:soft|loud|nervous|evil|deep|heavy|sharp|quiet|light)(?:ly)?\s)?(?:laugh|chuckle|giggle|sigh|cough|gasp|sob|cr(?:y|ie)|"
    r"groan|moan|yawn|sniff|sniffle|snort|scoff|hum|whistle|whisper|shout|scream|gulp|breathe|breath|inhale|exhale|pause|"
    r"silence|music|applause|clear|cheer|snicker|growl|grunt)(?:s|es|ing|ter|ed)?(?:\s(?:throat|softly|loudly|nervously|"
    r"deeply|quietly|heavily|playing|break))?\s{0,3}\]"
)


def parse_brackets(text: str, *, natural: bool = False) -> Passage:
    """Take the brackets out of `text` and remember what they held.

    Nested brackets count as the outermost pair. A bracket without its partner cannot be spoken either: it is left
    out with a logged warning (one for all of them), and hides nothing, so no text is lost by a slip of the pen.
    A tag such as [laughs] is logged: no sound is made of it.
    With `natural`, Markdown's links are visible, note marks such as [1] and tags such as [laughs] are left out, and
    hidden and visible words that touch get a space between them.
    Raises TextError when everything sayable is bracketed, as nothing would be heard.
    """
    source = Traced(text)
    if natural:
        source = plain_links(source)
    tags = dict.fromkeys(match[0] for match in _SOUND.finditer(source.text))
    if tags:
        fate = "left out" if natural else "spoken and cut from the sound"
        _log.warning("%s is %s: sounds cannot be asked for in brackets", ", ".join([*tags][:5]), fate)
    if natural:
        source = source.sub(_SOUND, " ")
    paired, unpaired = _pairs(source.text)
    if unpaired:
        more = f" (and {len(unpaired) - 1} more)" if len(unpaired) > 1 else ""
        message = "unpaired %r at character %d%s is left out: pair it, to cut what it holds"
        _log.warning(message, source.text[unpaired[0]], unpaired[0], more)
    passage = _without_brackets(source, paired, apart=natural)
    if passage.hidden and not any(is_sayable(piece) for piece, cut in passage.pieces() if not cut):
        raise TextError("all of the text is in [brackets], so nothing would be heard: leave some of it outside")
    return passage


def _pairs(text: str) -> tuple[set[int], list[int]]:
    """Return the places of the brackets that have a partner, and of those that have none."""
    opened: list[int] = []
    paired: set[int] = set()
    places = [match.start() for match in re.finditer(r"[\[\]]", text)]
    for position in places:
        if text[position] == "[":
            opened.append(position)
        elif opened:
            paired |= {opened.pop(), position}
    return paired, [position for position in places if position not in paired]


def _without_brackets(source: Traced, paired: set[int], *, apart: bool) -> Passage:
    text = source.text
    edits: list[Edit] = []
    hidden: list[tuple[int, int]] = []
    depth = start = 0
    removed = 0  # characters taken out before this place
    for match in re.finditer(r"[\[\]]", text):
        position = match.start()
        space = ""
        edge = position in paired and depth == (0 if text[position] == "[" else 1)
        if (
            edge
            and apart
            and text[position - 1 : position].isalnum()
            and position
            and text[position + 1 : position + 2].isalnum()
        ):
            space = " "
        edits.append((position, position + 1, space))
        here = position - removed
        removed += 1 - len(space)
        if position not in paired:
            continue
        if text[position] == "[":
            start = here if depth == 0 else start
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                _append(hidden, start, here)
    plain = source.rewrite(edits)
    return Passage(text=plain.text, hidden=tuple(hidden), origin=plain)


def _append(hidden: list[tuple[int, int]], start: int, end: int) -> None:
    """Add a span; an empty one is left out, one that touches the last is joined to it."""
    if start == end:
        return
    if hidden and hidden[-1][1] == start:
        start = hidden.pop()[0]
    hidden.append((start, end))
