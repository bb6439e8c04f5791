"""English: "en" and "en-US" (month first), "en-GB" (day first, "one hundred and one", metres)."""

from __future__ import annotations

import re
from functools import cached_property

from tutortoietts.text.languages import Language, Reading, Rule
from tutortoietts.text.languages.english import abbreviations, addresses, amounts, dates, figures, letters, romans
from tutortoietts.text.languages.english.words import Numbers, table

__all__ = ["CODES", "English", "language"]

CODES = ("en", "en-US", "en-GB")

_GREEK = re.compile(r"(?<![\u0370-\u03ff])(?P<letter>[\u0391-\u03c9])(?![\u0370-\u03ff])")

_EMOTICON = re.compile(r"(?<!\S)[:;=8][-']?[()DPpOo|/\\](?=\s|[.,!?]|$)")


class English:
    """English in one of the forms of `CODES`."""

    sentence_ends = ".!?"
    longest: int | None = None
    marks = ""
    spaced = True

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.british = tag == "en-GB"

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The order counts among rules that match at one place: the more special first."""
        numbers = Numbers(self.british)
        return (
            *dates.rules(numbers, day_first=self.british),
            *addresses.rules(numbers),
            *amounts.rules(numbers, self.british),
            *abbreviations.rules(),
            *figures.early_rules(numbers),
            *romans.rules(numbers),
            *letters.rules(numbers),
            *figures.rules(numbers),
            Rule(_EMOTICON, lambda match: ""),
            Rule(_GREEK, self._greek),
        )

    @cached_property
    def symbols(self) -> dict[str, str]:
        """Names of lone symbols; those that are not here are silent."""
        names: dict[str, str] = table("symbols")
        return names

    @cached_property
    def abbreviations(self) -> frozenset[str]:
        """Abbreviations after which a dot ends no sentence."""
        return abbreviations.known_abbreviations()

    def _greek(self, match: re.Match[str]) -> Reading:
        return self.symbols.get(match["letter"])


def language(tag: str) -> Language:
    """Return English in the form of one of `CODES`."""
    return English(tag)
