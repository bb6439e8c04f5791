"""Korean number words: Sino-Korean, and native up to 99."""

from __future__ import annotations

from tutortoietts.text.numerals import groups

__all__ = ["cardinal", "native", "ordinal"]

_DIGITS = "영일이삼사오육칠팔구"
_SMALL_UNITS = ("", "십", "백", "천")
_LARGE = ("", "만", "억", "조")
_NATIVE_UNITS = " 하나 둘 셋 넷 다섯 여섯 일곱 여덟 아홉".split(" ")
_NATIVE_TENS = " 열 스물 서른 마흔 쉰 예순 일흔 여든 아흔".split(" ")
_BEFORE_COUNTER = {"하나": "한", "둘": "두", "셋": "세", "넷": "네"}


def cardinal(n: int, gender: str = "") -> str:
    """Spell a number in Sino-Korean, groups of ten thousand apart: 12345 as "만 이천삼백사십오"."""
    if n == 0:
        return _DIGITS[0]
    parts = []
    for power, value in groups(n, 10000):
        word = _ten_thousand(value)
        parts.append(_LARGE[power] if power == 1 and word == "일" else word + _LARGE[power])
    return " ".join(parts)


def _ten_thousand(n: int) -> str:
    word = ""
    for place, digit in enumerate(map(int, f"{n:04d}")):
        if digit:
            unit = _SMALL_UNITS[3 - place]
            word += unit if digit == 1 and unit else _DIGITS[digit] + unit
    return word


def native(n: int, before_counter: bool = True) -> str:
    """Spell 1 to 99 in native words, before a counter or alone; other numbers in Sino-Korean."""
    if not 1 <= n <= 99:
        return cardinal(n)
    ten, unit = divmod(n, 10)
    if before_counter and n == 20:
        return "스무"
    word = _NATIVE_UNITS[unit]
    return _NATIVE_TENS[ten] + (_BEFORE_COUNTER.get(word, word) if before_counter else word)


def ordinal(n: int, gender: str = "") -> str:
    """Spell the n-th: "첫 번째", "두 번째"."""
    hundreds = cardinal(n - n % 100) if n > 99 else ""
    last = native(n % 100) if n % 100 else ""
    return f"{'첫' if n == 1 else hundreds + last} 번째"
