"""Russian number words."""

from __future__ import annotations

from tutortoietts.text.numerals import groups, plural_slavic

__all__ = ["cardinal", "decimal", "ordinal"]

_SMALL = (
    "ноль один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать тринадцать четырнадцать "
    "пятнадцать шестнадцать семнадцать восемнадцать девятнадцать"
).split()
_TENS = "двадцать тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто".split()
_HUNDREDS = "сто двести триста четыреста пятьсот шестьсот семьсот восемьсот девятьсот".split()
_LARGE = (
    ("тысяча", "тысячи", "тысяч"),
    ("миллион", "миллиона", "миллионов"),
    ("миллиард", "миллиарда", "миллиардов"),
    ("триллион", "триллиона", "триллионов"),
)
_GENDERED = {"f": {"один": "одна", "два": "две"}, "n": {"один": "одно"}}


def cardinal(n: int, gender: str = "m") -> str:
    """Spell a number. gender: "m" (один, два), "f" (одна, две), "n" (одно, два)."""
    if n == 0:
        return _SMALL[0]
    parts: list[str] = []
    for power, value in groups(n):
        if power:
            parts += [_thousand(value, "f" if power == 1 else "m"), plural_slavic(value, *_LARGE[power - 1])]
        else:
            parts.append(_thousand(value, gender))
    return " ".join(parts)


def _thousand(n: int, gender: str) -> str:
    words = [_HUNDREDS[n // 100 - 1]] if n >= 100 else []
    n %= 100
    if n >= 20:
        words.append(_TENS[n // 10 - 2])
        n %= 10
    if n:
        words.append(_GENDERED.get(gender, {}).get(_SMALL[n], _SMALL[n]))
    return " ".join(words)


_FRACTIONS = ("", "десят", "сот", "тысячн", "десятитысячн", "стотысячн", "миллионн")


def decimal(whole: int, digits: str) -> str | None:
    """Read a decimal as a fraction: "три целых четырнадцать сотых". None for more than six digits."""
    digits = digits.rstrip("0") or "0"
    if len(digits) >= len(_FRACTIONS):
        return None
    part, stem = int(digits), _FRACTIONS[len(digits)]
    first = f"{cardinal(whole, 'f')} {'целая' if _is_one(whole) else 'целых'}"
    return f"{first} {cardinal(part, 'f')} {stem}{'ая' if _is_one(part) else 'ых'}"


def _is_one(n: int) -> bool:
    return n % 10 == 1 and n % 100 != 11


_ORDINAL_SMALL = (
    "нулев+ перв- втор+ трет* четвёрт- пят- шест+ седьм+ восьм+ девят- десят- одиннадцат- двенадцат- тринадцат- "
    "четырнадцат- пятнадцат- шестнадцат- семнадцат- восемнадцат- девятнадцат-"
).split()
_ORDINAL_TENS = "двадцат- тридцат- сороков+ пятидесят- шестидесят- семидесят- восьмидесят- девяност-".split()
_ORDINAL_HUNDREDS = "сот- двухсот- трёхсот- четырёхсот- пятисот- шестисот- семисот- восьмисот- девятисот-".split()
_BEFORE_LARGE = (
    " двух трёх четырёх пяти шести семи восьми девяти десяти одиннадцати двенадцати тринадцати четырнадцати пятнадцати "
    "шестнадцати семнадцати восемнадцати девятнадцати"
).split(" ")
_LARGE_ORDINALS = (("тысячн-", 1000), ("миллионн-", 10**6), ("миллиардн-", 10**9))
_HARD = {
    "m": "ый",
    "f": "ая",
    "n": "ое",
    "pl": "ые",
    "gen": "ого",
    "fgen": "ой",
    "loc": "ом",
    "dat": "ому",
    "acc": "ую",
}
_SOFT = {"m": "ий", "f": "ья", "n": "ье", "pl": "ьи", "gen": "ьего", "fgen": "ьей", "loc": "ьем", "dat": "ьему",
         "acc": "ью"}  # fmt: skip


def ordinal(n: int, form: str = "m") -> str:
    """Spell the n-th.

    form: "m" первый, "f" первая, "n" первое, "pl" первые, "gen" первого, "fgen" первой, "loc" первом, "dat" первому,
    "acc" первую.
    """
    if n < 20:
        return _ended(_ORDINAL_SMALL[n], form)
    if n % 100:
        last = n % 100 if n % 100 < 20 else n % 10
        last = last or n % 100
        before = n - last
        stem = _ORDINAL_SMALL[last] if last < 20 else _ORDINAL_TENS[last // 10 - 2]
        return f"{_before(before)}{_ended(stem, form)}"
    if n % 1000:
        last = n % 1000
        return _before(n - last) + _ended(_ORDINAL_HUNDREDS[last // 100 - 1], form)
    for stem, size in reversed(_LARGE_ORDINALS):
        if n % size == 0 and n // size < 20:
            count = n // size
            return ("" if count == 1 else _BEFORE_LARGE[count - 1]) + _ended(stem, form)
    return cardinal(n)


def _before(n: int) -> str:
    """What stands before the last word, which alone is an ordinal: "тысяча девятьсот "."""
    words = cardinal(n) if n else ""
    return f"{words.removeprefix('одна ') if n < 2000 else words} " if words else ""


def _ended(stem: str, form: str) -> str:
    if stem.endswith("*"):
        return stem[:-1] + _SOFT[form]
    ending = "ой" if form == "m" and stem.endswith("+") else _HARD[form]
    return stem[:-1] + ending
