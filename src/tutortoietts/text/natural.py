"""The natural normaliser: written text to what a person would say, in front of the model's own cleaner.

normalize("It costs $5.").text                       # "It costs five dollars."
normalize("It costs $5.").words()                    # [..., ("five", 9, 11), ("dollars.", 9, 12)]

Three stages, each of which keeps track of where every character comes from (`text.traced`): plain text without
mark-up (`text.plain`), the rules of a language (`text.languages`), and tidy marks and spaces. Nothing that can be said
is lost, no two words are joined, and digits and symbols are gone afterwards.
"""

from __future__ import annotations

import heapq
import re
import unicodedata
from itertools import pairwise

from tutortoietts.core.errors import TextError
from tutortoietts.text.brackets import Passage
from tutortoietts.text.languages import Language, find_language
from tutortoietts.text.normalize import is_sayable
from tutortoietts.text.plain import MARK, plain, plain_links
from tutortoietts.text.traced import Edit, Substitution, Traced

__all__ = ["normalize", "normalize_passage"]


def normalize(text: str, language: str = "en") -> Traced:
    """Return `text` as a person would say it, every word with its place in `text`.

    `language`: a tag, "en" (dates as en-US), "en-US" or "en-GB". Text in brackets is text as any other here. The
    result is empty only when nothing of the text can be said. Raises OptionError for an unknown language, TextError
    for what is no str.
    """
    if not isinstance(text, str):
        raise TextError(f"text is a {type(text).__name__}, must be a str")
    spoken = find_language(language)
    return _normalize(plain_links(Traced(text)).sub(_MARKS, ""), spoken)


def normalize_passage(passage: Passage, language: str = "en") -> Passage:
    """Return the passage in spoken words, what was hidden still hidden, and `origin` set to the text as written."""
    spoken = find_language(language)
    text = (passage.origin or Traced(passage.text)).sub(_MARKS, " ")
    edges = [edge for span in passage.hidden for edge in span]
    whole = _normalize(text.rewrite((edge, edge, MARK) for edge in edges), spoken)
    if whole.text.count(MARK) != len(edges):  # a rule read across an edge: read the pieces one by one
        whole = _piecewise(text, edges, spoken)
    return _unmarked(whole)


_MARKS = re.compile(MARK)


def _normalize(text: Traced, language: Language) -> Traced:
    read = _tidy(_read(plain(text, keep=language.marks), language), language)
    return read if is_sayable(read.text) else _named(text)


def _piecewise(text: Traced, edges: list[int], language: Language) -> Traced:
    result = Traced("")
    bounds = [0, *edges, len(text.text)]
    for number, (start, end) in enumerate(pairwise(bounds)):
        piece = _tidy(_read(plain(text.cut(start, end), keep=language.marks), language), language, inner=True)
        mark = text.cut(end, end).rewrite([(0, 0, MARK)]) if number + 2 < len(bounds) else Traced("")
        result = result + piece + mark
    return result


def _unmarked(text: Traced) -> Passage:
    """Take the marks out again and put hidden spans in their place."""
    places = [match.start() - number for number, match in enumerate(_MARKS.finditer(text.text))]
    clean = text.sub(_MARKS, "")
    hidden: list[tuple[int, int]] = []
    for start, end in zip(places[::2], places[1::2], strict=True):
        if start < end and hidden and hidden[-1][1] == start:
            start = hidden.pop()[0]
        if start < end:
            hidden.append((start, end))
    return Passage(text=clean.text, hidden=tuple(hidden), origin=clean)


# --- rules ---


def _read(text: Traced, language: Language) -> Traced:
    """Apply the rules from left to right: each stretch of the text is read by one of them at most."""
    string, rules = text.text, language.rules
    ahead: list[tuple[int, int, re.Match[str]]] = []

    def look(order: int, start: int) -> None:
        match = rules[order].pattern.search(string, start)
        if match:
            heapq.heappush(ahead, (match.start(), order, match))

    for order in range(len(rules)):
        look(order, 0)
    edits: list[Edit] = []
    done = 0
    while ahead:
        start, order, match = heapq.heappop(ahead)
        if start < done:
            look(order, done)
            continue
        reading = rules[order].read(match)
        if reading is None:
            look(order, start + 1)
            continue
        words, end = reading if isinstance(reading, tuple) else (reading, match.end())
        end = max(end, start + 1)
        if words != string[start:end]:
            edits.append((start, end, _apart(words, string, start, end) if language.spaced else words))
        done = end
        look(order, done)
    return text.rewrite(edits)


def _apart(words: str, string: str, start: int, end: int) -> str:
    """Add spaces where the words would touch their neighbours."""
    if words[:1].isalnum() and string[start - 1 : start].isalnum() and start:
        words = f" {words}"
    if words[-1:].isalnum() and string[end : end + 1].isalnum():
        words = f"{words} "
    return words or " "


# --- marks and spaces ---

_ELLIPSIS = re.compile(r"\.(?: ?\.){2,}")
_DASH = re.compile(r"\s*(?:[—–]|-{2,}|(?<=\s)-(?=\s))(?:\s*[—–-](?![\w]))*\s*")
_SYMBOL = re.compile(rf"[^\w\s.,;:!?'\"()\-{MARK}]|_")
_SPACES = re.compile(r"\s+")
_LEADING = re.compile(r"^[\s,;:.!?)-]+")
_MARKED_STOP = re.compile(r"(?<=[,;:!?])(?=[^\W\d_])|(?<=\.\.\.)(?=\w)")


def _dash(match: re.Match[str]) -> str | None:
    before = match.string[: match.start()].rstrip()[-1:] if match.start() < 40 else match.string[match.start() - 1]
    after = match.string[match.end() : match.end() + 1]
    if after == '"' and not match.string[match.end() + 1 : match.end() + 2].strip(" .,!?"):
        return ""  # interrupted: "I was-"
    if not before or before in '.!?("' or not after or after in ".,;:!?)":
        return " " if before else ""
    return " - "


_TIDY: tuple[Substitution, ...] = (
    (_SPACES, " "),
    (_ELLIPSIS, "..."),
    (_DASH, _dash),
    (re.compile(r"\([,;:.\s-]{0,40}\)|\" ?\""), " "),
    (_SPACES, " "),
    (re.compile(r"\s+(?=[,;:!?)]|\.(?!\w))"), ""),
    (re.compile(r"(?<=\()\s+"), ""),
    (re.compile(r"(?<=[!?])[!?.,;:]*!(?:[!?.,;:])*|(?<=!)[!.,;:]+|(?<=\?)[?.,;:]+"), ""),
    (re.compile(r"(?<=[,;:])(?:\s*[,;:])+"), ""),
    (re.compile(r"[,;:](?=\s*[.!?])"), ""),
    (re.compile(r"(?<![.])\.(?:\s?\.)(?!\.)"), "."),
    (re.compile(r"(?<=\w\.)[,;:]?(?=[!?])"), ""),
    (re.compile(r"(?<=[.!?])[,;:]+(?=\s|$)"), ""),
    (_SPACES, " "),
    (_MARKED_STOP, " "),
)


def _tidy(text: Traced, language: Language, inner: bool = False) -> Traced:
    """Return the text with one kind of dash and ellipsis, no lone symbols, single spaces and single marks."""
    text = text.sub(_SYMBOL, lambda match: _symbol(match, language)).sub_all(_TIDY)
    if inner:
        return text
    text = text.sub(_LEADING, "")
    stripped = text.text.rstrip()
    return text.cut(0, len(stripped))


def _symbol(match: re.Match[str], language: Language) -> str | None:
    char = match[0]
    if char in "—–" or char in language.marks:
        return None
    if unicodedata.category(char).startswith("M"):
        return None
    name = language.symbols.get(char, "")
    return f" {name} " if name else " "


def _named(text: Traced) -> Traced:
    """Name the symbols of a text that has nothing else, such as one emoji."""
    edits: list[Edit] = []
    last = ""
    for index, char in enumerate(text.text[:1000]):
        symbol = unicodedata.category(char) in ("So", "Sm", "Sc")
        named = symbol if len(text.text) == 1 or not char.isascii() else char in "%&@#$"
        name = unicodedata.name(char, "").lower().replace("-", " ") if named else ""
        name = re.sub(r"[^a-z ]| sign$", "", name).strip()
        name = "" if name == last and len(text.text) > 1 else name
        edits.append((index, index + 1, f"{', ' if name and last else ''}{name}"))
        last = name or last
    return text.rewrite([*edits, (min(1000, len(text.text)), len(text.text), "")])
