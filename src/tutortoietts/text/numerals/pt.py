"""Portuguese number words, in the European spelling."""

from __future__ import annotations

from tutortoietts.text.numerals import groups

__all__ = ["cardinal", "ordinal"]

_SMALL = (
    "zero um dois três quatro cinco seis sete oito nove dez onze doze treze catorze quinze dezasseis dezassete dezoito "
    "dezanove"
).split()
_TENS = "vinte trinta quarenta cinquenta sessenta setenta oitenta noventa".split()
_HUNDREDS = "cento duzentos trezentos quatrocentos quinhentos seiscentos setecentos oitocentos novecentos".split()
_LARGE = ("", "milhão", "bilião")


def cardinal(n: int, gender: str = "m") -> str:
    """Spell a number. gender "f": "uma", "duas", "duzentas"."""
    if n == 0:
        return _SMALL[0]
    result = ""
    for power, value in groups(n, 10**6):
        if power:
            name = _LARGE[power]
            word = f"um {name}" if value == 1 else f"{_million(value, 'm')} {name.replace('ão', 'ões')}"
        else:
            word = _million(value, gender)
        linked = not power and (value < 100 or (value < 1000 and value % 100 == 0))
        result += f"{' e ' if linked else ' '}{word}" if result else word
    return result


def _million(n: int, gender: str) -> str:
    thousands, rest = divmod(n, 1000)
    word = "" if not thousands else "mil" if thousands == 1 else f"{_thousand(thousands, gender)} mil"
    if not rest:
        return word
    tail = _thousand(rest, gender)
    linked = rest < 100 or rest % 100 == 0
    return f"{word}{' e ' if linked else ' '}{tail}" if word else tail


def _thousand(n: int, gender: str) -> str:
    if n == 100:
        return "cem"
    hundreds, rest = divmod(n, 100)
    parts = []
    if hundreds:
        word = _HUNDREDS[hundreds - 1]
        parts.append(f"{word[:-2]}as" if gender == "f" and hundreds > 1 else word)
    if rest >= 20:
        parts.append(_TENS[rest // 10 - 2])
        rest %= 10
    if rest:
        parts.append({1: "uma", 2: "duas"}.get(rest, _SMALL[rest]) if gender == "f" else _SMALL[rest])
    return " e ".join(parts)


_ORDINAL_UNITS = " primeiro segundo terceiro quarto quinto sexto sétimo oitavo nono".split(" ")
_ORDINAL_TENS = (
    " décimo vigésimo trigésimo quadragésimo quinquagésimo sexagésimo septuagésimo octogésimo nonagésimo".split(" ")
)
_ORDINAL_HUNDREDS = (
    " centésimo ducentésimo tricentésimo quadrigentésimo quingentésimo seiscentésimo septigentésimo octigentésimo "
    "nongentésimo"
).split(" ")


def ordinal(n: int, gender: str = "m") -> str:
    """Spell the n-th, 1 to 999: "primeiro", "f" "primeira". Others as cardinals."""
    if not 1 <= n <= 999:
        return "milésima" if n == 1000 and gender == "f" else "milésimo" if n == 1000 else cardinal(n, gender)
    words = [_ORDINAL_HUNDREDS[n // 100], _ORDINAL_TENS[n // 10 % 10], _ORDINAL_UNITS[n % 10]]
    words = [word for word in words if word]
    return " ".join(f"{word[:-1]}a" if gender == "f" else word for word in words)
