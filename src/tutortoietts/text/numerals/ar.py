"""Arabic number words, as in counting: units agree as before a masculine noun."""

from __future__ import annotations

from tutortoietts.text.numerals import groups

__all__ = ["cardinal", "ordinal"]

_SMALL = (
    "صفر",
    "واحد",
    "اثنان",
    "ثلاثة",
    "أربعة",
    "خمسة",
    "ستة",
    "سبعة",
    "ثمانية",
    "تسعة",
    "عشرة",
    "أحد عشر",
    "اثنا عشر",
    "ثلاثة عشر",
    "أربعة عشر",
    "خمسة عشر",
    "ستة عشر",
    "سبعة عشر",
    "ثمانية عشر",
    "تسعة عشر",
)
_TENS = ("عشرون", "ثلاثون", "أربعون", "خمسون", "ستون", "سبعون", "ثمانون", "تسعون")
_HUNDREDS = ("مائة", "مئتان", "ثلاثمائة", "أربعمائة", "خمسمائة", "ستمائة", "سبعمائة", "ثمانمائة", "تسعمائة")
_LARGE = (
    ("ألف", "ألفان", "آلاف", "ألفاً", "ألف"),
    ("مليون", "مليونان", "ملايين", "مليوناً", "مليون"),
    ("مليار", "ملياران", "مليارات", "ملياراً", "مليار"),
    ("تريليون", "تريليونان", "تريليونات", "تريليوناً", "تريليون"),
)
_AND = " و "


def cardinal(n: int, gender: str = "m") -> str:
    """Spell a number; the parts are joined by "and" as a word of its own."""
    if n == 0:
        return _SMALL[0]
    parts: list[str] = []
    for power, value in groups(n):
        parts.append(_large(value, *_LARGE[power - 1]) if power else _thousand(value))
    return _AND.join(parts)


def _large(n: int, one: str, two: str, few: str, many: str, hundreds: str) -> str:
    if n <= 2:
        return one if n == 1 else two
    last = n % 100
    noun = few if 3 <= last <= 10 else hundreds if last in (0, 1, 2) else many
    words = _thousand(n)
    if n == 200:
        words = words.removesuffix("ن")
    return f"{words} {noun}"


def _thousand(n: int) -> str:
    hundreds, rest = divmod(n, 100)
    parts = [_HUNDREDS[hundreds - 1]] if hundreds else []
    if rest:
        ten, unit = divmod(rest, 10)
        if rest < 20:
            parts.append(_SMALL[rest])
        else:
            parts += [*([_SMALL[unit]] if unit else []), _TENS[ten - 2]]
    return _AND.join(parts)


_ORDINALS = ("", "اول", "ثاني", "ثالث", "رابع", "خامس", "سادس", "سابع", "ثامن", "تاسع", "عاشر")


def ordinal(n: int, gender: str = "m") -> str:
    """Spell the n-th, 1 to 19; others as cardinals. gender "f": with the feminine ending."""
    if 11 <= n <= 19 and gender != "f":
        return f"{'حادي' if n == 11 else _ORDINALS[n - 10]} عشر"
    if not 1 <= n <= 10:
        return cardinal(n)
    if gender == "f":
        return "أولى" if n == 1 else "ثانية" if n == 2 else f"{_ORDINALS[n]}ة"
    return _ORDINALS[n]
