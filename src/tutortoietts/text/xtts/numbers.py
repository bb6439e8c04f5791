"""Numbers as the original cleaner words them: grouping, currency, decimals, ordinals, cardinals, in this order."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib import import_module

from tutortoietts.text.numerals import LIMIT
from tutortoietts.text.xtts.tables import ORDINAL_ENDINGS

__all__ = ["expand_numbers"]

_POINT_GROUPS = re.compile(r"\b\d{1,3}(?:.\d{3})*(?:,\d+)?\b")
_COMMA_GROUPS = re.compile(r"\b\d{1,3}(?:,\d{3})*(?:\.\d+)?\b")
_DECIMAL = re.compile(r"(?<![0-9])([0-9]+)[.,]([0-9]+)")
_NUMBER = re.compile(r"[0-9]+")
_LONGEST = len(str(LIMIT - 1))
_AMOUNT = r"(?<![0-9.,])[0-9.,]*[0-9]+{sign}|{sign}[0-9.,]*[0-9]+"
_SIGNS = {sign: re.compile(_AMOUNT.format(sign=re.escape(sign))) for sign in "£$€"}  # in the original's order


def expand_numbers(text: str, language: str) -> str:
    """Replace all numbers of lower-case text by words. language: a code of `tables.LANGUAGES`, but zh and ja."""
    if language in ("en", "ru"):
        text = _COMMA_GROUPS.sub(lambda match: match[0].replace(",", ""), text)
    else:
        text = _POINT_GROUPS.sub(lambda match: match[0].replace(".", ""), text)
    text = _expand_currency(text, language)
    if language != "tr":
        text = _DECIMAL.sub(lambda match: _decimal(match[1], match[2], language), text)
    if language in ORDINAL_ENDINGS:
        text = _ordinals(language).sub(lambda match: _ordinal(match[1], language), text)
    return _NUMBER.sub(lambda match: cardinal(match[0], language), text)


@cache
def _ordinals(language: str) -> re.Pattern[str]:
    return re.compile(f"(?<![0-9])([0-9]+)(?:{ORDINAL_ENDINGS[language]})")


def cardinal(digits: str, language: str) -> str:
    """Spell a written number; one too large for words digit by digit."""
    digits = digits.lstrip("0") or "0"
    return _speller(language)(int(digits)) if len(digits) <= _LONGEST else _each(digits, language)


@cache
def _speller(language: str) -> Callable[[int], str]:
    spell: Callable[[int], str] = import_module(f"tutortoietts.text.numerals.{language}").cardinal
    return spell


def _ordinal(digits: str, language: str) -> str:
    spell = import_module(f"tutortoietts.text.numerals.{language}").ordinal
    return str(spell(int(digits))) if len(digits) <= _LONGEST else cardinal(digits, language)


# --- decimals ---

_POINT_WORDS = {
    "en": "point", "de": "Komma", "fr": "virgule", "pt": "vírgula", "it": "virgola", "es": "punto", "nl": "komma",
    "ru": "целых", "hu": "egész", "ko": "점", "pl": "przecinek", "cs": "celá", "ar": "فاصلة", "hi": "दशमलव",
}  # fmt: skip


def _decimal(whole: str, digits: str, language: str) -> str:
    """Zeros at the end are not read."""
    digits = digits.rstrip("0") or "0"
    first = cardinal(whole, language)
    if language in ("ru", "hu"):
        fraction = import_module(f"tutortoietts.text.numerals.{language}").decimal
        read = fraction(int(whole), digits) if len(whole) <= _LONGEST else None
        if read:
            return str(read)
    point = _POINT_WORDS[language]
    if language in ("pl", "cs"):
        zeros = len(digits) - len(digits.lstrip("0"))
        words = [cardinal("0", language)] * zeros + ([cardinal(digits, language)] if digits.strip("0") else [])
        return " ".join([first, point, *words])
    return f"{first} {point} {_each(digits, language)}"


def _each(digits: str, language: str) -> str:
    return " ".join(_speller(language)(int(digit)) for digit in digits)


# --- currency ---


@dataclass(frozen=True, slots=True)
class _Currency:
    """Names of a currency: one, more, a hundredth, hundredths; `few` where a language has such a plural."""

    one: str
    more: str
    cent: str
    cents: str
    few: str = ""
    cents_few: str = ""


def _named(text: str) -> _Currency:
    return _Currency(*text.split(", "))


_CURRENCIES: dict[str, dict[str, _Currency]] = {
    "en": {
        "£": _named("pound sterling, pounds sterling, penny, pence"),
        "$": _named("dollar, dollars, cent, cents"),
        "€": _named("euro, euro, cent, cents"),
    },
    "es": {
        "£": _named("libra, libras, penique, peniques"),
        "$": _named("dólar, dólares, centavo, centavos"),
        "€": _named("euro, euros, céntimo, céntimos"),
    },
    "fr": {
        "£": _named("livre, livres, penny, pence"),
        "$": _named("dollar, dollars, cent, cents"),
        "€": _named("euro, euros, centime, centimes"),
    },
    "de": {
        "£": _named("Pfund, Pfund, Penny, Pence"),
        "$": _named("Dollar, Dollar, Cent, Cent"),
        "€": _named("Euro, Euro, Cent, Cent"),
    },
    "it": {
        "£": _named("sterlina, sterline, penny, penny"),
        "$": _named("dollaro, dollari, centesimo, centesimi"),
        "€": _named("euro, euro, centesimo, centesimi"),
    },
    "pt": {
        "£": _named("libra, libras, pence, pence"),
        "$": _named("dólar, dólares, cêntimo, cêntimos"),
        "€": _named("euro, euros, cêntimo, cêntimos"),
    },
    "nl": {
        "£": _named("pond, pond, penny, penny"),
        "$": _named("dollar, dollar, cent, cent"),
        "€": _named("euro, euro, cent, cent"),
    },
    "pl": {
        "$": _named("dolar amerykański, dolarów amerykańskich, cent, centów, dolary amerykańskie, centy"),
        "€": _named("euro, euro, cent, centów, euro, centy"),
    },
    "ru": {
        "$": _named("доллар, долларов, цент, центов, доллара, цента"),
        "€": _named("евро, евро, цент, центов, евро, цента"),
    },
    "cs": {"€": _named("euro, euro, cent, centů, euro, centy")},
    "hu": {
        "£": _named("pound sterling, pounds sterling, penny, pence"),
        "$": _named("dollar, dollars, cent, cents"),
        "€": _named("euro, euro, cent, cents"),
    },
    "ko": {"$": _named("달러, 달러, 센트, 센트")},
    "ar": {sign: _named("ريال, ريالاً, هللة, هللة, ريالات, هللات") for sign in "£$€"},
}
_JOINTS = {"es": " con ", "fr": " et ", "de": " und ", "pt": " e ", "it": " e ", "ko": " ", "ar": " و "}
_ONE = {"es": "un", "fr": "un", "de": "ein", "it": "un", "pt": "um", "nl": "één", "ru": "один", "pl": "jeden"}


def _expand_currency(text: str, language: str) -> str:
    """As the original, an amount that cannot be read, or of a currency that it has no words for, ends this step."""
    known = _CURRENCIES.get(language, {})
    for sign, pattern in _SIGNS.items():
        found = pattern.search(text)
        if found is None:
            continue
        if sign not in known or any(_amount(match) is None for match in pattern.findall(text)):
            return text
        text = pattern.sub(lambda match, names=known[sign]: _currency(match[0], language, names), text)  # type: ignore[misc]
    return text


def _amount(written: str) -> Decimal | None:
    digits = re.sub(r"[^0-9.]", "", written.replace(",", "."))
    readable = digits.count(".") <= 1 and len(digits.partition(".")[0]) <= _LONGEST
    return Decimal(digits) if readable else None


def _currency(written: str, language: str, names: _Currency) -> str:
    amount = _amount(written)
    assert amount is not None  # checked before
    whole, cents = divmod(int((amount * 100).quantize(Decimal(1), ROUND_HALF_UP)), 100)
    words = _counted(whole, language, names.one, names.few, names.more)
    if cents or language == "ko":
        words += _JOINTS.get(language, ", ") + _counted(cents, language, names.cent, names.cents_few, names.cents)
    return words


def _counted(n: int, language: str, one: str, few: str, many: str) -> str:
    noun = one if n == 1 else many
    if few:
        from tutortoietts.text.numerals import plural_slavic
        from tutortoietts.text.numerals.cs import plural as czech
        from tutortoietts.text.numerals.pl import plural as polish

        rule = {"ru": plural_slavic, "pl": polish, "cs": czech, "ar": _arabic_plural}[language]
        noun = rule(n, one, few, many)
    number = _ONE[language] if n == 1 and language in _ONE else cardinal(str(n), language)
    return f"{number}{noun}" if language == "ko" else f"{number} {noun}"


def _arabic_plural(n: int, one: str, few: str, many: str) -> str:
    return few if 3 <= n % 100 <= 10 else one if n in (1, 2) else many
