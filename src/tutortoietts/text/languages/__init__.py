"""Languages of the natural normaliser (`text.natural`), one module each, named by its code: `en.py`, `de.py`, ...

A module has `CODES`, the language tags it answers to (the first is its default), and `language(tag)`, which returns
its `Language`. Modules are imported when first used, and load their tables then.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Protocol

from tutortoietts.core.errors import OptionError

__all__ = ["LANGUAGES", "Language", "Reading", "Rule", "find_language", "tags_of"]

LANGUAGES = (
    "en",
    "es",
    "fr",
    "de",
    "it",
    "pt",
    "pl",
    "tr",
    "ru",
    "nl",
    "cs",
    "ar",
    "zh",
    "ja",
    "hu",
    "ko",
    "hi",
)  # modules of this folder

Reading = str | tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern and the function that reads its matches aloud.

    `read` returns the words, or (words, end) to take only the text up to `end`, or None where the rule does not
    apply after all. The pattern is searched in the whole plain text, so it may look around; it must run in linear
    time on any text: no unbounded repeat without a look-behind that fixes where it begins.
    """

    pattern: re.Pattern[str]
    read: Callable[[re.Match[str]], Reading]


class Language(Protocol):
    """A language as the normaliser and the splitter need it.

    `tag`: such as "en-GB". `rules`: what turns written text into words; the earliest match wins, and of those that
    begin at one place the first in this order. `symbols`: names of single characters that no rule has read; "" for
    those that are silent, a mark such as "," for a pause. `abbreviations`: lower case, without the last dot, after
    which a dot ends no sentence. `sentence_ends`: characters that end a sentence. `longest`: characters that are spoken
    well at one go, or None for the model's own limit. `marks`: characters beyond ASCII that the rules or the model
    know, which are neither replaced nor dropped on the way, such as "¿" in Spanish. `spaced`: words are kept apart by
    spaces.
    """

    @property
    def tag(self) -> str: ...
    @property
    def rules(self) -> Sequence[Rule]: ...
    @property
    def symbols(self) -> dict[str, str]: ...
    @property
    def abbreviations(self) -> frozenset[str]: ...
    @property
    def sentence_ends(self) -> str: ...
    @property
    def longest(self) -> int | None: ...
    @property
    def marks(self) -> str: ...
    @property
    def spaced(self) -> bool: ...


@cache
def find_language(tag: str) -> Language:
    """Return the language of a tag such as "en" or "en-GB", in any case; OptionError lists the known tags."""
    wanted = tag.strip().lower().replace("_", "-") if isinstance(tag, str) else ""
    name = wanted.partition("-")[0]
    for code in _module(name).CODES if name in LANGUAGES else ():
        if code.lower() == wanted:
            found: Language = _module(name).language(code)
            return found
    known = [code for name in LANGUAGES for code in _module(name).CODES]
    raise OptionError(f"language {tag!r} is not known: use one of {', '.join(known)}")


def tags_of(name: str) -> tuple[str, ...]:
    """Return the tags that a language answers to, the default first: "de", "de-DE", ..."""
    codes: tuple[str, ...] = _module(name).CODES
    return codes


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")
