"""English number words, with "and" and with commas between groups."""

from __future__ import annotations

from tutortoietts.text.numerals import groups

__all__ = ["cardinal", "ordinal"]

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_LARGE = ("", " thousand", " million", " billion", " trillion")


def cardinal(n: int, gender: str = "") -> str:
    """Spell a number; there are no genders."""
    if n == 0:
        return _SMALL[0]
    words = ""
    for power, value in groups(n):
        joint = "" if not words else " and " if not power and value < 100 else ", "
        words += f"{joint}{_thousand(value)}{_LARGE[power]}"
    return words


def _thousand(n: int) -> str:
    hundreds, rest = divmod(n, 100)
    words = [f"{_SMALL[hundreds]} hundred"] if hundreds else []
    if rest:
        ten, unit = divmod(rest, 10)
        words.append(_SMALL[rest] if rest < 20 else _TENS[ten - 2] + (f"-{_SMALL[unit]}" if unit else ""))
    return " and ".join(words)


_IRREGULAR = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def ordinal(n: int, gender: str = "") -> str:
    """Spell the n-th: "first", "twenty-first", "one hundredth"."""
    word = cardinal(n)
    for stem, changed in _IRREGULAR.items():
        if word.endswith(stem):
            return word.removesuffix(stem) + changed
    return f"{word[:-1]}ieth" if word.endswith("y") else f"{word}th"
