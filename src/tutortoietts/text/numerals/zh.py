"""Chinese number words."""

from __future__ import annotations

from tutortoietts.text.numerals import groups

__all__ = ["DIGITS", "cardinal", "digits", "ordinal"]

DIGITS = "零一二三四五六七八九"
_UNITS = ("", "十", "百", "千")
_LARGE = ("", "万", "亿", "兆")


def cardinal(n: int, gender: str = "", two: bool = True) -> str:
    """Spell a number. two: 2 is 两 before 百, 千, 万 and 亿, as it is said."""
    if n == 0:
        return DIGITS[0]
    result, last = "", 0
    for power, value in groups(n, 10000):
        if result and (value < 1000 or last > power + 1):
            result += DIGITS[0]
        alone = two and value == 2 and power > 0
        result += ("两" if alone else _ten_thousand(value, two, not result)) + _LARGE[power]
        last = power
    return result


def _ten_thousand(n: int, two: bool, first: bool) -> str:
    """first: nothing stands before it, so that 10 to 19 need no 一."""
    if first and 10 <= n <= 19:
        return _UNITS[1] + (DIGITS[n - 10] if n > 10 else "")
    word, zero = "", False
    for place, digit in enumerate(map(int, f"{n:04d}")):
        unit = _UNITS[3 - place]
        if digit:
            word += DIGITS[0] if zero and word else ""
            word += ("两" if digit == 2 and two and unit in ("百", "千") else DIGITS[digit]) + unit
        zero = digit == 0
    return word


def digits(text: str) -> str:
    """Read digits one by one."""
    return "".join(DIGITS[int(char)] for char in text)


def ordinal(n: int, gender: str = "") -> str:
    """Spell the n-th: "第一"."""
    return f"第{cardinal(n, two=False)}"
