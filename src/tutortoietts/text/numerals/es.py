"""Spanish number words."""

from __future__ import annotations

from tutortoietts.text.numerals import groups

__all__ = ["cardinal", "ordinal"]

_SMALL = (
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete "
    "dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete "
    "veintiocho veintinueve"
).split()
_TENS = "treinta cuarenta cincuenta sesenta setenta ochenta noventa".split()
_HUNDREDS = (
    "cien doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos".split()
)


def cardinal(n: int, gender: str = "") -> str:
    """Spell a number. gender: "" for counting ("uno"), "m" before a masculine noun ("un"), "f" ("una")."""
    if n == 0:
        return _SMALL[0]
    parts: list[str] = []
    for power, value in groups(n, 1000000):
        name = ("", "millón", "billón")[power]
        if not power:
            parts.append(_million(value, gender))
        elif value == 1:
            parts.append(f"un {name}")
        else:
            parts.append(f"{_million(value, 'm')} {name.replace('ón', 'ones')}")
    return " ".join(parts)


def _million(n: int, gender: str) -> str:
    thousands, rest = divmod(n, 1000)
    parts = []
    if thousands:
        parts.append("mil" if thousands == 1 else f"{_thousand(thousands, gender if gender == 'f' else 'm')} mil")
    if rest:
        parts.append(_thousand(rest, gender))
    return " ".join(parts)


def _thousand(n: int, gender: str) -> str:
    hundreds, rest = divmod(n, 100)
    parts = []
    if hundreds:
        word = "ciento" if hundreds == 1 and rest else _HUNDREDS[hundreds - 1]
        parts.append(word.replace("ientos", "ientas") if gender == "f" and hundreds > 1 else word)
        if gender == "f" and hundreds == 5:
            parts[-1] = "quinientas"
    if rest:
        parts.append(_hundred(rest, gender))
    return " ".join(parts)


def _hundred(n: int, gender: str) -> str:
    if n < 30:
        word = _SMALL[n]
    else:
        ten, unit = divmod(n, 10)
        word = _TENS[ten - 3] + (f" y {_SMALL[unit]}" if unit else "")
    if not gender or not word.endswith("uno"):
        return word
    if gender == "f":
        return f"{word[:-1]}a"
    return "veintiún" if n == 21 else word[:-1]


_ORDINAL_UNITS = " primero segundo tercero cuarto quinto sexto séptimo octavo noveno".split(" ")
_ORDINAL_TENS = (
    " décimo vigésimo trigésimo cuadragésimo quincuagésimo sexagésimo septuagésimo octogésimo nonagésimo".split(" ")
)
_ORDINAL_HUNDREDS = (
    " centésimo ducentésimo tricentésimo cuadrigentésimo quingentésimo sexcentésimo septingésimo octigentésimo "
    "noningentésimo"
).split(" ")


def ordinal(n: int, gender: str = "m") -> str:
    """Spell the n-th, 1 to 999: "primero"; "f" "primera"; "" before a masculine noun "primer". Others as cardinals."""
    if not 1 <= n <= 999:
        return cardinal(n, "f" if gender == "f" else "")
    hundreds, rest = divmod(n, 100)
    tens, units = divmod(rest, 10)
    words = [_ORDINAL_HUNDREDS[hundreds], _ORDINAL_TENS[tens], _ORDINAL_UNITS[units]]
    if rest in (11, 12):
        words[1:] = ["", "undécimo" if rest == 11 else "duodécimo"]
    words = [word for word in words if word]
    if gender == "f":
        words = [f"{word[:-1]}a" for word in words]
    elif not gender and words[-1].endswith(("primero", "tercero")):
        words[-1] = words[-1][:-1]
    return " ".join(words)
