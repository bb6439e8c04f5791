"""Czech."""

from __future__ import annotations

from tutortoietts.text.languages import Language
from tutortoietts.text.languages.build import Noun, Speech, Spoken
from tutortoietts.text.numerals.cs import cardinal, ordinal, plural

__all__ = ["CODES", "language"]

CODES = ("cs", "cs-CZ")
_MONTHS = "ledna února března dubna května června července srpna září října listopadu prosince".split()


def _date(day: int, month: int, year: int | None, before: str = "") -> str:
    return f"{ordinal(day, 'gen')} {_MONTHS[month - 1]}" + (f" {cardinal(year)}" if year else "")


def _hours(n: int) -> str:
    return f"{cardinal(n, 'f')} {plural(n, 'hodina', 'hodiny', 'hodin')}"


def _clock(hour: int, minute: int) -> str:
    return f"{_hours(hour)} {cardinal(minute)}" if minute else _hours(hour)


def _agree(word: str) -> str:
    return "f" if word.lower().endswith("a") else "n" if word.lower().endswith("o") else "m"


def _ordinal_dot(before: str, after: str) -> str | None:
    if not after[0].islower():
        return None
    return "f" if after.endswith("a") else "n" if after.endswith(("o", "í")) else "m"


_CROWN = Noun("koruna", "koruny", "korun", "f")
_DOLLAR = Noun("dolar", "dolary", "dolarů", "m")
_EURO = Noun("euro", "eura", "eur", "n")
_CENT = Noun("cent", "centy", "centů", "m")
SPEECH = Speech(
    tag="cs",
    cardinal=cardinal,
    ordinal=ordinal,
    point="celá",
    decimals_as_number=True,
    minus="minus",
    plus="plus",
    plural=lambda n, noun: plural(n, noun.one, noun.few or noun.one, noun.many or noun.one),
    money={
        "Kč": _CROWN,
        "CZK": _CROWN,
        "€": _EURO,
        "EUR": _EURO,
        "$": _DOLLAR,
        "USD": _DOLLAR,
        "£": Noun("libra", "libry", "liber", "f"),
    },
    cents={
        "Kč": Noun("haléř", "haléře", "haléřů", "m"),
        "€": _CENT,
        "EUR": _CENT,
        "$": _CENT,
        "USD": _CENT,
        "£": Noun("pence", gender="f"),
    },
    scales="milionů|miliony|milion|miliard|miliardy|miliarda|tisíc|tisíce",
    percent="procent",
    degrees=Noun("stupeň", "stupně", "stupňů", "m"),
    celsius="Celsia",
    fahrenheit="Fahrenheita",
    units={
        "km/h": Noun("kilometr za hodinu", "kilometry za hodinu", "kilometrů za hodinu", "m"),
        "km": Noun("kilometr", "kilometry", "kilometrů", "m"),
        "cm": Noun("centimetr", "centimetry", "centimetrů", "m"),
        "mm": Noun("milimetr", "milimetry", "milimetrů", "m"),
        "m²": Noun("metr čtvereční", "metry čtvereční", "metrů čtverečních", "m"),
        "m": Noun("metr", "metry", "metrů", "m"),
        "kg": Noun("kilogram", "kilogramy", "kilogramů", "m"),
        "g": Noun("gram", "gramy", "gramů", "m"),
        "ml": Noun("mililitr", "mililitry", "mililitrů", "m"),
        "l": Noun("litr", "litry", "litrů", "m"),
    },
    months=tuple(_MONTHS),
    day_dot=True,
    date=_date,
    clock=_clock,
    clock_word="hodin|hod\\.|h",
    ordinal_dot=_ordinal_dot,
    agree=_agree,
    over="lomeno",
    fractions={
        (1, 2): "jedna polovina",
        (1, 3): "jedna třetina",
        (2, 3): "dvě třetiny",
        (1, 4): "jedna čtvrtina",
        (3, 4): "tři čtvrtiny",
    },
    number_sign="číslo",
    shorts={
        "např.": "například",
        "atd.": "a tak dále",
        "apod.": "a podobně",
        "tzn.": "to znamená",
        "tj.": "to je",
        "dr.": "doktor",
        "ing.": "inženýr",
        "prof.": "profesor",
        "sv.": "svatý",
        "č.": "číslo",
        "str.": "strana",
        "ul.": "ulice",
        "cca": "cirka",
        "tzv.": "takzvaný",
        "př. n. l.": "před naším letopočtem",
        "n. l.": "našeho letopočtu",
        "p.": "pan",
        "pí": "paní",
    },
    at="zavináč",
    dot="tečka",
    slash="lomítko",
    symbols={
        "&": "a",
        "@": "na",
        "%": "procent",
        "#": "křížek",
        "$": "dolarů",
        "£": "liber",
        "€": "eur",
        "+": "plus",
        "=": "rovná se",
        "×": "krát",
        "÷": "děleno",
        "°": "stupňů",
        "§": "paragraf",
        "<": "menší než",
        ">": "větší než",
    },
    abbreviations="např atd apod tzn tj dr ing prof sv č str ul tzv př n l p mgr",
    longest=186,
)


def language(tag: str) -> Language:
    """Return Czech."""
    return Spoken(SPEECH)
