"""Italian number words."""

from __future__ import annotations

from tutortoietts.text.numerals import groups

__all__ = ["cardinal", "ordinal"]

_SMALL = (
    "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici "
    "diciassette diciotto diciannove"
).split()
_TENS = "venti trenta quaranta cinquanta sessanta settanta ottanta novanta".split()
_LARGE = ("", "", "milione", "miliardo", "bilione")


def cardinal(n: int, gender: str = "", joint: str = " e ") -> str:
    """Spell a number. gender: "m" ("un"), "f" ("una") for 1 alone; joint: what stands behind millions."""
    if n == 0:
        return _SMALL[0]
    if n == 1 and gender:
        return "una" if gender == "f" else "un"
    parts: list[str] = []
    for power, value in groups(n // 10**6):
        name = _LARGE[power + 2]
        parts.append(f"un {name}" if value == 1 else f"{_accent(_thousand(value))} {name[:-1]}i")
    thousands, rest = divmod(n % 10**6, 1000)
    word = "mille" if thousands == 1 else f"{_thousand(thousands)}mila" if thousands else ""
    word += _thousand(rest) if rest else ""
    return joint.join([*parts, *([_accent(word)] if word else [])])


def _accent(word: str) -> str:
    return f"{word[:-1]}é" if word.endswith("tre") and len(word) > 3 else word


def _thousand(n: int) -> str:
    hundreds, rest = divmod(n, 100)
    word = ("" if hundreds == 1 else _SMALL[hundreds]) + "cento" if hundreds else ""
    if not rest:
        return word
    tail = _hundred(rest)
    return (word[:-1] if word and tail.startswith("ott") else word) + tail


def _hundred(n: int) -> str:
    if n < 20:
        return _SMALL[n]
    ten, unit = divmod(n, 10)
    word = _TENS[ten - 2]
    return (word[:-1] if unit in (1, 8) else word) + (_SMALL[unit] if unit else "")


_ORDINALS = " primo secondo terzo quarto quinto sesto settimo ottavo nono decimo".split(" ")


def ordinal(n: int, gender: str = "m") -> str:
    """Spell the n-th: "primo", "f" "prima"."""
    if 1 <= n <= 10:
        word = _ORDINALS[n]
    elif n % 100 == 10:
        word = cardinal(n).replace(" e ", "").removesuffix("dieci") + _ORDINALS[10]
    else:
        word = cardinal(n).replace(" e ", "").replace(" ", "")
        if word.endswith("mila"):
            word = f"{word[:-1]}"
        elif n % 10 == 3 and n % 100 != 13:
            word = f"{word[:-1]}e"
            return _gendered(f"{word}esimo", gender)
        elif n % 10 == 6 and n % 100 != 16:
            return _gendered(f"{word}esimo", gender)
        else:
            word = word[:-1]
        word = f"{word}l" if word.endswith("mi") else word
        word += "esimo"
    return _gendered(word, gender)


def _gendered(word: str, gender: str) -> str:
    return f"{word[:-1]}a" if gender == "f" else word
