"""English number words of the natural normaliser, and its tables."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from tutortoietts.text import numbers

__all__ = ["LEFT", "MAGNITUDES", "NUMBER", "Numbers", "roman", "spelled", "table"]

# A number as people write it: 1,234.56 | 1.234.567 | 1.234,56 | 1 000 000 | 22,1 | 3.14 | .5
NUMBER = (
    r"(?:[0-9]{1,3}(?:,[0-9]{3}){1,12}(?![0-9])(?:\.[0-9]{1,40}(?![0-9]))?"
    r"|[0-9]{1,3}(?:'[0-9]{3}){1,12}(?![0-9'])"
    r"|[0-9]{1,3}(?:\.[0-9]{3}){2,12}(?![0-9.])(?:,[0-9]{1,9})?"
    r"|[0-9]{1,3}(?:\.[0-9]{3}){1,12},[0-9]{1,2}(?![0-9])"
    r"|[0-9]{1,3}(?: [0-9]{3}){2,12}(?![0-9])"
    r"|[0-9]{1,40},(?:[0-9]{1,2}|[0-9]{4,9})(?![0-9]|,[0-9])"
    r"|[0-9]{1,60}(?![0-9])(?:\.[0-9]{1,60}(?![0-9]))?"
    r"|\.[0-9]{1,60}(?![0-9]))"
)
LEFT = r"(?<![\w])(?<![0-9][.,])"
MAGNITUDES = {
    "k": "thousand",
    "K": "thousand",
    "m": "million",
    "M": "million",
    "mn": "million",
    "mil": "million",
    "mio": "million",
    "MM": "million",
    "b": "billion",
    "B": "billion",
    "bn": "billion",
    "Bn": "billion",
    "t": "trillion",
    "T": "trillion",
    "tn": "trillion",
    "trn": "trillion",
}
_LONGEST_CARDINAL = 15
_ROMAN = re.compile(r"M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


@cache
def table(name: str) -> Any:
    """Return a data file of this folder: a JSON value."""
    return json.loads(files(__package__).joinpath(f"{name}.json").read_text(encoding="utf-8"))


class Numbers:
    """Number words; `british` puts "and" before the part below one hundred."""

    def __init__(self, british: bool = False) -> None:
        self._joiner = " and " if british else " "

    def cardinal(self, digits: str) -> str:
        """Read digits as a number, "one thousand two hundred thirty-four"; very many of them one by one."""
        if len(digits.lstrip("0")) > _LONGEST_CARDINAL:
            return self.digits(digits)
        return numbers.cardinal(digits, joiner=self._joiner).replace(",", "")

    def ordinal(self, digits: str) -> str:
        """Read digits as an ordinal, "twenty-second"."""
        words = numbers.ordinal(digits).replace(",", "")
        return words if self._joiner != " " else words.replace(" and ", " ")

    def year(self, digits: str) -> str:
        """Read digits as a year, "nineteen eighty-four"; other lengths than four as a cardinal."""
        number = int(digits)
        if (len(digits) == 4 and 1100 <= number < 3000 and number not in (2000,)) or 1010 <= number < 1100:
            words = numbers.year(number)
            return words.replace(" thousand ", " thousand" + self._joiner) if 2000 < number < 2010 else words
        return self.cardinal(digits)

    def digits(self, digits: str) -> str:
        """Read digits one by one, "007" as "zero zero seven"; other characters are left out."""
        return " ".join(numbers.cardinal(digit) for digit in digits if digit.isdigit())

    def pairs(self, digits: str) -> str:
        """Read a number that is a name as people say it: "101" "one oh one", "747" "seven forty-seven", "1600"."""
        if digits.startswith("0") or len(digits) > 4 or len(digits) < 3:
            return self.digits(digits) if digits.startswith("0") or len(digits) > 4 else self.cardinal(digits)
        head, tail = digits[:-2], digits[-2:]
        if tail == "00":
            return self.cardinal(digits) if head.endswith("0") else f"{self.cardinal(head)} hundred"
        return f"{self.cardinal(head)} {'oh ' if tail[0] == '0' else ''}{self.cardinal(tail)}"

    def decimal(self, whole: str, fraction: str) -> str:
        """Read ("3", "14") as "three point one four"; an empty integer part is not said."""
        return f"{self.cardinal(whole) + ' ' if whole else ''}point {self.digits(fraction)}"

    def number(self, written: str) -> str:
        """Read a match of NUMBER."""
        whole, fraction = split_number(written)
        if fraction:
            return self.decimal(whole, fraction)
        if len(whole) > 1 and whole.startswith("0"):
            return self.digits(whole)
        return self.cardinal(whole)


def split_number(written: str) -> tuple[str, str]:
    """Split digits before and after the decimal mark, whichever it is: "1.234,50" -> ("1234", "50")."""
    written = written.replace(" ", "").replace("'", "")
    comma, dot = written.rfind(","), written.rfind(".")
    if comma >= 0 and dot >= 0:
        mark = max(comma, dot)
    elif written.count(",") + written.count(".") > 1:
        mark = -1
    elif comma >= 0:
        mark = -1 if len(written) - comma == 4 else comma
    else:
        mark = dot
    if mark < 0:
        return re.sub(r"[.,]", "", written), ""
    return re.sub(r"[.,]", "", written[:mark]), written[mark + 1 :]


def spelled(letters: str) -> str:
    """Spell letters: "FBI" as "f b i"."""
    return " ".join(letters.lower())


def roman(letters: str) -> int:
    """Return the value of a well-formed roman numeral in capitals, else 0."""
    if not letters or len(letters) > 15 or not _ROMAN.fullmatch(letters):
        return 0
    values = [_ROMAN_VALUES[letter] for letter in letters]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))
