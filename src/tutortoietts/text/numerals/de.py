"""German number words."""

from __future__ import annotations

from tutortoietts.text.numerals import groups

__all__ = ["cardinal", "ordinal", "year"]

_SMALL = (
    "null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn "
    "achtzehn neunzehn"
).split()
_TENS = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()
_LARGE = (("Million", "Millionen"), ("Milliarde", "Milliarden"), ("Billion", "Billionen"))


def cardinal(n: int, gender: str = "") -> str:
    """Spell a number. gender: "" for counting ("eins"), "m" ("ein"), "f" ("eine")."""
    if n == 0:
        return _SMALL[0]
    above, below = divmod(n, 10**6)
    parts: list[str] = []
    for power, value in groups(above):
        single, plural = _LARGE[power]
        parts.append(f"eine {single}" if value == 1 else f"{_thousand(value)} {plural}")
    if below:
        thousands, rest = divmod(below, 1000)
        word = f"{_thousand(thousands)}tausend" if thousands else ""
        word += _thousand(rest) if rest else ""
        if rest % 100 == 1:
            word += {"": "s", "f": "e"}.get(gender, "")
        parts.append(word)
    return " ".join(parts)


def year(n: int) -> str:
    """Read a year: 1984 as "neunzehnhundertvierundachtzig"."""
    if not 1100 <= n <= 1999:
        return cardinal(n)
    hundreds, rest = divmod(n, 100)
    return f"{_SMALL[hundreds]}hundert{cardinal(rest) if rest else ''}"


def _thousand(n: int) -> str:
    hundreds, rest = divmod(n, 100)
    return (f"{_SMALL[hundreds]}hundert" if hundreds else "") + (_hundred(rest) if rest else "")


def _hundred(n: int) -> str:
    if n < 20:
        return _SMALL[n]
    ten, unit = divmod(n, 10)
    return (f"{_SMALL[unit]}und" if unit else "") + _TENS[ten - 2]


_IRREGULAR = {"ein": "ers", "drei": "drit", "sieben": "sieb", "acht": "ach"}


def ordinal(n: int, ending: str = "e") -> str:
    """Spell the n-th with the ending of its case: "erste", "ersten", "erster"."""
    word = cardinal(n, "m").lower()
    if n in (100, 1000):
        word = word.removeprefix("ein")
    last = n % 100
    if last in (1, 3, 7, 8):
        stem = _SMALL[last]
        return f"{word.removesuffix(stem)}{_IRREGULAR[stem]}t{ending}"
    if n and n % 10**6 == 0:
        word = word.removeprefix("eine ").removesuffix("en") if n == 10**6 else word
        return f"{word.removesuffix('e')}st{ending}"
    return f"{word}{'t' if 0 < last < 20 or n == 0 else 'st'}{ending}"
