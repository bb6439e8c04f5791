"""Arabic."""

from __future__ import annotations

from tutortoietts.text.languages import Language
from tutortoietts.text.languages.build import Noun, Speech, Spoken
from tutortoietts.text.numerals.ar import cardinal, ordinal

__all__ = ["CODES", "language"]

CODES = ("ar", "ar-SA", "ar-EG")
_MONTHS = "يناير فبراير مارس أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر".split()
_HOURS = (
    "الثانية عشرة",
    "الواحدة",
    "الثانية",
    "الثالثة",
    "الرابعة",
    "الخامسة",
    "السادسة",
    "السابعة",
    "الثامنة",
    "التاسعة",
    "العاشرة",
    "الحادية عشرة",
)


def _date(day: int, month: int, year: int | None, before: str = "") -> str:
    return f"{cardinal(day)} {_MONTHS[month - 1]}" + (f" {cardinal(year)}" if year else "")


def _clock(hour: int, minute: int) -> str:
    return _HOURS[hour % 12] + (f" و {cardinal(minute)} دقيقة" if minute else "")


def _plural(n: int, noun: Noun) -> str:
    if n == 1 or (n % 100 == 0 and n):
        return noun.one
    return noun.few if 3 <= n % 100 <= 10 and noun.few else noun.many or noun.one


def _count(n: int, noun: Noun) -> str | None:
    """One comes behind its noun, and two has a form of its own."""
    if n == 1:
        return f"{noun.one} {'واحدة' if noun.one.endswith('ة') else 'واحد'}"
    if n == 2:
        return f"{noun.one[:-1]}تان" if noun.one.endswith("ة") else f"{noun.one}ان"
    return None


_DOLLAR = Noun("دولار", "دولارات", "دولاراً")
_EURO = Noun("يورو")
_RIYAL = Noun("ريال", "ريالات", "ريالاً")
_CENT = Noun("سنت", "سنتات", "سنتاً")
SPEECH = Speech(
    tag="ar",
    cardinal=cardinal,
    ordinal=ordinal,
    counting="m",
    grouping=",",
    point="فاصلة",
    minus="سالب",
    plus="زائد",
    plural=_plural,
    count=_count,
    money={
        "$": _DOLLAR,
        "USD": _DOLLAR,
        "€": _EURO,
        "EUR": _EURO,
        "£": Noun("جنيه", "جنيهات", "جنيهاً"),
        "ر.س": _RIYAL,
        "SAR": _RIYAL,
        "د.إ": Noun("درهم", "دراهم", "درهماً"),
        "ج.م": Noun("جنيه", "جنيهات", "جنيهاً"),
    },
    cents={
        "$": _CENT,
        "USD": _CENT,
        "€": _CENT,
        "EUR": _CENT,
        "£": Noun("بنس", "بنسات", "بنساً"),
        "ر.س": Noun("هللة", "هللات", "هللة"),
        "SAR": Noun("هللة", "هللات", "هللة"),
    },
    cents_joint=" و ",
    scales="مليون|مليار|ألف|ملايين|آلاف",
    percent="في المئة",
    degrees=Noun("درجة", "درجات", "درجة"),
    celsius="مئوية",
    fahrenheit="فهرنهايت",
    units={
        "كم": Noun("كيلومتر", "كيلومترات", "كيلومتراً"),
        "km": Noun("كيلومتر", "كيلومترات", "كيلومتراً"),
        "سم": Noun("سنتيمتر", "سنتيمترات", "سنتيمتراً"),
        "cm": Noun("سنتيمتر", "سنتيمترات", "سنتيمتراً"),
        "كجم": Noun("كيلوغرام", "كيلوغرامات", "كيلوغراماً"),
        "kg": Noun("كيلوغرام", "كيلوغرامات", "كيلوغراماً"),
        "m": Noun("متر", "أمتار", "متراً"),
    },
    months=tuple(_MONTHS),
    date=_date,
    clock=_clock,
    ordinal_marks=((r"(?:ون|ين|ث|ر|ى)(?!\w)", "m"),),
    over="على",
    fractions={(1, 2): "نصف", (1, 3): "ثلث", (2, 3): "ثلثان", (1, 4): "ربع", (3, 4): "ثلاثة أرباع"},
    number_sign="رقم",
    shorts={"د.": "دكتور", "أ.": "أستاذ", "م.": "مهندس", "إلخ": "إلى آخره", "ص.": "صفحة", "ق.م": "قبل الميلاد"},
    at="على",
    dot="نقطة",
    slash="شرطة مائلة",
    symbols={
        "&": "و",
        "@": "على",
        "%": "في المئة",
        "٪": "في المئة",
        "#": "رقم",
        "$": "دولار",
        "£": "جنيه",
        "€": "يورو",
        "+": "زائد",
        "=": "يساوي",
        "×": "في",
        "÷": "على",
        "°": "درجة",
    },
    abbreviations="د أ م ص ق",
    sentence_ends=".!?؟",
    marks="،؛؟",
    longest=166,
)


def language(tag: str) -> Language:
    """Return Arabic."""
    return Spoken(SPEECH)
