"""German."""

from __future__ import annotations

from tutortoietts.text.languages import Language
from tutortoietts.text.languages.build import Noun, Speech, Spoken
from tutortoietts.text.numerals.de import cardinal, ordinal, year

__all__ = ["CODES", "language"]

CODES = ("de", "de-DE", "de-AT", "de-CH")
_MONTHS = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember Jänner".split()
_LISTED = (*_MONTHS[:12],)
_FEMININE = ("e", "ung", "heit", "keit", "schaft", "ion")
_WEAK = frozenset("am dem den des zum vom im beim zur seinem ihrem diesem jedem".split())
_STRONG = frozenset("der die das ein eine einen jede jeder jedes diese dieser dieses".split())


def _date(day: int, month: int, year_: int | None, before: str = "") -> str:
    ending = "en" if before in _WEAK else "e" if before in _STRONG else "er"
    return f"{ordinal(day, ending)} {_LISTED[month - 1]}" + (f" {year(year_)}" if year_ else "")


def _clock(hour: int, minute: int) -> str:
    hours = f"{cardinal(hour, 'm')} Uhr"
    return f"{hours} {cardinal(minute)}" if minute else hours


def _ordinal_dot(before: str, after: str) -> str | None:
    """An ordinal where a small letter follows, or a noun behind an article or preposition."""
    before = before.lower()
    if before in _WEAK:
        return "en"
    if before == "ein" and after[0].isupper():
        return "er"
    return "e" if before in _STRONG or after[0].islower() else None


def _agree(word: str) -> str:
    if not word[:1].isupper():
        return ""
    return "f" if word.endswith(_FEMININE) else "m"


SPEECH = Speech(
    tag="de",
    cardinal=cardinal,
    ordinal=lambda n, ending: ordinal(n, ending or "e"),
    point="Komma",
    minus="minus",
    plus="plus",
    money={
        "€": Noun("Euro", gender="m"),
        "$": Noun("Dollar", gender="m"),
        "£": Noun("Pfund", gender="m"),
        "¥": Noun("Yen", gender="m"),
        "EUR": Noun("Euro", gender="m"),
        "USD": Noun("Dollar", gender="m"),
        "CHF": Noun("Franken", gender="m"),
    },
    cents={
        "€": Noun("Cent", gender="m"),
        "EUR": Noun("Cent", gender="m"),
        "$": Noun("Cent", gender="m"),
        "USD": Noun("Cent", gender="m"),
        "£": Noun("Penny", many="Pence", gender="m"),
        "CHF": Noun("Rappen", gender="m"),
    },
    cents_joint=" und ",
    scales="Millionen|Million|Milliarden|Milliarde|Mio\\.|Mrd\\.|Tausend",
    percent="Prozent",
    degrees=Noun("Grad", gender="m"),
    units={
        "km/h": Noun("Kilometer pro Stunde", gender="m"),
        "km": Noun("Kilometer", gender="m"),
        "cm": Noun("Zentimeter", gender="m"),
        "mm": Noun("Millimeter", gender="m"),
        "m²": Noun("Quadratmeter", gender="m"),
        "m": Noun("Meter", gender="m"),
        "kg": Noun("Kilogramm", gender="m"),
        "g": Noun("Gramm", gender="m"),
        "ml": Noun("Milliliter", gender="m"),
        "l": Noun("Liter", gender="m"),
        "Std.": Noun("Stunde", many="Stunden", gender="f"),
        "Min.": Noun("Minute", many="Minuten", gender="f"),
    },
    months=tuple(_MONTHS),
    day_dot=True,
    date=_date,
    clock=_clock,
    clock_marks=":.",
    clock_word="Uhr",
    year=year,
    year_words="Jahr|Jahre|Jahres|im|in|seit|ab|von|bis|um|vor|nach|und|anno|zwischen|Sommer|Winter|Frühjahr|Herbst|"
    "Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember",
    ordinal_marks=(
        (r"(?:st|nd|rd|th|º|ª|te)(?!\w)", "e"),
        (r"(?:ten)(?!\w)", "en"),
        (r"(?:ter)(?!\w)", "er"),
    ),
    ordinal_dot=_ordinal_dot,
    agree=_agree,
    over="geteilt durch",
    fractions={
        (1, 2): "ein halb",
        (1, 3): "ein Drittel",
        (2, 3): "zwei Drittel",
        (1, 4): "ein Viertel",
        (3, 4): "drei Viertel",
    },
    number_sign="Nummer",
    shorts={
        "z. B.": "zum Beispiel",
        "d. h.": "das heißt",
        "u. a.": "unter anderem",
        "usw.": "und so weiter",
        "bzw.": "beziehungsweise",
        "ca.": "circa",
        "Dr.": "Doktor",
        "Prof.": "Professor",
        "Hr.": "Herr",
        "Fr.": "Frau",
        "St.": "Sankt",
        "Nr.": "Nummer",
        "Str.": "Straße",
        "evtl.": "eventuell",
        "ggf.": "gegebenenfalls",
        "inkl.": "inklusive",
        "zzgl.": "zuzüglich",
        "vgl.": "vergleiche",
        "etc.": "et cetera",
        "o. ä.": "oder ähnliches",
        "u. s. w.": "und so weiter",
        "Mio.": "Millionen",
        "Mrd.": "Milliarden",
        "v. Chr.": "vor Christus",
        "n. Chr.": "nach Christus",
        "Abb.": "Abbildung",
    },
    at="at",
    dot="Punkt",
    slash="Schrägstrich",
    symbols={
        "&": "und",
        "@": "at",
        "%": "Prozent",
        "#": "Raute",
        "$": "Dollar",
        "£": "Pfund",
        "€": "Euro",
        "+": "plus",
        "=": "gleich",
        "×": "mal",
        "÷": "geteilt durch",
        "°": "Grad",
        "§": "Paragraph",
        "<": "kleiner als",
        ">": "größer als",
    },
    abbreviations="dr prof hr fr st nr str ca bzw z b d h u a usw evtl ggf inkl zzgl vgl etc mio mrd chr abb jr co",
    marks="ºª",
    longest=253,
)


def language(tag: str) -> Language:
    """Return German."""
    return Spoken(SPEECH)
