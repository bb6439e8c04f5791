"""Portuguese, with European number words."""

from __future__ import annotations

from tutortoietts.text.languages import Language
from tutortoietts.text.languages.build import Noun, Speech, Spoken
from tutortoietts.text.numerals.pt import cardinal
from tutortoietts.text.numerals.pt import ordinal as spell_ordinal

__all__ = ["CODES", "language"]

CODES = ("pt", "pt-PT", "pt-BR")
_MONTHS = "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro".split()
_NO_NOUN = frozenset("da a à na para e ou era hora é contra".split())


def _date(day: int, month: int, year: int | None, before: str = "") -> str:
    first = "primeiro" if day == 1 else cardinal(day)
    return f"{first} de {_MONTHS[month - 1]}" + (f" de {cardinal(year)}" if year else "")


def _clock(hour: int, minute: int) -> str:
    hours = f"{cardinal(hour, 'f')} {'hora' if hour < 2 else 'horas'}"
    return f"{hours} e {cardinal(minute)}" if minute else hours


def _ordinal(n: int, gender: str) -> str:
    """gender: "mp" and "fp" in the plural."""
    return spell_ordinal(n, gender[:1]) + ("s" if gender.endswith("p") else "")


def _agree(word: str) -> str:
    word = word.lower()
    return "f" if word.endswith(("a", "as", "ção", "ções", "dade", "dades")) and word not in _NO_NOUN else "m"


SPEECH = Speech(
    tag="pt",
    cardinal=cardinal,
    ordinal=_ordinal,
    counting="m",
    point="vírgula",
    minus="menos",
    plus="mais",
    money={
        "€": Noun("euro", many="euros", gender="m"),
        "R$": Noun("real", many="reais", gender="m"),
        "US$": Noun("dólar", many="dólares", gender="m"),
        "$": Noun("dólar", many="dólares", gender="m"),
        "£": Noun("libra", many="libras", gender="f"),
        "¥": Noun("iene", many="ienes", gender="m"),
        "EUR": Noun("euro", many="euros", gender="m"),
        "USD": Noun("dólar", many="dólares", gender="m"),
    },
    cents={
        "€": Noun("cêntimo", many="cêntimos", gender="m"),
        "EUR": Noun("cêntimo", many="cêntimos", gender="m"),
        "R$": Noun("centavo", many="centavos", gender="m"),
        "$": Noun("cêntimo", many="cêntimos", gender="m"),
        "US$": Noun("cêntimo", many="cêntimos", gender="m"),
        "USD": Noun("cêntimo", many="cêntimos", gender="m"),
        "£": Noun("pence", gender="m"),
    },
    cents_joint=" e ",
    scales="milhões de|milhão de|milhões|milhão|mil milhões|bilhões|bilhão",
    percent="por cento",
    degrees=Noun("grau", many="graus", gender="m"),
    units={
        "km/h": Noun("quilómetro por hora", many="quilómetros por hora", gender="m"),
        "km": Noun("quilómetro", many="quilómetros", gender="m"),
        "cm": Noun("centímetro", many="centímetros", gender="m"),
        "mm": Noun("milímetro", many="milímetros", gender="m"),
        "m²": Noun("metro quadrado", many="metros quadrados", gender="m"),
        "m": Noun("metro", many="metros", gender="m"),
        "kg": Noun("quilo", many="quilos", gender="m"),
        "g": Noun("grama", many="gramas", gender="m"),
        "ml": Noun("mililitro", many="mililitros", gender="m"),
        "l": Noun("litro", many="litros", gender="m"),
    },
    months=tuple(_MONTHS),
    of="de",
    date=_date,
    clock=_clock,
    clock_marks=":h",
    clock_word="h|horas",
    hours=Noun("hora", many="horas", gender="f"),
    ordinal_marks=(
        (r"(?:\.?º|o)(?!\w)", "m"),
        (r"(?:\.?ª|a)(?!\w)", "f"),
        (r"os(?!\w)", "mp"),
        (r"as(?!\w)", "fp"),
    ),
    agree=_agree,
    over="sobre",
    fractions={
        (1, 2): "um meio",
        (1, 3): "um terço",
        (2, 3): "dois terços",
        (1, 4): "um quarto",
        (3, 4): "três quartos",
    },
    number_sign="número",
    shorts={
        "Sr.": "senhor",
        "Sra.": "senhora",
        "Srta.": "senhorita",
        "Dr.": "doutor",
        "Dra.": "doutora",
        "Prof.": "professor",
        "Profa.": "professora",
        "Eng.": "engenheiro",
        "etc.": "et cetera",
        "p. ex.": "por exemplo",
        "n.º": "número",
        "nº": "número",
        "pág.": "página",
        "Av.": "avenida",
        "D.": "dona",
    },
    at="arroba",
    dot="ponto",
    slash="barra",
    symbols={
        "&": "e",
        "@": "arroba",
        "%": "por cento",
        "#": "cardinal",
        "$": "dólares",
        "£": "libras",
        "€": "euros",
        "+": "mais",
        "=": "igual a",
        "×": "vezes",
        "÷": "a dividir por",
        "°": "graus",
        "<": "menor que",
        ">": "maior que",
    },
    abbreviations="sr sra srta dr dra prof profa eng etc pág av d st jr co ltd",
    marks="ºª",
    longest=203,
)


def language(tag: str) -> Language:
    """Return Portuguese."""
    return Spoken(SPEECH)
