"""Japanese number words, in kanji, which the romaniser reads; and readings of counters in kana."""

from __future__ import annotations

from tutortoietts.text.numerals import groups

__all__ = ["cardinal", "digits", "ordinal"]

_DIGITS = "零一二三四五六七八九"
_UNITS = ("", "十", "百", "千")
_LARGE = ("", "万", "億", "兆")


def cardinal(n: int, gender: str = "") -> str:
    """Spell a number: 12345 as "一万二千三百四十五"."""
    if n == 0:
        return _DIGITS[0]
    return "".join(_ten_thousand(value) + _LARGE[power] for power, value in groups(n, 10000))


def _ten_thousand(n: int) -> str:
    word = ""
    for place, digit in enumerate(map(int, f"{n:04d}")):
        unit = _UNITS[3 - place]
        if digit:
            word += ("" if digit == 1 and unit else _DIGITS[digit]) + unit
    return word


def digits(text: str) -> str:
    """Read digits one by one."""
    return "".join(_DIGITS[int(char)] for char in text)


def ordinal(n: int, gender: str = "") -> str:
    """Spell the n-th: "第一"."""
    return f"第{cardinal(n)}"
