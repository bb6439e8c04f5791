"""Spanish."""

from __future__ import annotations

from tutortoietts.text.languages import Language
from tutortoietts.text.languages.build import Noun, Speech, Spoken
from tutortoietts.text.numerals.es import cardinal
from tutortoietts.text.numerals.es import ordinal as spell_ordinal

__all__ = ["CODES", "language"]

CODES = ("es", "es-ES", "es-MX")
_MONTHS = "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split()
_NO_NOUN = frozenset(
    "de del y e o u a al en por con sin para que es son más menos veces como la el los las lo un una se no si sobre "
    "entre hasta desde contra según durante ante bajo tras millones millón mil punto coma".split()
)
_MASCULINE = frozenset("día días mapa mapas problema problemas tema temas sistema sistemas programa programas".split())


def _date(day: int, month: int, year: int | None, before: str = "") -> str:
    first = "primero" if day == 1 else cardinal(day)
    return f"{first} de {_MONTHS[month - 1]}" + (f" de {cardinal(year)}" if year else "")


def _clock(hour: int, minute: int) -> str:
    return cardinal(hour, "f") + (f" y {cardinal(minute)}" if minute else " en punto")


def _ordinal(n: int, gender: str) -> str:
    """gender: "mp" and "fp" in the plural."""
    return spell_ordinal(n, gender[:1]) + ("s" if gender.endswith("p") else "")


def _agree(word: str) -> str:
    word = word.lower()
    if word in _NO_NOUN:
        return ""
    feminine = word.endswith(("a", "as", "ción", "ciones", "dad", "dades")) and word not in _MASCULINE
    return "f" if feminine else "m"


SPEECH = Speech(
    tag="es",
    cardinal=cardinal,
    ordinal=_ordinal,
    point="punto",
    minus="menos",
    plus="más",
    money={
        "€": Noun("euro", many="euros", gender="m"),
        "$": Noun("dólar", many="dólares", gender="m"),
        "US$": Noun("dólar", many="dólares", gender="m"),
        "£": Noun("libra", many="libras", gender="f"),
        "¥": Noun("yen", many="yenes", gender="m"),
        "EUR": Noun("euro", many="euros", gender="m"),
        "USD": Noun("dólar", many="dólares", gender="m"),
    },
    cents={
        "€": Noun("céntimo", many="céntimos", gender="m"),
        "EUR": Noun("céntimo", many="céntimos", gender="m"),
        "$": Noun("centavo", many="centavos", gender="m"),
        "US$": Noun("centavo", many="centavos", gender="m"),
        "USD": Noun("centavo", many="centavos", gender="m"),
        "£": Noun("penique", many="peniques", gender="m"),
    },
    cents_joint=" con ",
    scales="millones de|millón de|millones|millón|mil millones",
    percent="por ciento",
    degrees=Noun("grado", many="grados", gender="m"),
    units={
        "km/h": Noun("kilómetro por hora", many="kilómetros por hora", gender="m"),
        "km": Noun("kilómetro", many="kilómetros", gender="m"),
        "cm": Noun("centímetro", many="centímetros", gender="m"),
        "mm": Noun("milímetro", many="milímetros", gender="m"),
        "m²": Noun("metro cuadrado", many="metros cuadrados", gender="m"),
        "m": Noun("metro", many="metros", gender="m"),
        "kg": Noun("kilo", many="kilos", gender="m"),
        "g": Noun("gramo", many="gramos", gender="m"),
        "ml": Noun("mililitro", many="mililitros", gender="m"),
        "l": Noun("litro", many="litros", gender="m"),
    },
    months=tuple(_MONTHS),
    of="de|del",
    date=_date,
    clock=_clock,
    clock_marks=":h",
    clock_word="h|horas",
    hours=Noun("hora", many="horas", gender="f"),
    ordinal_marks=(
        (r"(?:\.?º|o|\.o)(?!\w)", "m"),
        (r"\.?er(?!\w)", ""),
        (r"(?:\.?ª|a|\.a)(?!\w)", "f"),
        (r"os(?!\w)", "mp"),
        (r"as(?!\w)", "fp"),
    ),
    agree=_agree,
    over="sobre",
    fractions={
        (1, 2): "un medio",
        (1, 3): "un tercio",
        (2, 3): "dos tercios",
        (1, 4): "un cuarto",
        (3, 4): "tres cuartos",
    },
    number_sign="número",
    shorts={
        "Sr.": "señor",
        "Sra.": "señora",
        "Srta.": "señorita",
        "Dr.": "doctor",
        "Dra.": "doctora",
        "D.": "don",
        "Dña.": "doña",
        "Ud.": "usted",
        "Uds.": "ustedes",
        "etc.": "etcétera",
        "p. ej.": "por ejemplo",
        "EE. UU.": "Estados Unidos",
        "EE.UU.": "Estados Unidos",
        "núm.": "número",
        "pág.": "página",
        "Avda.": "avenida",
        "a. m.": "de la mañana",
        "p. m.": "de la tarde",
        "a.m.": "de la mañana",
        "p.m.": "de la tarde",
        "n.º": "número",
        "N.º": "número",
    },
    at="arroba",
    dot="punto",
    slash="barra",
    symbols={
        "&": "y",
        "@": "arroba",
        "%": "por ciento",
        "#": "almohadilla",
        "$": "dólares",
        "£": "libras",
        "€": "euros",
        "+": "más",
        "=": "igual a",
        "×": "por",
        "÷": "entre",
        "°": "grados",
        "<": "menor que",
        ">": "mayor que",
    },
    abbreviations="sr sra srta dr dra d dña ud uds etc pág núm avda st jr ltd co",
    marks="¿¡ºª",
    longest=239,
)


def language(tag: str) -> Language:
    """Return Spanish."""
    return Spoken(SPEECH)
