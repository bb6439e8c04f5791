"""Turkish number words, each number as one word."""

from __future__ import annotations

from tutortoietts.text.numerals import groups

__all__ = ["cardinal", "ordinal"]

_UNITS = " bir iki üç dört beş altı yedi sekiz dokuz".split(" ")
_TENS = " on yirmi otuz kırk elli altmış yetmiş seksen doksan".split(" ")
_LARGE = ("", "bin", "milyon", "milyar", "trilyon")


def cardinal(n: int, gender: str = "") -> str:
    """Spell a number; there are no genders."""
    if n == 0:
        return "sıfır"
    return "".join(
        ("" if power == 1 and value == 1 else _thousand(value)) + _LARGE[power] for power, value in groups(n)
    )


def _thousand(n: int) -> str:
    hundreds = n // 100
    word = ("" if hundreds == 1 else _UNITS[hundreds]) + "yüz" if hundreds else ""
    return word + _TENS[n // 10 % 10] + _UNITS[n % 10]


_LAST_VOWEL = {"a": "ı", "ı": "ı", "e": "i", "i": "i", "o": "u", "u": "u", "ö": "ü", "ü": "ü"}


def ordinal(n: int, gender: str = "") -> str:
    """Spell the n-th: "birinci", "ikinci", "dördüncü"."""
    word = cardinal(n)
    if word.endswith("dört"):
        word = f"{word[:-1]}d"
    vowel = _LAST_VOWEL[next(letter for letter in reversed(word) if letter in _LAST_VOWEL)]
    return word + ("" if word[-1] in _LAST_VOWEL else vowel) + f"nc{vowel}"
