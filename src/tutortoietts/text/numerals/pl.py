"""Polish number words."""

from __future__ import annotations

from tutortoietts.text.numerals import groups, plural_slavic

__all__ = ["cardinal", "ordinal", "plural"]

_SMALL = (
    "zero jeden dwa trzy cztery pięć sześć siedem osiem dziewięć dziesięć jedenaście dwanaście trzynaście czternaście "
    "piętnaście szesnaście siedemnaście osiemnaście dziewiętnaście"
).split()
_TENS = (
    "dwadzieścia trzydzieści czterdzieści pięćdziesiąt sześćdziesiąt siedemdziesiąt osiemdziesiąt dziewięćdziesiąt"
).split()
_HUNDREDS = "sto dwieście trzysta czterysta pięćset sześćset siedemset osiemset dziewięćset".split()
_LARGE = (
    ("tysiąc", "tysiące", "tysięcy"),
    ("milion", "miliony", "milionów"),
    ("miliard", "miliardy", "miliardów"),
    ("bilion", "biliony", "bilionów"),
)


def plural(n: int, one: str, few: str, many: str) -> str:
    """Return the form of a noun that follows n."""
    return one if n == 1 else plural_slavic(n, many, few, many)


def cardinal(n: int, gender: str = "m") -> str:
    """Spell a number. gender: "m" ("jeden", "dwa"), "f" ("jedna", "dwie"), "n" ("jedno", "dwa")."""
    if n == 0:
        return _SMALL[0]
    parts: list[str] = []
    for power, value in groups(n):
        if power:
            name = plural(value, *_LARGE[power - 1])
            parts.append(name if value == 1 else f"{_thousand(value)} {name}")
        else:
            parts.append(_thousand(value))
    words = " ".join(parts)
    if gender == "f" and n % 10 == 2 and n % 100 != 12:
        return f"{words[:-1]}ie"
    if n == 1:
        return {"f": "jedna", "n": "jedno"}.get(gender, words)
    return words


def _thousand(n: int) -> str:
    words = [_HUNDREDS[n // 100 - 1]] if n >= 100 else []
    n %= 100
    if n >= 20:
        words.append(_TENS[n // 10 - 2])
        n %= 10
    if n:
        words.append(_SMALL[n])
    return " ".join(words)


_ORDINAL_SMALL = (
    "zerow- pierwsz- drug- trzec- czwart- piąt- szóst- siódm- ósm- dziewiąt- dziesiąt- jedenast- dwunast- trzynast- "
    "czternast- piętnast- szesnast- siedemnast- osiemnast- dziewiętnast-"
).split()
_ORDINAL_TENS = (
    "dwudziest- trzydziest- czterdziest- pięćdziesiąt- sześćdziesiąt- siedemdziesiąt- osiemdziesiąt- dziewięćdziesiąt-"
).split()
_ORDINAL_HUNDREDS = "setn- dwusetn- trzechsetn- czterechsetn- pięćsetn- sześćsetn- siedemsetn- osiemsetn- dziewięćsetn-"
_COMBINING = (
    " dwu trzy cztero pięcio sześcio siedmio ośmio dziewięcio dziesięcio jedenasto dwunasto trzynasto czternasto "
    "piętnasto szesnasto siedemnasto osiemnasto dziewiętnasto"
).split(" ")
_ENDINGS = {"m": "y", "f": "a", "n": "e", "gen": "ego", "fgen": "ej", "loc": "ym"}


def ordinal(n: int, form: str = "m") -> str:
    """Spell the n-th. form: "m" pierwszy, "f" pierwsza, "n" pierwsze, "gen" pierwszego, "fgen" pierwszej, "loc"."""
    small, tens, hundreds = n % 10, n // 10 % 10, n // 100 % 10
    if n == 0 or n % 100:
        below = n % 100
        before = cardinal(n - below) if n > 99 else ""
        if below < 20:
            words = [before, _ended(_ORDINAL_SMALL[below], form)]
        else:
            words = [
                before,
                _ended(_ORDINAL_TENS[tens - 2], form),
                _ended(_ORDINAL_SMALL[small], form) if small else "",
            ]
    elif hundreds:
        words = [cardinal(n - hundreds * 100) if n > 999 else "", _ended(_ORDINAL_HUNDREDS.split()[hundreds - 1], form)]
    elif n < 20000:
        thousands = n // 1000
        words = [_ended(("" if thousands == 1 else _COMBINING[thousands - 1]) + "tysięczn-", form)]
    else:
        return cardinal(n)
    return " ".join(word for word in words if word)


def _ended(stem: str, form: str) -> str:
    ending = _ENDINGS[form]
    if stem in ("drug-", "trzec-"):
        if stem == "trzec-":
            ending = ending.replace("y", "i") if ending.startswith("y") else f"i{ending}"
        elif ending[0] in "ye":
            ending = {"y": "i", "e": "ie", "ego": "iego", "ej": "iej", "ym": "im"}[ending]
    return stem.replace("-", ending)
