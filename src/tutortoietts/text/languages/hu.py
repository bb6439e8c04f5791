"""Hungarian."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tutortoietts.text.languages import Language, Reading, Rule
from tutortoietts.text.languages.build import Noun, Speech, Spoken
from tutortoietts.text.numerals.hu import cardinal, decimal, ordinal

__all__ = ["CODES", "language"]

CODES = ("hu", "hu-HU")
_MONTHS = "január február március április május június július augusztus szeptember október november december".split()
_DAYS = (
    " elseje másodika harmadika negyedike ötödike hatodika hetedike nyolcadika kilencedike tizedike tizenegyedike "
    "tizenkettedike tizenharmadika tizennegyedike tizenötödike tizenhatodika tizenhetedike tizennyolcadika "
    "tizenkilencedike huszadika huszonegyedike huszonkettedike huszonharmadika huszonnegyedike huszonötödike "
    "huszonhatodika huszonhetedike huszonnyolcadika huszonkilencedike harmincadika harmincegyedike"
).split(" ")


def _date(day: int, month: int, year: int | None, before: str = "") -> str:
    return (f"{cardinal(year)} " if year else "") + f"{_MONTHS[month - 1]} {_DAYS[day]}"


def _clock(hour: int, minute: int) -> str:
    return f"{_before_noun(hour)} óra" + (f" {_before_noun(minute)} perc" if minute else "")


def _before_noun(n: int, gender: str = "") -> str:
    word = cardinal(n)
    return f"{word[:-5]}két" if word.endswith("kettő") else word


def _cardinal(n: int, gender: str) -> str:
    return _before_noun(n) if gender else cardinal(n)


def _ordinal_dot(before: str, after: str) -> str | None:
    return "" if after[0].islower() else None


_DATE = re.compile(
    rf"(?<![\w.,])(?:([12][0-9]{{3}})\. )?({'|'.join(_MONTHS)}) ([0-9]{{1,2}})(?:\.|(?=-))?(?![0-9])", re.IGNORECASE
)


def _written_date(match: re.Match[str]) -> Reading:
    day = int(match[3])
    if not 1 <= day <= 31:
        return None
    spoken = _date(day, _MONTHS.index(match[2].lower()) + 1, int(match[1]) if match[1] else None)
    return f"{spoken}." if match[0].endswith(".") and not match.string[match.end() :].strip() else spoken


class _Hungarian(Spoken):
    """Dates have the year first, and the day last."""

    @property
    def rules(self) -> Sequence[Rule]:
        return (Rule(_DATE, _written_date), *super().rules)


_FORINT, _EURO, _DOLLAR, _POUND = (Noun(name, gender="m") for name in ("forint", "euró", "dollár", "font"))
_CENT = Noun("cent", gender="m")
SPEECH = Speech(
    tag="hu",
    cardinal=_cardinal,
    ordinal=ordinal,
    point="egész",
    decimal=decimal,
    minus="mínusz",
    plus="plusz",
    money={"Ft": _FORINT, "HUF": _FORINT, "€": _EURO, "EUR": _EURO, "$": _DOLLAR, "USD": _DOLLAR, "£": _POUND},
    cents={"€": _CENT, "EUR": _CENT, "$": _CENT, "USD": _CENT, "£": Noun("penny", gender="m")},
    scales="millió|milliárd|ezer",
    percent="százalék",
    degrees=Noun("fok", gender="m"),
    units={
        "km/h": Noun("kilométer per óra", gender="m"),
        "km": Noun("kilométer", gender="m"),
        "cm": Noun("centiméter", gender="m"),
        "mm": Noun("milliméter", gender="m"),
        "m²": Noun("négyzetméter", gender="m"),
        "m": Noun("méter", gender="m"),
        "kg": Noun("kilogramm", gender="m"),
        "g": Noun("gramm", gender="m"),
        "ml": Noun("milliliter", gender="m"),
        "l": Noun("liter", gender="m"),
    },
    date=_date,
    clock=_clock,
    ordinal_marks=((r"-?(?:adik|edik|odik|ödik|ik)(?!\w)", ""),),
    ordinal_dot=_ordinal_dot,
    agree=lambda word: "" if word.lower() in ("és", "vagy", "meg", "a", "az", "van", "volt") else "m",
    over="per",
    fractions={(1, 2): "fél", (1, 3): "egyharmad", (2, 3): "kétharmad", (1, 4): "egynegyed", (3, 4): "háromnegyed"},
    number_sign="szám",
    shorts={
        "pl.": "például",
        "stb.": "satöbbi",
        "kb.": "körülbelül",
        "ill.": "illetve",
        "dr.": "doktor",
        "prof.": "professzor",
        "ún.": "úgynevezett",
        "u.": "utca",
        "sz.": "szám",
        "old.": "oldal",
        "i. e.": "időszámításunk előtt",
        "i. sz.": "időszámításunk szerint",
        "Kft.": "káefté",
        "Zrt.": "zéerté",
    },
    at="kukac",
    dot="pont",
    slash="per",
    symbols={
        "&": "és",
        "@": "kukac",
        "%": "százalék",
        "#": "kettőskereszt",
        "$": "dollár",
        "£": "font",
        "€": "euró",
        "+": "plusz",
        "=": "egyenlő",
        "×": "szor",
        "÷": "osztva",
        "°": "fok",
        "§": "paragrafus",
        "<": "kisebb mint",
        ">": "nagyobb mint",
    },
    abbreviations="pl stb kb ill dr prof ún u sz old i e kft zrt b nőv",
    longest=224,
)


def language(tag: str) -> Language:
    """Return Hungarian."""
    return _Hungarian(SPEECH)
