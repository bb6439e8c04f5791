"""Cleaners of text before it is tokenized.

"english": ASCII, lower case, numbers and abbreviations in words, single spaces, no
double quotes. "basic", for other languages: lower case and single spaces. Both first drop control characters.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Callable

from tutortoietts.core.errors import OptionError
from tutortoietts.text.numbers import cardinal, ordinal, year
from tutortoietts.text.transliterate import describe, to_ascii

__all__ = [
    "CLEANERS",
    "Cleaner",
    "cleaner",
    "collapse_whitespace",
    "drop_controls",
    "expand_abbreviations",
    "expand_numbers",
    "is_sayable",
]

_log = logging.getLogger(__name__)

Cleaner = Callable[[str], str]

ABBREVIATIONS = {
    "mrs": "misess",
    "mr": "mister",
    "dr": "doctor",
    "st": "saint",
    "co": "company",
    "jr": "junior",
    "maj": "major",
    "gen": "general",
    "drs": "doctors",
    "rev": "reverend",
    "lt": "lieutenant",
    "hon": "honorable",
    "sgt": "sergeant",
    "capt": "captain",
    "esq": "esquire",
    "ltd": "limited",
    "col": "colonel",
    "ft": "fort",
}
_ABBREVIATION = re.compile(rf"\b({'|'.join(ABBREVIATIONS)})\.", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]")
_COMMAS = re.compile(r"[0-9][0-9,]+[0-9]")
_POUNDS = re.compile(r"£([0-9,]*[0-9]+)")
_DOLLARS = re.compile(r"\$([0-9.,]*[0-9]+)")
_DECIMAL = re.compile(r"(?<![0-9])([0-9]+)\.([0-9]+)")  # the look-behind keeps long runs of digits linear
_ORDINAL = re.compile(r"(?<![0-9])([0-9]+)(?:st|nd|rd|th)")
_NUMBER = re.compile(r"[0-9]+")


def clean_english(text: str) -> str:
    """Clean text of any script for an English tokenizer -> lower-case ASCII in words."""
    text = to_ascii(drop_controls(text)).lower()
    text = expand_abbreviations(expand_numbers(text))
    return collapse_whitespace(text).replace('"', "")


def clean_basic(text: str) -> str:
    """Clean text for tokenizers of other alphabets: lower case and single spaces."""
    return collapse_whitespace(drop_controls(text).lower())


CLEANERS: dict[str, Cleaner] = {"basic": clean_basic, "english": clean_english}


def cleaner(name: str) -> Cleaner:
    """Return the cleaner of this name. Raises OptionError for names other than "english" and "basic"."""
    if name not in CLEANERS:
        raise OptionError(f"unknown cleaner {name!r}: use one of {', '.join(sorted(CLEANERS))}")
    return CLEANERS[name]


def collapse_whitespace(text: str) -> str:
    """Replace every run of whitespace by one space."""
    return re.sub(r"\s+", " ", text)


def drop_controls(text: str) -> str:
    """Drop control characters (such as NUL) and unpaired surrogates; they are named in the log."""
    found = dict.fromkeys(_CONTROL.findall(text))
    if found:
        _log.warning("dropped control characters: %s", describe(found))
        text = _CONTROL.sub("", text)
    return text


def expand_abbreviations(text: str) -> str:
    """Replace abbreviated titles by words, in any case: "dr. smith" -> "doctor smith"."""
    return _ABBREVIATION.sub(lambda match: ABBREVIATIONS[match[1].lower()], text)


def expand_numbers(text: str) -> str:
    """Replace numbers, years, ordinals and amounts in £ and $ by English words."""
    text = _COMMAS.sub(lambda match: match[0].replace(",", ""), text)
    text = _POUNDS.sub(r"\1 pounds", text)
    text = _DOLLARS.sub(_dollars, text)
    text = _DECIMAL.sub(r"\1 point \2", text)
    text = _ORDINAL.sub(lambda match: ordinal(match[1]), text)
    return _NUMBER.sub(lambda match: _number(match[0]), text)


def _number(digits: str) -> str:
    short = digits.lstrip("0")
    if len(short) == 4 and 1000 < int(short) < 3000:
        return year(int(short))
    return cardinal(digits)


def _dollars(match: re.Match[str]) -> str:
    """Read "$3.50" as "3 dollars, 50 cents"; digits after the dot are read as an integer number of cents."""
    parts = match[1].replace(",", "").split(".")
    if len(parts) > 2:
        return f"{match[1]} dollars"
    dollars, cents = (part.lstrip("0") for part in (*parts, "")[:2])
    amounts = [
        f"{amount} {unit if amount == '1' else unit + 's'}"
        for amount, unit in ((dollars, "dollar"), (cents, "cent"))
        if amount
    ]
    return ", ".join(amounts) or "zero dollars"


def is_sayable(text: str) -> bool:
    """Return True if there is anything to say: a letter or a digit of any script."""
    return any(unicodedata.category(char)[0] in "LN" for char in text)
