"""Czech number words."""

from __future__ import annotations

from tutortoietts.text.numerals import groups, plural_slavic

__all__ = ["cardinal", "ordinal", "plural"]

_SMALL = (
    "nula jedna dva tři čtyři pět šest sedm osm devět deset jedenáct dvanáct třináct čtrnáct patnáct šestnáct sedmnáct "
    "osmnáct devatenáct"
).split()
_TENS = "dvacet třicet čtyřicet padesát šedesát sedmdesát osmdesát devadesát".split()
_HUNDREDS = "sto dvěstě třista čtyřista pětset šestset sedmset osmset devětset".split()
_LARGE = (
    ("tisíc", "tisíce", "tisíc"),
    ("milion", "miliony", "milionů"),
    ("miliarda", "miliardy", "miliard"),
    ("bilion", "biliony", "bilionů"),
)


def plural(n: int, one: str, few: str, many: str) -> str:
    """Return the form of a noun that follows n."""
    return one if n == 1 else few if 2 <= n <= 4 else many


def cardinal(n: int, gender: str = "") -> str:
    """Spell a number.

    gender: "" for counting ("jedna", "dva"), "m" ("jeden", "dva"), "f" ("jedna", "dvě"), "n" ("jedno", "dvě").
    """
    if n == 0:
        return _SMALL[0]
    parts: list[str] = []
    for power, value in groups(n):
        if power:
            name = _large(value, power)
            feminine = "f" if power == 3 else "m"
            parts.append(name if value == 1 else f"{_thousand(value, feminine)} {name}")
        else:
            parts.append(_thousand(value, gender))
    return " ".join(parts)


def _large(value: int, power: int) -> str:
    one, few, many = _LARGE[power - 1]
    return one if value == 1 else plural_slavic(value, many, few, many)


_GENDERED = {"m": {1: "jeden"}, "f": {2: "dvě"}, "n": {1: "jedno", 2: "dvě"}}


def _thousand(n: int, gender: str) -> str:
    words = [_HUNDREDS[n // 100 - 1]] if n >= 100 else []
    n %= 100
    if n >= 20:
        words.append(_TENS[n // 10 - 2])
        n %= 10
    if n:
        words.append(_GENDERED.get(gender, {}).get(n, _SMALL[n]))
    return " ".join(words)


_ORDINAL_SMALL = (
    "nult- prvn* druh- třet* čtvrt- pát- šest- sedm- osm- devát- desát- jedenáct- dvanáct- třináct- čtrnáct- patnáct- "
    "šestnáct- sedmnáct- osmnáct- devatenáct-"
).split()
_ORDINAL_TENS = "dvacát- třicát- čtyřicát- padesát- šedesát- sedmdesát- osmdesát- devadesát-".split()
_ORDINAL_HUNDREDS = "st- dvoust- třist- čtyřst- pětist- šestist- sedmist- osmist- devítist-".split()
_HARD = {"m": "ý", "f": "á", "n": "é", "gen": "ého", "fgen": "é", "loc": "ém"}
_SOFT = {"m": "í", "f": "í", "n": "í", "gen": "ího", "fgen": "í", "loc": "ím"}


def ordinal(n: int, form: str = "m") -> str:
    """Spell the n-th. form: "m" první, druhý; "f" druhá; "n" druhé; "gen" druhého; "fgen" druhé; "loc" druhém."""
    if n < 20:
        return _ended(_ORDINAL_SMALL[n], form)
    below = n % 100
    if below:
        before = cardinal(n - below) if n > 99 else ""
        if below < 20:
            words = [before, _ended(_ORDINAL_SMALL[below], form)]
        else:
            ten, unit = divmod(below, 10)
            words = [before, _ended(_ORDINAL_TENS[ten - 2], form), _ended(_ORDINAL_SMALL[unit], form) if unit else ""]
        return " ".join(word for word in words if word)
    if n % 1000:
        last = n % 1000
        before = f"{cardinal(n - last)} " if n > last else ""
        return before + _ended(_ORDINAL_HUNDREDS[last // 100 - 1], form)
    thousands = {1: "", 2: "dvou", 3: "tří", 4: "čtyř", 5: "pěti", 6: "šesti", 7: "sedmi", 8: "osmi", 9: "devíti",
                 10: "deseti"}  # fmt: skip
    if n // 1000 in thousands:
        return _ended(f"{thousands[n // 1000]}tisíc*", form)
    return cardinal(n)


def _ended(stem: str, form: str) -> str:
    return stem[:-1] + (_SOFT if stem.endswith("*") else _HARD)[form]
