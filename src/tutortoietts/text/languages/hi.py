"""Hindi."""

from __future__ import annotations

from tutortoietts.text.languages import Language
from tutortoietts.text.languages.build import Noun, Speech, Spoken
from tutortoietts.text.numerals.hi import cardinal, ordinal

__all__ = ["CODES", "language"]

CODES = ("hi", "hi-IN")
_MONTHS = "जनवरी फ़रवरी मार्च अप्रैल मई जून जुलाई अगस्त सितंबर अक्टूबर नवंबर दिसंबर फरवरी".split()


def _year(year: int) -> str:
    if 1100 <= year <= 1999:
        hundreds, rest = divmod(year, 100)
        return f"{cardinal(hundreds)} सौ" + (f" {cardinal(rest)}" if rest else "")
    return cardinal(year)


def _date(day: int, month: int, year: int | None, before: str = "") -> str:
    return f"{cardinal(day)} {_MONTHS[month - 1]}" + (f" {_year(year)}" if year else "")


def _clock(hour: int, minute: int) -> str:
    return f"{cardinal(hour)} बजकर {cardinal(minute)} मिनट" if minute else f"{cardinal(hour)} बजे"


_RUPEE, _DOLLAR = Noun("रुपया", many="रुपये"), Noun("डॉलर")
SPEECH = Speech(
    tag="hi",
    cardinal=cardinal,
    ordinal=ordinal,
    grouping=",",
    point="दशमलव",
    minus="ऋण",
    plus="धन",
    money={
        "₹": _RUPEE,
        "Rs.": _RUPEE,
        "INR": _RUPEE,
        "$": _DOLLAR,
        "USD": _DOLLAR,
        "€": Noun("यूरो"),
        "EUR": Noun("यूरो"),
        "£": Noun("पाउंड"),
    },
    cents={
        "₹": Noun("पैसा", many="पैसे"),
        "Rs.": Noun("पैसा", many="पैसे"),
        "INR": Noun("पैसा", many="पैसे"),
        "$": Noun("सेंट"),
        "USD": Noun("सेंट"),
        "€": Noun("सेंट"),
        "EUR": Noun("सेंट"),
        "£": Noun("पेंस"),
    },
    scales="लाख|करोड़|अरब|हज़ार|हजार",
    percent="प्रतिशत",
    degrees=Noun("डिग्री"),
    celsius="सेल्सियस",
    fahrenheit="फ़ारेनहाइट",
    units={
        "km": Noun("किलोमीटर"),
        "किमी": Noun("किलोमीटर"),
        "cm": Noun("सेंटीमीटर"),
        "m": Noun("मीटर"),
        "kg": Noun("किलो"),
        "किग्रा": Noun("किलोग्राम"),
        "g": Noun("ग्राम"),
        "l": Noun("लीटर"),
    },
    months=tuple(_MONTHS),
    date=_date,
    clock=_clock,
    clock_word="बजे",
    year=_year,
    year_words="सन|सन्|वर्ष|साल",
    ordinal_marks=((r"(?:वाँ|वां|वें|st|nd|rd|th)", "m"), (r"(?:वीं|वी)", "f")),
    over="बटा",
    fractions={(1, 2): "आधा", (1, 4): "चौथाई", (3, 4): "तीन चौथाई", (1, 3): "एक तिहाई", (2, 3): "दो तिहाई"},
    number_sign="नंबर",
    shorts={"डॉ.": "डॉक्टर", "श्री.": "श्री", "प्रो.": "प्रोफ़ेसर", "रु.": "रुपये", "ई.पू.": "ईसा पूर्व"},
    at="ऐट",
    dot="डॉट",
    slash="स्लैश",
    symbols={
        "&": "और",
        "@": "ऐट दी रेट",
        "%": "प्रतिशत",
        "#": "हैश",
        "$": "डॉलर",
        "£": "पाउंड",
        "€": "यूरो",
        "₹": "रुपये",
        "+": "धन",
        "=": "बराबर",
        "×": "गुणा",
        "÷": "भाग",
        "°": "डिग्री",
    },
    abbreviations="डॉ श्री प्रो रु",
    sentence_ends=".!?।॥",
    marks="।॥",
    longest=150,
)


def language(tag: str) -> Language:
    """Return Hindi."""
    return Spoken(SPEECH)
