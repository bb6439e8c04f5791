"""The words of a text as written, each with the tokens that speak it.

for word, chars, tokens in word_tokens(tokenizer, Passage(text="It costs $5."), "It costs $5."):
    ...                                                     # "It", (0, 2), (0, 2); "costs", ...; "$5", (9, 11), (9, 22)
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from tutortoietts.core.errors import TextError
from tutortoietts.text.brackets import Passage
from tutortoietts.text.normalize import is_sayable
from tutortoietts.text.tokenizer import Tokenizer

__all__ = ["WordTokens", "word_tokens"]

_WORD = re.compile(r"[^\s\[\]]+")  # brackets only mark what is hidden
_PART = re.compile(r"\s*\S+\s*\Z|\s*\S+|\s+")
_SHOWN = "%‰&#@§"  # punctuation by Unicode's reckoning that is read aloud


class WordTokens(NamedTuple):
    """A word as written, without the punctuation round it; its (start, end) characters; its (start, end) tokens.

    The tokens include punctuation behind the word, during which its last sounds are still heard, but no space.
    """

    word: str
    chars: tuple[int, int]
    tokens: tuple[int, int]


class _Spoken(NamedTuple):
    chars: tuple[int, int]  # in the passage's text
    tokens: tuple[int, int]


def word_tokens(tokenizer: Tokenizer, passage: Passage, written: str) -> list[WordTokens]:
    """Return the words of a passage that are heard, in order, each with its tokens in `encode_parts` of its pieces.

    written: the text as written, that of which `passage.source` tells places. Spoken words that share a written word
    are one word ("five dollars", written "$5"); written words that share a spoken one are one, too ("$1.5 million").
    Hidden words and those without a sound are left out. Where cleaning crosses words, the tokens of those concerned
    are shared out by their number of characters.
    Raises TextError as `Tokenizer.encode`.
    """
    places = [match.span() for match in _WORD.finditer(written)]
    groups: list[tuple[int, int, tuple[int, int]]] = []  # first and last written word, tokens
    for spoken in _spoken(tokenizer, passage):
        first, last = _covered(places, *passage.source(*spoken.chars))
        if first > last:
            continue
        tokens = spoken.tokens
        if groups and first <= groups[-1][1]:
            before, after, (begin, _) = groups.pop()
            first, last, tokens = before, max(last, after), (begin, tokens[1])
        groups.append((first, last, tokens))
    spans = [(_stripped(written, places[first][0], places[last][1]), tokens) for first, last, tokens in groups]
    return [WordTokens(written[start:end], (start, end), tokens) for (start, end), tokens in spans]


def _covered(places: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    """Return the numbers of the first and last of the words (start, end) that share a character with start..end."""
    first = bisect_right(places, start, key=lambda place: place[1])
    last = bisect_left(places, max(end, start + 1), key=lambda place: place[0]) - 1
    return first, last


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the span without punctuation at its ends; all of it, if there is nothing else."""
    shown = [i for i in range(start, end) if text[i] in _SHOWN or unicodedata.category(text[i])[0] not in "PZC"]
    return (shown[0], shown[-1] + 1) if shown else (start, end)


def _spoken(tokenizer: Tokenizer, passage: Passage) -> Iterator[_Spoken]:
    """Return the whitespace-separated words of the passage that are heard and have tokens of letters."""
    pieces = passage.pieces()
    ids = tokenizer.encode_parts([piece for piece, _ in pieces])[0].ids[0].tolist()
    parts = [(part, number) for number, (piece, _) in enumerate(pieces) for part in _PART.findall(piece)]
    place = 0
    for (part, number), (begin, end) in zip(parts, pairwise([0, *_ends(tokenizer, parts, ids)]), strict=True):
        chars = place + len(part) - len(part.lstrip()), place + len(part.rstrip())
        place += len(part)
        shown = [tokenizer.decode([identity]) for identity in ids[begin:end]]
        loud = [i for i, token in enumerate(shown) if is_sayable(token)]
        if loud and not pieces[number][1]:
            last = max(i for i, token in enumerate(shown) if token.strip())
            yield _Spoken(chars, (begin + loud[0], begin + last + 1))


def _ends(tokenizer: Tokenizer, parts: Sequence[tuple[str, int]], ids: list[int]) -> list[int]:
    """Count the tokens `ids` up to the end of each of the parts, which come with their piece's number.

    Exact where the text cleaned part by part is the text cleaned whole. Else a gap between parts is trusted if the
    texts on both sides of it, cleaned for themselves, make up the whole; in between, characters are counted.
    """
    tokens = _encoded(tokenizer, [part for part, _ in parts])
    if tokens is not None and tokens[0] == ids:
        return tokens[1]
    places = [0]  # characters
    for part, _ in parts:
        places.append(places[-1] + len(part))
    known = [(0, 0)]
    for cut in range(1, len(parts)):
        left, right = (_encoded(tokenizer, _joined(side)) for side in (parts[:cut], parts[cut:]))
        if left is not None and right is not None and left[0] + right[0] == ids:
            known.append((places[cut], len(left[0])))
    known.append((places[-1], len(ids)))
    ends = []
    for place in places[1:]:
        after = min(bisect_left(known, (place,)), len(known) - 1)
        (low, begin), (high, end) = known[after - 1], known[after]
        ends.append(begin + round((end - begin) * (place - low) / max(high - low, 1)))
    return ends


def _joined(parts: Sequence[tuple[str, int]]) -> list[str]:
    """Put the parts together again into their pieces."""
    pieces: dict[int, str] = {}
    for part, number in parts:
        pieces[number] = pieces.get(number, "") + part
    return list(pieces.values())


def _encoded(tokenizer: Tokenizer, pieces: Sequence[str]) -> tuple[list[int], list[int]] | None:
    """Token ids of the pieces and their ends; None for pieces that say nothing."""
    try:
        tokens, ends = tokenizer.encode_parts(pieces)
    except TextError:
        return None
    return tokens.ids[0].tolist(), ends
