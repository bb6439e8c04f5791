"""The spoken form of a shown text: the lexicon first, then the natural normaliser; every word keeps its place."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence

from tutortoietts.book.lexicon import Lexicon
from tutortoietts.core.errors import OptionError
from tutortoietts.text.languages import find_language
from tutortoietts.text.natural import normalize
from tutortoietts.text.traced import Edit, Traced

__all__ = ["URLS", "Speech", "known_language"]

URLS = ("skip", "host", "full")
_URL = re.compile(r"\b(?:https?://|www\.)([^\s/<>()\"”’]+)([^\s<>()\"”’]*[^\s<>()\"”’.,;:!?])?", re.IGNORECASE)
_ISBN = re.compile(r"\bISBN(?:-1[03])?:?\s*[\d-]{9,17}[\dXx]\b")


class Speech:
    """Settings for saying the texts of one book: its lexicon, its language, its way with web addresses."""

    def __init__(self, lexicon: Lexicon | None = None, language: str = "en", urls: str = "host") -> None:
        if urls not in URLS:
            raise OptionError(f"--urls is {urls!r}, must be one of {', '.join(URLS)}")
        self.lexicon = lexicon or Lexicon()
        self.language = known_language(language)
        self.urls = urls

    def of(
        self, shown: str, where: dict[str, str] | None = None, aliases: Sequence[Edit] = (), language: str = ""
    ) -> Traced:  # fmt: skip
        """Return `shown` as it is said, traced to `shown`; `where`: voice, chapter, lang, for the lexicon's scopes.

        aliases: (start, end, spoken) of markup, which come before everything else. language: of the text, "" for
        the book's.
        """
        text = Traced(shown).rewrite(aliases).sub(_ISBN, "")
        if self.urls != "full":
            text = text.sub(_URL, "" if self.urls == "skip" else lambda match: match.group(1).removeprefix("www."))
        text = self.lexicon.apply(text, where)
        said = normalize(text.text, known_language(language) if language else self.language)
        return said if text.text == shown else _chained(text, said)


def known_language(tag: str) -> str:
    """Return `tag` if the normaliser knows it, its first part if it knows that, else "en"."""
    for name in (tag, tag.partition("-")[0], "en"):
        try:
            find_language(name)
        except OptionError:
            continue
        return name
    return "en"


def _chained(first: Traced, second: Traced) -> Traced:
    """`second`, made from the text of `first`, traced to the source of `first`."""
    starts, ends = array("L"), array("L")
    for i in range(len(second.text)):
        start, end = second.source(i, i + 1)
        place = first.source(start, end)
        starts.append(place[0])
        ends.append(place[1])
    return Traced(second.text, starts, ends)
