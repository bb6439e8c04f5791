"""French number words, in the traditional spelling."""

from __future__ import annotations

from tutortoietts.text.numerals import groups

__all__ = ["cardinal", "ordinal"]

_SMALL = (
    "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept dix-huit "
    "dix-neuf"
).split()
_TENS = "vingt trente quarante cinquante soixante soixante quatre-vingt quatre-vingt".split()
_LARGE = ("", "mille", "million", "milliard", "billion")


def cardinal(n: int, gender: str = "") -> str:
    """Spell a number. gender "f": "une" at its end."""
    if n == 0:
        return _SMALL[0]
    parts: list[str] = []
    for power, value in groups(n):
        if power == 0:
            parts.append(_thousand(value, last=True))
        elif power == 1:
            parts.append("mille" if value == 1 else f"{_thousand(value, last=False)} mille")
        else:
            parts.append(f"{_thousand(value, last=True)} {_LARGE[power]}{'s' if value > 1 else ''}")
    words = " ".join(parts)
    feminine = gender == "f" and n % 10 == 1 and n % 100 not in (11, 71, 91)
    return f"{words}e" if feminine else words


def _thousand(n: int, last: bool) -> str:
    """last: "cents" and "quatre-vingts" keep their s."""
    hundreds, rest = divmod(n, 100)
    parts = []
    if hundreds:
        plural = "s" if hundreds > 1 and not rest and last else ""
        parts.append(f"cent{plural}" if hundreds == 1 else f"{_SMALL[hundreds]} cent{plural}")
    if rest:
        parts.append(_hundred(rest, last))
    return " ".join(parts)


def _hundred(n: int, last: bool) -> str:
    if n < 20:
        return _SMALL[n]
    ten, unit = divmod(n, 10)
    if ten in (7, 9):
        ten, unit = ten - 1, unit + 10
    word = _TENS[ten - 2]
    if not unit:
        return f"{word}s" if n == 80 and last else word
    joint = " et " if unit in (1, 11) and ten < 8 else "-"
    return f"{word}{joint}{_SMALL[unit]}"


def ordinal(n: int, gender: str = "m") -> str:
    """Spell the n-th: "premier", "f" "première", "deuxième"."""
    if n == 1:
        return "première" if gender == "f" else "premier"
    word = cardinal(n)
    if word.endswith(("cents", "vingts", "ions", "iards")):
        word = word[:-1]
    if word.endswith("cinq"):
        word += "u"
    elif word.endswith("neuf"):
        word = f"{word[:-1]}v"
    elif word.endswith("e"):
        word = word[:-1]
    return f"{word}ième"
