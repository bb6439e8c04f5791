"""Dutch."""

from __future__ import annotations

from tutortoietts.text.languages import Language
from tutortoietts.text.languages.build import Noun, Speech, Spoken
from tutortoietts.text.numerals.nl import cardinal, ordinal, year

__all__ = ["CODES", "language"]

CODES = ("nl", "nl-NL", "nl-BE")
_MONTHS = "januari februari maart april mei juni juli augustus september oktober november december".split()


def _date(day: int, month: int, year_: int | None, before: str = "") -> str:
    return f"{cardinal(day)} {_MONTHS[month - 1]}" + (f" {year(year_)}" if year_ else "")


def _clock(hour: int, minute: int) -> str:
    return f"{cardinal(hour)} uur" + (f" {cardinal(minute)}" if minute else "")


SPEECH = Speech(
    tag="nl",
    cardinal=cardinal,
    ordinal=ordinal,
    point="komma",
    minus="min",
    plus="plus",
    money={
        "€": Noun("euro"),
        "$": Noun("dollar"),
        "£": Noun("pond"),
        "¥": Noun("yen"),
        "EUR": Noun("euro"),
        "USD": Noun("dollar"),
    },
    cents={
        "€": Noun("cent"),
        "EUR": Noun("cent"),
        "$": Noun("cent"),
        "USD": Noun("cent"),
        "£": Noun("penny", many="pence"),
    },
    cents_joint=" en ",
    scales="miljoen|miljard",
    percent="procent",
    degrees=Noun("graad", many="graden"),
    units={
        "km/h": Noun("kilometer per uur"),
        "km/u": Noun("kilometer per uur"),
        "km": Noun("kilometer"),
        "cm": Noun("centimeter"),
        "mm": Noun("millimeter"),
        "m²": Noun("vierkante meter"),
        "m": Noun("meter"),
        "kg": Noun("kilo"),
        "g": Noun("gram"),
        "ml": Noun("milliliter"),
        "l": Noun("liter"),
    },
    months=tuple(_MONTHS),
    date=_date,
    clock=_clock,
    clock_marks=":.",
    clock_word="uur|u",
    year=year,
    year_words="jaar|in|sinds|vanaf|van|tot|rond|voor|na|en|zomer|winter|" + "|".join(_MONTHS),
    ordinal_marks=((r"(?:ste|de|e)(?!\w)", ""),),
    over="gedeeld door",
    fractions={
        (1, 2): "een half",
        (1, 3): "een derde",
        (2, 3): "twee derde",
        (1, 4): "een kwart",
        (3, 4): "drie kwart",
    },
    number_sign="nummer",
    shorts={
        "dhr.": "de heer",
        "mevr.": "mevrouw",
        "mw.": "mevrouw",
        "dr.": "dokter",
        "prof.": "professor",
        "ir.": "ingenieur",
        "jhr.": "jonkheer",
        "bijv.": "bijvoorbeeld",
        "bv.": "bijvoorbeeld",
        "enz.": "enzovoort",
        "d.w.z.": "dat wil zeggen",
        "o.a.": "onder andere",
        "i.p.v.": "in plaats van",
        "a.u.b.": "alstublieft",
        "nr.": "nummer",
        "blz.": "bladzijde",
        "etc.": "et cetera",
        "t/m": "tot en met",
    },
    at="apenstaartje",
    dot="punt",
    slash="schuine streep",
    symbols={
        "&": "en",
        "@": "bij",
        "%": "procent",
        "#": "hekje",
        "$": "dollar",
        "£": "pond",
        "€": "euro",
        "+": "plus",
        "=": "is gelijk aan",
        "×": "keer",
        "÷": "gedeeld door",
        "°": "graden",
        "<": "kleiner dan",
        ">": "groter dan",
    },
    abbreviations="dhr mevr mw dr prof ir jhr bijv bv enz d w z o a i p v u b nr blz etc",
    longest=251,
)


def language(tag: str) -> Language:
    """Return Dutch."""
    return Spoken(SPEECH)
