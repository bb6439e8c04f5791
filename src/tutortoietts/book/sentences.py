"""Sentences, clauses and quotations of a paragraph, as ranges of its characters; nothing is lost between them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

__all__ = ["clauses", "quotations", "sentences"]

_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof rev hon st messrs mmes jr sr sen rep gov gen col capt lt sgt cpl maj adm pres supt insp "
    "vs cf viz etc e.g i.e eg ie vol vols ch chap no nos p pp fig figs sec art op ed eds trans approx dept est "
    "ave rd blvd mt ft in lb lbs oz inc ltd co corp bros jan feb mar apr jun jul aug sep sept oct nov dec a.m "
    "p.m".split()
)
_STOP = re.compile(r"(?:\.{3}|\. \. \.|…|[.!?]+)[\"'”’»)\]]*(?=\s|$)")
_CLAUSE = re.compile(r"(?:[,;:][\"'”’»)\]]*|\s[\u2013\u2014-]{1,2})(?=\s)|[\u2013\u2014](?=\w)")
_LAST_WORD = re.compile(r"(\S+)$")
_OPENING = {"“": "”", '"': '"', "«": "»", "„": "“", "‘": "’"}


def sentences(text: str) -> list[tuple[int, int]]:
    """Return the (start, end) of every sentence, without the spaces between them; together they are the whole text."""
    ranges: list[tuple[int, int]] = []
    start = 0
    for match in _STOP.finditer(text):
        if _ends(text, start, match):
            ranges.append((start, match.end()))
            start = match.end()
    ranges.append((start, len(text)))
    return _stripped(text, ranges)


def clauses(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return the (start, end) of the clauses of text[start:end], cut after commas, semicolons, colons and dashes."""
    cuts = [match.end() for match in _CLAUSE.finditer(text, start, end)]
    return _stripped(text, pairwise([start, *cuts, end]))


def quotations(text: str) -> list[tuple[int, int, bool]]:
    """Return (start, end, quoted) for the whole text; a quotation that is not closed goes to the end.

    Double and low quotes and guillemets always open; a single quote does only before a word and where a closing one
    follows, so that apostrophes are none. A quotation over several paragraphs opens again
    in each, so each stands for itself.
    """
    spans: list[tuple[int, int, bool]] = []
    closing, start = "", 0
    for i, char in enumerate(text):
        if closing:
            if char == closing and not _is_apostrophe(text, i):
                spans.append((start, i + 1, True))
                closing, start = "", i + 1
        elif char in _OPENING and (char != "‘" or _closes(text, i)) and (char != '"' or _may_open(text, i)):
            if text[start:i].strip():
                spans.append((start, i, False))
            closing, start = _OPENING[char], i
    if text[start:].strip():
        spans.append((start, len(text), bool(closing)))
    return spans


def _ends(text: str, start: int, match: re.Match[str]) -> bool:
    """True when the mark of `match` ends the sentence that began at `start`."""
    after = text[match.end() :].lstrip()
    if not after:
        return True
    mark = match.group(0)
    following = after.lstrip("\"'“‘«„([")[:1]
    if following.islower():
        return False  # "Who?" he said; 6 ft. tall
    if mark.rstrip("\"'”’»)]") != ".":
        return True
    word = _LAST_WORD.search(text, start, match.start())
    bare = word.group(1).lstrip("\"'“‘«„([").lower() if word else ""
    if bare in _ABBREVIATIONS and mark == ".":
        return False
    if len(bare) == 1 and bare.isalpha() and mark == ".":
        return bare == "i" and word is not None and text[word.start() : word.end()] == "I" and _is_pronoun(text, word)
    initials = "." in bare and bare.replace(".", "").isalpha() and all(len(part) <= 1 for part in bare.split("."))
    return not (initials and mark == "." and not after[:1].isupper())


def _is_pronoun(text: str, word: re.Match[str]) -> bool:
    """True for an "I" that ends a sentence ("It is I."): a lower-case word stands before it."""
    before = text[: word.start()].rstrip().rpartition(" ")[2]
    return before.islower()


def _is_apostrophe(text: str, i: int) -> bool:
    return text[i] == "’" and i + 1 < len(text) and text[i + 1].isalpha()


def _closes(text: str, i: int) -> bool:
    return any(text[j] == "’" and not _is_apostrophe(text, j) for j in range(i + 2, len(text)))


def _may_open(text: str, i: int) -> bool:
    return i + 1 < len(text) and not text[i + 1].isspace()


def _stripped(text: str, ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    out = []
    for start, end in ranges:
        piece = text[start:end]
        first = start + len(piece) - len(piece.lstrip())
        last = end - (len(piece) - len(piece.rstrip()))
        if first < last:
            out.append((first, last))
    return out
