"""Lexicons: how words are to be said. CSV files of one's own, and PLS files, also those inside an EPUB.

CSV: `written,spoken,flags,scope`, UTF-8, "#" begins a comment. Flags: i any case, s this case only, p also inside
words, re a regular expression. Scope: `voice=NAME`, `chapter=N`, `lang=TAG`, separated by spaces. One pass, longest
first; what is put in is not searched again. The shown text stays as it is.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutortoietts.book.readers.xml import local, parse_xml
from tutortoietts.core.errors import OptionError
from tutortoietts.text.respell import respell
from tutortoietts.text.traced import Traced

__all__ = ["Entry", "Lexicon", "read_lexicon", "read_pls"]

FLAGS = frozenset("isp")
SCOPES = frozenset(("voice", "chapter", "lang"))
MOST_ENTRIES = 100_000
_NESTED = re.compile(r"[*+}][^)]*\)\s*[*+{]|\(\?<?[=!]|\\[1-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line: `written` is said as `spoken`; `pattern` finds it; `scope` limits where."""

    written: str
    spoken: str
    pattern: str
    any_case: bool = False
    scope: tuple[tuple[str, str], ...] = ()

    def applies(self, where: dict[str, str]) -> bool:
        """Return True when every part of the scope is that of `where`."""
        return all(where.get(key, "").lower() == value.lower() for key, value in self.scope)


class Lexicon:
    """Entries, applied in one pass, the longest first."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries = sorted(entries, key=lambda entry: -len(entry.written))
        self._compiled: dict[tuple[int, ...], tuple[re.Pattern[str], Sequence[Entry]]] = {}
        self._scoped = any(entry.scope for entry in self.entries)
        self._words = {entry.written.split()[0].lower() for entry in self.entries if entry.written.split()}

    def __bool__(self) -> bool:
        return bool(self.entries)

    def apply(self, text: Traced, where: dict[str, str] | None = None) -> Traced:
        """Return the text with every entry's words said as it says."""
        if not self.entries:
            return text
        edits: list[tuple[int, int, str]] = []
        for pattern, entries in self._patterns(where or {}):
            for match in pattern.finditer(text.text):
                entry = entries[int((match.lastgroup or "e0")[1:])]
                if match.start() < match.end():
                    edits.append((match.start(), match.end(), entry.spoken))
        return text.rewrite(_apart(edits))

    def _patterns(self, where: dict[str, str]) -> list[tuple[re.Pattern[str], Sequence[Entry]]]:
        """The entries that apply here as alternations of at most 500 entries each."""
        chosen = [i for i, entry in enumerate(self.entries) if not entry.scope or entry.applies(where)]
        found = []
        for start in range(0, len(chosen), 500):
            key = tuple(chosen[start : start + 500])
            if key not in self._compiled:
                entries = [self.entries[i] for i in key]
                parts = (f"(?P<e{i}>{'(?i:' if e.any_case else '(?:'}{e.pattern}))" for i, e in enumerate(entries))
                self._compiled[key] = (re.compile("|".join(parts)), entries)
            found.append(self._compiled[key])
        return found


def read_lexicon(path: Path) -> list[Entry]:
    """Return the entries of a CSV or PLS file. Raises OptionError naming the file and the line."""
    if not path.is_file():
        raise OptionError(f"--lexicon {path} is no file")
    data = path.read_bytes()
    if path.suffix.lower() in (".pls", ".xml"):
        return read_pls(data, str(path))[0]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OptionError(f"--lexicon {path} is not UTF-8: byte {error.start}") from error
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            entries.append(_entry(next(csv.reader(io.StringIO(line), skipinitialspace=True)), f"{path}, line {number}"))
    if len(entries) > MOST_ENTRIES:
        raise OptionError(f"--lexicon {path} has {len(entries)} lines, the limit is {MOST_ENTRIES}")
    return entries


def read_pls(data: bytes, name: str) -> tuple[list[Entry], list[str]]:
    """Return (entries, warnings) of a W3C Pronunciation Lexicon: aliases, else phonemes in English letters."""
    entries, warnings = [], []
    root = parse_xml(data, name)
    for lexeme in root.iter():
        if local(lexeme) != "lexeme":
            continue
        graphemes = [" ".join((child.text or "").split()) for child in lexeme if local(child) == "grapheme"]
        aliases = [" ".join((child.text or "").split()) for child in lexeme if local(child) == "alias"]
        if not aliases:
            written = ", ".join(graphemes)
            spelt = _respelt(lexeme, root.get("alphabet", "ipa"))
            if spelt is None:
                warnings.append(f"{name}: phonemes cannot be spoken as given; {written} stay as written")
                continue
            warnings.append(f"{name}: phonemes are said about so; {written} as {spelt!r}")
            aliases = [spelt]
        entries += [_entry([written, aliases[0]], name) for written in graphemes if written]
    return entries, warnings[:20]


def _respelt(lexeme: Any, alphabet: str) -> str | None:
    """The first phoneme of a lexeme that can be put into English letters."""
    phonemes = [child for child in lexeme if local(child) == "phoneme"]
    found = (respell(child.text or "", child.get("alphabet", alphabet)) for child in phonemes)
    return next((spelt for spelt in found if spelt), None)


def _entry(row: list[str], place: str) -> Entry:
    if len(row) < 2 or not row[0].strip():
        raise OptionError(f"{place}: must be written,spoken[,flags[,scope]]")
    written, spoken = row[0].strip(), row[1].strip()
    flags = row[2].strip() if len(row) > 2 else ""
    expression = flags in ("re", "rei", "ire")
    if not expression and set(flags.replace("w", "")) - FLAGS:
        raise OptionError(f"{place}: flags {flags!r} must be of i (any case), s (this case), w (words), p (parts), re")
    scope = _scope(row[3] if len(row) > 3 else "", place)
    if expression:
        pattern = _checked(written, place)
    else:
        pattern = re.escape(written).replace(r"\ ", r"\s+")
        if "p" not in flags:
            pattern = rf"(?<!\w){pattern}(?!\w)"
    any_case = "i" in flags.replace("re", "")
    return Entry(written=written, spoken=spoken, pattern=pattern, any_case=any_case, scope=scope)


def _checked(expression: str, place: str) -> str:
    """A regular expression that compiles and cannot take exponential time: no repeated group that repeats inside."""
    try:
        re.compile(expression)
    except re.error as error:
        raise OptionError(f"{place}: {expression!r} is no regular expression: {error}") from None
    if "(?P" in expression or _NESTED.search(expression) or len(expression) > 200:
        raise OptionError(f"{place}: {expression!r} may take forever: no group that repeats inside a repeated one")
    return re.sub(r"(?<!\\)\((?!\?)", "(?:", expression)


def _scope(text: str, place: str) -> tuple[tuple[str, str], ...]:
    pairs = [part.partition("=") for part in text.split()]
    for key, _, value in pairs:
        if key not in SCOPES or not value:
            raise OptionError(f"{place}: scope {text!r} must be like voice=NAME, chapter=3 or lang=en")
    return tuple((key, value) for key, _, value in pairs)


def _apart(edits: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """In order, without overlaps: the earlier, then the longer one stays."""
    kept: list[tuple[int, int, str]] = []
    for edit in sorted(edits, key=lambda edit: (edit[0], -edit[1])):
        if not kept or edit[0] >= kept[-1][1]:
            kept.append(edit)
    return kept
