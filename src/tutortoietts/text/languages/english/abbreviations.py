"""Abbreviations, by their neighbours: "Dr. Smith", "Elm Dr.", "St. James St.", "No. 5", "6 ft. tall"."""

from __future__ import annotations

import re

from tutortoietts.text.languages import Reading, Rule
from tutortoietts.text.languages.english.letters import STARTERS, ends_sentence
from tutortoietts.text.languages.english.words import table

__all__ = ["known_abbreviations", "rules"]

_ROADS = {
    "st": "street",
    "dr": "drive",
    "ct": "court",
    "pl": "place",
    "sq": "square",
    "ave": "avenue",
    "rd": "road",
    "ln": "lane",
    "blvd": "boulevard",
}
_NAME_AHEAD = re.compile(r"\s(?:[\"'(]?[A-Z][\w'’.-]*|(?:de|van|von|du|le|la)\s)")
_NUMBER_AHEAD = re.compile(r"\s?[0-9#]")
_YEAR_AHEAD = re.compile(r"\s?[0-9]{3,4}(?![0-9])")
_ROMAN_AHEAD = re.compile(r"\s[ivxlIVXL]{1,6}\b")
_CAPITAL_BEHIND = re.compile(r"(?:^|[^\w'])((?:[A-Z][\w'’-]*|[0-9]{1,3}(?:st|nd|rd|th)))\.?,?\s$")
_SLASHED = re.compile(
    r"(?<![\w/])(?P<word>[wW]/o|[wW]/in|[wW]/(?=\s?\w)|[bB]/c|[cC]/o|[nN]/[aA]|[aA]/[cC])(?![A-Za-z0-9/]|(?<=o)\w)"
)
_AND_OR = re.compile(r"(?<=[A-Za-z.])(?:/| / )(?=[A-Za-z])")


def known_abbreviations() -> frozenset[str]:
    """Return every abbreviation, lower case without its last dot."""
    data = table("abbreviations")
    return frozenset(key for part in ("titles", "numbered", "words") for key in data[part]) | {
        "e.g",
        "i.e",
        "a.m",
        "p.m",
        "u.s",
        "ph.d",
    }


def rules() -> list[Rule]:
    """Return the rules for abbreviations."""
    reader = _Abbreviations()
    names = "|".join(sorted(reader.names, key=len, reverse=True))
    plain = "|".join(sorted(reader.data["plain"], key=len, reverse=True))
    return [
        Rule(_SLASHED, reader.slashed),
        Rule(re.compile(rf"(?<![\w.'@/-])(?P<word>{names})\.(?![\w@])", re.IGNORECASE), reader.dotted),
        Rule(re.compile(rf"(?<![\w.'@/-])(?P<word>{plain})(?![\w.'@/-])", re.IGNORECASE), reader.plain),
        Rule(re.compile(r"(?<![\w.'-])(?P<word>St|Dr|Mt|Ft|Ave|Rd|Blvd|Lt|Col|Gen|Sgt|Capt)(?![\w.'-])"), reader.bare),
        Rule(
            re.compile(
                r"(?<!\w)(?P<degree>Ph\.\s?D|Ed\.\s?D|Psy\.\s?D|B\.\s?Sc|M\.\s?Sc|LL\.\s?[BMD]|D\.\s?Phil)\.?(?!\w)"
            ),
            reader.degree,
        ),
        Rule(
            re.compile(r"\bet al\."), lambda match: "et al" + ("." if ends_sentence(match.string, match.end()) else "")
        ),
        Rule(_AND_OR, lambda match: " "),
    ]


class _Abbreviations:
    def __init__(self) -> None:
        self.data = table("abbreviations")
        self.titles: dict[str, str] = self.data["titles"]
        self.numbered: dict[str, str] = self.data["numbered"]
        self.words: dict[str, str] = self.data["words"]
        self.saints = frozenset(self.data["saints"].split())
        self.names = sorted({*self.titles, *self.numbered, *self.words} - {"al", "sun"})

    def dotted(self, match: re.Match[str]) -> Reading:
        written = match["word"]
        word = written.lower()
        string, end = match.string, match.end()
        name = _NAME_AHEAD.match(string, end, end + 40)
        stop = "." if ends_sentence(string, end) else ""
        if word in ("vol", "vols", "ch", "p", "pp", "fig", "sec", "art", "no", "bk") and _ROMAN_AHEAD.match(
            string, end, end + 10
        ):
            return None  # the rule for roman numerals reads both
        if word in self.numbered and _numbered(word, string, end):
            return self.numbered[word]
        if word in ("st", "dr", "ct", "pl", "sq"):
            return self._road(match, word, name, stop)
        if word in ("mt", "ft", "ste") and not name:
            return {"ft": "feet"}.get(word, self.titles[word]) + stop
        if word in self.titles and written[0].isupper() and name and word != "sr":
            return self.titles[word]
        if word in self.words:
            if word in ("rev", "hon", "temp", "ms") and written.islower():
                return None
            if (
                word == "sr"
                and name
                and not stop
                and not _CAPITAL_BEHIND.search(string[max(0, match.start() - 30) : match.start()])
            ):
                return "sister"
            if word == "etc":
                stop = "." if stop or re.match(r"[\"')]*\s+[\"'(]*[A-Z]", string[end : end + 8]) else ""
            return f"{self.words[word]}{stop}"
        if word in self.titles and written[0].isupper():
            return f"{self.titles[word]}{stop}" if len(word) > 2 or word in ("mr", "dr", "ms") else None
        return None

    def _road(self, match: re.Match[str], word: str, name: re.Match[str] | None, stop: str) -> Reading:
        """St. and Dr. stand before a name or behind one."""
        string = match.string
        ahead = re.match(r"\s([A-Z][\w'’]*)", string[match.end() : match.end() + 30])
        behind = _CAPITAL_BEHIND.search(string[max(0, match.start() - 40) : match.start()])
        following = ahead[1] if ahead else ""
        before = string[max(0, match.start() - 2) : match.start()]
        placed = bool(behind and behind[1] not in STARTERS and not before.startswith(","))
        title = self.titles.get(word, _ROADS[word])
        if word in ("st", "dr") and following and not (stop and placed):
            if word == "st" and (following.removesuffix("'s") in self.saints or not placed):
                return title
            if word == "dr" and not placed:
                return title
            if placed and word == "st":
                return f"{_ROADS[word]}{stop}"
            return f"{_ROADS[word]}{stop}" if self._house(match) else title
        if placed or self._house(match):
            return f"{_ROADS[word]}{stop}"
        if word == "st" and not name:
            return f"street{stop}" if placed else f"saint{stop}"
        return f"{title}{stop}" if word in ("st", "dr") else None

    @staticmethod
    def _house(match: re.Match[str]) -> bool:
        """Return whether a house number stands before."""
        return bool(
            re.search(
                r"\b[0-9]{1,5}[A-Z]?\s(?:[\w'.]+\s){1,3}$", match.string[max(0, match.start() - 50) : match.start()]
            )
        )

    def plain(self, match: re.Match[str]) -> Reading:
        """Read one of the few that are also written without a dot: "Mr Smith", "cats vs dogs"."""
        word = match["word"].lower()
        if word in self.titles and not (
            match["word"][0].isupper() and _NAME_AHEAD.match(match.string, match.end(), match.end() + 40)
        ):
            return None
        if match["word"].isupper() and len(word) > 2:
            return None
        words: dict[str, str] = self.data["plain"]
        return words[word]

    def bare(self, match: re.Match[str]) -> Reading:
        """St, Dr, Mt and ranks without a dot, before or behind a name."""
        word = match["word"].lower()
        string = match.string
        name = re.match(r"\s([A-Z][\w'’]*)", string[match.end() : match.end() + 30])
        behind = _CAPITAL_BEHIND.search(string[max(0, match.start() - 40) : match.start()])
        if name and len(name[1]) == 1:
            return None  # "Gen Z"
        if (
            name
            and name[1] not in STARTERS
            and word in self.titles
            and not (behind and word in _ROADS and name[1].removesuffix("'s") not in self.saints)
        ):
            return self.titles[word]
        if behind and word in _ROADS and behind[1] not in STARTERS:
            return _ROADS[word]
        return None

    def degree(self, match: re.Match[str]) -> Reading:
        """Spell a degree: "Ph.D." as "p h d"."""
        letters = re.sub(r"[\s.]", "", match["degree"])
        words = {"DPhil": "d phil"}.get(letters) or " ".join(letters.lower())
        return words + ("." if match[0].endswith(".") and ends_sentence(match.string, match.end()) else "")

    def slashed(self, match: re.Match[str]) -> Reading:
        words: dict[str, str] = self.data["slashed"]
        return words[match["word"].lower()] + (" " if match["word"].endswith("/") else "")


def _numbered(word: str, string: str, end: int) -> bool:
    """Return whether the number follows that an abbreviation such as "No." or "p." needs."""
    if word in ("b", "d", "fl", "c", "ca", "est"):
        return bool(_YEAR_AHEAD.match(string, end, end + 10))
    roman = (
        len(word) > 1 and word not in ("no", "max", "min", "tel", "ext") and _ROMAN_AHEAD.match(string, end, end + 10)
    )
    return bool(roman or _NUMBER_AHEAD.match(string, end, end + 4))
