"""Turkish."""

from __future__ import annotations

from tutortoietts.text.languages import Language
from tutortoietts.text.languages.build import Noun, Speech, Spoken
from tutortoietts.text.numerals.tr import cardinal, ordinal

__all__ = ["CODES", "language"]

CODES = ("tr", "tr-TR")
_MONTHS = "ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık".split()


def _date(day: int, month: int, year: int | None, before: str = "") -> str:
    return f"{cardinal(day)} {_MONTHS[month - 1]}" + (f" {cardinal(year)}" if year else "")


def _clock(hour: int, minute: int) -> str:
    return f"{cardinal(hour)} {cardinal(minute)}" if minute else cardinal(hour)


def _ordinal_dot(before: str, after: str) -> str | None:
    return "" if after[0].islower() else None


SPEECH = Speech(
    tag="tr",
    cardinal=cardinal,
    ordinal=ordinal,
    point="virgül",
    minus="eksi",
    plus="artı",
    money={
        "₺": Noun("lira"),
        "TL": Noun("lira"),
        "TRY": Noun("lira"),
        "€": Noun("avro"),
        "EUR": Noun("avro"),
        "$": Noun("dolar"),
        "USD": Noun("dolar"),
        "£": Noun("sterlin"),
    },
    cents={
        "₺": Noun("kuruş"),
        "TL": Noun("kuruş"),
        "TRY": Noun("kuruş"),
        "€": Noun("sent"),
        "EUR": Noun("sent"),
        "$": Noun("sent"),
        "USD": Noun("sent"),
        "£": Noun("peni"),
    },
    scales="milyon|milyar|bin",
    percent="yüzde",
    percent_first=True,
    degrees=Noun("derece"),
    celsius="Celsius",
    units={
        "km/sa": Noun("saatte kilometre"),
        "km": Noun("kilometre"),
        "cm": Noun("santimetre"),
        "mm": Noun("milimetre"),
        "m²": Noun("metrekare"),
        "m": Noun("metre"),
        "kg": Noun("kilogram"),
        "g": Noun("gram"),
        "ml": Noun("mililitre"),
        "l": Noun("litre"),
    },
    months=tuple(_MONTHS),
    date=_date,
    clock=_clock,
    ordinal_marks=((r"'?(?:inci|ıncı|uncu|üncü|nci|ncı|ncu|ncü)(?!\w)", ""),),
    ordinal_dot=_ordinal_dot,
    over="bölü",
    fractions={(1, 2): "yarım", (1, 4): "çeyrek", (3, 4): "dörtte üç", (1, 3): "üçte bir", (2, 3): "üçte iki"},
    number_sign="numara",
    shorts={
        "vb.": "ve benzeri",
        "vs.": "vesaire",
        "örn.": "örneğin",
        "Dr.": "doktor",
        "Prof.": "profesör",
        "Av.": "avukat",
        "Sn.": "sayın",
        "No.": "numara",
        "Cad.": "cadde",
        "Sok.": "sokak",
        "yy.": "yüzyıl",
        "M.Ö.": "milattan önce",
        "M.S.": "milattan sonra",
    },
    at="et",
    dot="nokta",
    slash="bölü",
    symbols={
        "&": "ve",
        "@": "et",
        "%": "yüzde",
        "#": "diyez",
        "$": "dolar",
        "£": "sterlin",
        "€": "avro",
        "₺": "lira",
        "+": "artı",
        "=": "eşittir",
        "×": "çarpı",
        "÷": "bölü",
        "°": "derece",
        "<": "küçüktür",
        ">": "büyüktür",
    },
    abbreviations="vb vs örn dr prof av sn no cad sok yy m ö s b byk",
    longest=226,
)


def language(tag: str) -> Language:
    """Return Turkish."""
    return Spoken(SPEECH)
