"""Dutch number words."""

from __future__ import annotations

from tutortoietts.text.numerals import groups

__all__ = ["cardinal", "ordinal", "year"]

_SMALL = (
    "nul één twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien zestien zeventien "
    "achttien negentien"
).split()
_TENS = "twintig dertig veertig vijftig zestig zeventig tachtig negentig".split()
_LARGE = ("miljoen", "miljard", "biljoen")


def cardinal(n: int, gender: str = "") -> str:
    """Spell a number; every gender is the same."""
    if n == 0:
        return _SMALL[0]
    parts = [f"{_thousand(value, inner=True)} {_LARGE[power]}" for power, value in groups(n // 10**6)]
    thousands, rest = divmod(n % 10**6, 1000)
    word = "duizend" if thousands == 1 else f"{_thousand(thousands, inner=True)}duizend" if thousands else ""
    word += _thousand(rest) if rest else ""
    return " ".join([*parts, *([word] if word else [])])


def year(n: int) -> str:
    """Read a year: 1984 as "negentienvierentachtig", 1900 as "negentienhonderd"."""
    if not 1100 <= n <= 1999:
        return cardinal(n)
    hundreds, rest = divmod(n, 100)
    return _SMALL[hundreds] + (cardinal(rest) if rest > 9 else f"honderd{_SMALL[rest] if rest else ''}")


def _thousand(n: int, inner: bool = False) -> str:
    """inner: before a larger word, "een" without accents."""
    hundreds, rest = divmod(n, 100)
    word = ("" if hundreds == 1 else _SMALL[hundreds]) + "honderd" if hundreds else ""
    tail = _hundred(rest) if rest else ""
    return word + (tail.replace("één", "een") if inner else tail)


def _hundred(n: int) -> str:
    if n < 20:
        return _SMALL[n]
    ten, unit = divmod(n, 10)
    if not unit:
        return _TENS[ten - 2]
    joint = "ën" if unit in (2, 3) else "en"
    return f"{'een' if unit == 1 else _SMALL[unit]}{joint}{_TENS[ten - 2]}"


_IRREGULAR = {"één": "eerste", "drie": "derde", "acht": "achtste"}


def ordinal(n: int, gender: str = "") -> str:
    """Spell the n-th: "eerste", "tweede", "twintigste"."""
    word = cardinal(n)
    for stem, changed in _IRREGULAR.items():
        if word.endswith(stem):
            return word.removesuffix(stem) + changed
    last = n % 100
    short = last in (2, 4, 5, 6, 7, 9, 10, 11, 12) or 13 <= last <= 19 or n == 0
    return f"{word}{'de' if short else 'ste'}"
