"""English number words, worded as the `inflect` package words them for the originals (it takes seconds to import).

Digits come in as strings and are never turned into one big int, so a number of any length is spoken: beyond
999 decillion (36 digits) it is read digit by digit.
"""

from __future__ import annotations

__all__ = ["cardinal", "ordinal", "year"]

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = (
    "thousand million billion trillion quadrillion quintillion sextillion septillion octillion nonillion decillion"
).split()
_IRREGULAR = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
MAX_DIGITS = 3 * (len(_SCALES) + 1)


def cardinal(digits: str, *, joiner: str = " ") -> str:
    """Read digits as a number, "1234567" "one million, two hundred thirty-four thousand, five hundred sixty-seven".

    `joiner` stands before the part below one hundred: " " or " and ".
    """
    return _words(digits, joiner=joiner)


def ordinal(digits: str) -> str:
    """Read digits "1234" (of "1234th") as an ordinal, "one thousand, two hundred and thirty-fourth"."""
    words = _words(digits, joiner=" and ")
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    return words[:cut] + _ordinal_word(words[cut:])


def year(number: int) -> str:
    """Read 1001..2999 as a year: 1984 "nineteen eighty-four", 2005 "two thousand five", 2100 "twenty-one hundred"."""
    century, rest = divmod(number, 100)
    if century == 20 and rest < 10:
        return _words(str(number), joiner=" ")
    if rest == 0:
        return f"{_below_hundred(century)} hundred"
    return f"{_below_hundred(century)} {'oh ' if rest < 10 else ''}{_below_hundred(rest)}"


def _words(digits: str, *, joiner: str) -> str:
    """Read a number; `joiner` stands before the part below one hundred: " " or " and "."""
    digits = digits.lstrip("0") or "0"
    if len(digits) > MAX_DIGITS:
        return " ".join(_ONES[int(digit)] for digit in digits)
    if digits == "0":
        return "zero"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [int(digits[i : i + 3]) for i in range(0, len(digits), 3)]
    last = groups.pop()
    scales = reversed(_SCALES[: len(groups)])
    parts = [f"{_below_thousand(g, joiner)} {scale}" for g, scale in zip(groups, scales, strict=True) if g]
    if last >= 100:
        parts.append(_below_thousand(last, joiner))
    words = ", ".join(parts)
    if 0 < last < 100:
        words += (joiner if words else "") + _below_hundred(last)
    return words


def _below_thousand(number: int, joiner: str) -> str:
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return _below_hundred(rest)
    return f"{_ONES[hundreds]} hundred" + (f"{joiner}{_below_hundred(rest)}" if rest else "")


def _below_hundred(number: int) -> str:
    if number < 20:
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")


def _ordinal_word(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    return f"{word[:-1]}ieth" if word.endswith("y") else f"{word}th"
