"""Italian."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from tutortoietts.text.languages import Language, Rule
from tutortoietts.text.languages.build import Noun, Speech, Spoken
from tutortoietts.text.numerals.it import cardinal, ordinal

__all__ = ["CODES", "language"]

CODES = ("it", "it-IT")
_MONTHS = "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre".split()


def _date(day: int, month: int, year: int | None, before: str = "") -> str:
    first = "primo" if day == 1 else cardinal(day)
    return f"{first} {_MONTHS[month - 1]}" + (f" {cardinal(year)}" if year else "")


def _clock(hour: int, minute: int) -> str:
    return cardinal(hour) + (f" e {cardinal(minute)}" if minute else " in punto")


def _agree(word: str) -> str:
    return "f" if word.lower().endswith("a") else "m" if word.lower().endswith(("o", "e")) and len(word) > 3 else ""


_ORDINAL = re.compile(
    r"(?<![\w.,])([0-9]{1,3})°(?= [a-zàèéìòù]{3,}(?!\w))(?! (?:nel|nella|con|per|del|della|alle|sotto|sopra)\b)"
)


class _Italian(Spoken):
    """ "1° piano" is an ordinal, "20° a Roma" a temperature."""

    @cached_property
    def rules(self) -> Sequence[Rule]:
        return (Rule(_ORDINAL, lambda match: ordinal(int(match[1]))), *super().rules)


SPEECH = Speech(
    tag="it",
    cardinal=cardinal,
    ordinal=ordinal,
    point="virgola",
    minus="meno",
    plus="più",
    money={
        "€": Noun("euro", gender="m"),
        "$": Noun("dollaro", many="dollari", gender="m"),
        "£": Noun("sterlina", many="sterline", gender="f"),
        "¥": Noun("yen", gender="m"),
        "EUR": Noun("euro", gender="m"),
        "USD": Noun("dollaro", many="dollari", gender="m"),
    },
    cents={
        "€": Noun("centesimo", many="centesimi", gender="m"),
        "EUR": Noun("centesimo", many="centesimi", gender="m"),
        "$": Noun("centesimo", many="centesimi", gender="m"),
        "USD": Noun("centesimo", many="centesimi", gender="m"),
        "£": Noun("penny", gender="m"),
    },
    cents_joint=" e ",
    scales="milioni di|milione di|miliardi di|milioni|milione|miliardi|miliardo",
    percent="per cento",
    degrees=Noun("grado", many="gradi", gender="m"),
    units={
        "km/h": Noun("chilometro orario", many="chilometri orari", gender="m"),
        "km": Noun("chilometro", many="chilometri", gender="m"),
        "cm": Noun("centimetro", many="centimetri", gender="m"),
        "mm": Noun("millimetro", many="millimetri", gender="m"),
        "m²": Noun("metro quadrato", many="metri quadrati", gender="m"),
        "m": Noun("metro", many="metri", gender="m"),
        "kg": Noun("chilo", many="chili", gender="m"),
        "g": Noun("grammo", many="grammi", gender="m"),
        "ml": Noun("millilitro", many="millilitri", gender="m"),
        "l": Noun("litro", many="litri", gender="m"),
    },
    months=tuple(_MONTHS),
    of="di|del",
    date=_date,
    clock=_clock,
    clock_marks=":",
    ordinal_marks=(
        (r"º(?!\w)", "m"),
        (r"(?:ª|a)(?!\w)", "f"),
        (r"o(?!\w)", "m"),
    ),
    agree=_agree,
    over="su",
    fractions={(1, 2): "un mezzo", (1, 3): "un terzo", (2, 3): "due terzi", (1, 4): "un quarto", (3, 4): "tre quarti"},
    number_sign="numero",
    shorts={
        "Sig.ra": "signora",
        "Sig.na": "signorina",
        "Sig.": "signor",
        "Sigg.": "signori",
        "Dott.ssa": "dottoressa",
        "Dott.": "dottor",
        "Dr.": "dottor",
        "Prof.ssa": "professoressa",
        "Prof.": "professor",
        "Ing.": "ingegner",
        "Avv.": "avvocato",
        "ecc.": "eccetera",
        "p. es.": "per esempio",
        "n.": "numero",
        "pag.": "pagina",
        "a.C.": "avanti Cristo",
        "d.C.": "dopo Cristo",
    },
    at="chiocciola",
    dot="punto",
    slash="barra",
    symbols={
        "&": "e",
        "@": "chiocciola",
        "%": "per cento",
        "#": "cancelletto",
        "$": "dollari",
        "£": "sterline",
        "€": "euro",
        "+": "più",
        "=": "uguale",
        "×": "per",
        "÷": "diviso",
        "°": "gradi",
        "<": "minore di",
        ">": "maggiore di",
    },
    abbreviations="sig sigg dott dr prof ing avv ecc n pag c st jr co ltd",
    marks="ºª",
    longest=213,
)


def language(tag: str) -> Language:
    """Return Italian."""
    return _Italian(SPEECH)
