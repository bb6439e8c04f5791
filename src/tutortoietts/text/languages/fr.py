"""French."""

from __future__ import annotations

from tutortoietts.text.languages import Language
from tutortoietts.text.languages.build import Noun, Speech, Spoken
from tutortoietts.text.numerals.fr import cardinal, ordinal

__all__ = ["CODES", "language"]

CODES = ("fr", "fr-FR", "fr-CA")
_MONTHS = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split()


def _plural(n: int, noun: Noun) -> str:
    return noun.one if n < 2 else noun.many or noun.one


def _date(day: int, month: int, year: int | None, before: str = "") -> str:
    first = "premier" if day == 1 else cardinal(day)
    return f"{first} {_MONTHS[month - 1]}" + (f" {cardinal(year)}" if year else "")


def _clock(hour: int, minute: int) -> str:
    hours = "heure" if hour < 2 else "heures"
    return f"{cardinal(hour, 'f')} {hours}" + (f" {cardinal(minute)}" if minute else "")


SPEECH = Speech(
    tag="fr",
    cardinal=cardinal,
    ordinal=ordinal,
    point="virgule",
    minus="moins",
    plus="plus",
    plural=_plural,
    money={
        "€": Noun("euro", many="euros"),
        "$": Noun("dollar", many="dollars"),
        "£": Noun("livre", many="livres", gender="f"),
        "¥": Noun("yen", many="yens"),
        "EUR": Noun("euro", many="euros"),
        "USD": Noun("dollar", many="dollars"),
        "CHF": Noun("franc suisse", many="francs suisses"),
    },
    cents={
        "€": Noun("centime", many="centimes"),
        "EUR": Noun("centime", many="centimes"),
        "CHF": Noun("centime", many="centimes"),
        "$": Noun("cent", many="cents"),
        "USD": Noun("cent", many="cents"),
        "£": Noun("penny", many="pence"),
    },
    cents_joint=" et ",
    scales="millions d'|millions|million|milliards|milliard|mille",
    percent="pour cent",
    degrees=Noun("degré", many="degrés"),
    units={
        "km/h": Noun("kilomètre heure", many="kilomètres heure"),
        "km": Noun("kilomètre", many="kilomètres"),
        "cm": Noun("centimètre", many="centimètres"),
        "mm": Noun("millimètre", many="millimètres"),
        "m²": Noun("mètre carré", many="mètres carrés"),
        "m": Noun("mètre", many="mètres"),
        "kg": Noun("kilo", many="kilos"),
        "g": Noun("gramme", many="grammes"),
        "ml": Noun("millilitre", many="millilitres"),
        "l": Noun("litre", many="litres"),
    },
    months=tuple(_MONTHS),
    date=_date,
    clock=_clock,
    clock_marks=":h",
    clock_word="h|heures",
    hours=Noun("heure", many="heures", gender="f"),
    ordinal_marks=(
        (r"(?:er|º)(?!\w)", "m"),
        (r"(?:re|ère|ª)(?!\w)", "f"),
        (r"(?:e|es|è|ème|èmes|eme|ième|ièmes|nd|nde)(?!\w)", "m"),
    ),
    over="sur",
    fractions={(1, 2): "un demi", (1, 3): "un tiers", (2, 3): "deux tiers", (1, 4): "un quart", (3, 4): "trois quarts"},
    number_sign="numéro",
    shorts={
        "M.": "monsieur",
        "Mr.": "monsieur",
        "Mme.": "madame",
        "Mme": "madame",
        "Mlle": "mademoiselle",
        "MM.": "messieurs",
        "Dr.": "docteur",
        "Dr": "docteur",
        "etc.": "et cetera",
        "p. ex.": "par exemple",
        "c.-à-d.": "c'est-à-dire",
        "n°": "numéro",
        "N°": "numéro",
        "St.": "saint",
        "Ste.": "sainte",
        "av. J.-C.": "avant Jésus-Christ",
        "apr. J.-C.": "après Jésus-Christ",
    },
    at="arobase",
    dot="point",
    slash="barre oblique",
    symbols={
        "&": "et",
        "@": "arobase",
        "%": "pour cent",
        "#": "dièse",
        "$": "dollars",
        "£": "livres",
        "€": "euros",
        "+": "plus",
        "=": "égale",
        "×": "fois",
        "÷": "divisé par",
        "°": "degrés",
        "<": "inférieur à",
        ">": "supérieur à",
    },
    abbreviations="m mr mme mlle mm dr etc st ste av apr cf jr co ltd",
    marks="ºª",
    longest=273,
)


def language(tag: str) -> Language:
    """Return French."""
    return Spoken(SPEECH)
