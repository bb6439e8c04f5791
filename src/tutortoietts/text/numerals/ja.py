"""Japanese number words: in kanji, which the romaniser reads with a counter, and in Latin letters."""

from __future__ import annotations

from tutortoietts.text.numerals import groups

__all__ = ["cardinal", "day", "digits", "hour", "minute", "ordinal", "romaji"]

_DIGITS = "零一二三四五六七八九"
_UNITS = ("", "十", "百", "千")
_LARGE = ("", "万", "億", "兆")


def cardinal(n: int, gender: str = "") -> str:
    """Spell a number: 12345 as "一万二千三百四十五"."""
    if n == 0:
        return _DIGITS[0]
    return "".join(_ten_thousand(value) + _LARGE[power] for power, value in groups(n, 10000))


def _ten_thousand(n: int) -> str:
    word = ""
    for place, digit in enumerate(map(int, f"{n:04d}")):
        unit = _UNITS[3 - place]
        if digit:
            word += ("" if digit == 1 and unit else _DIGITS[digit]) + unit
    return word


def digits(text: str) -> str:
    """Read digits one by one."""
    return "".join(_DIGITS[int(char)] for char in text)


def ordinal(n: int, gender: str = "") -> str:
    """Spell the n-th: "第一"."""
    return f"第{cardinal(n)}"


_ROMAJI = "rei ichi ni san yon go roku nana hachi kyuu".split()
_HUNDREDS = {3: "sanbyaku", 6: "roppyaku", 8: "happyaku"}
_THOUSANDS = {3: "sanzen", 8: "hassen"}
_ROMAJI_LARGE = ("", "man", "oku", "chou")


def romaji(n: int) -> str:
    """Spell a number in Latin letters: 110 as "hyaku juu"."""
    if n == 0:
        return _ROMAJI[0]
    words: list[str] = []
    for power, value in groups(n, 10000):
        words += _romaji_below(value)
        if power:
            words.append(_ROMAJI_LARGE[power])
    return " ".join(words)


def _romaji_below(n: int) -> list[str]:
    thousands, hundreds, tens, units = map(int, f"{n:04d}")
    words = []
    if thousands:
        words.append(_THOUSANDS.get(thousands, f"{_ROMAJI[thousands] if thousands > 1 else ''}sen"))
    if hundreds:
        words.append(_HUNDREDS.get(hundreds, f"{_ROMAJI[hundreds] if hundreds > 1 else ''}hyaku"))
    if tens:
        words.append(f"{_ROMAJI[tens] if tens > 1 else ''}juu")
    if units:
        words.append(_ROMAJI[units])
    return words


def _with(n: int, units: dict[int, str], ending: str) -> str:
    """A number and its counter, where the last digit changes with it."""
    tens, unit = divmod(n, 10)
    if unit in units:
        before = f"{romaji(tens * 10)} " if tens else ""
        return f"{before}{units[unit]}"
    return f"{romaji(n)} {ending}"


def hour(n: int) -> str:
    """Read an hour of the day: "yoji", "juu ji"."""
    return _with(n, {4: "yoji", 7: "shichiji", 9: "kuji"}, "ji")


def minute(n: int) -> str:
    """Read minutes: "gofun", "sanjuppun"."""
    if n % 10 == 0 and n:
        return f"{_ROMAJI[n // 10] if n > 10 else ''}juppun"
    units = {1: "ippun", 2: "nifun", 3: "sanpun", 4: "yonpun", 5: "gofun", 6: "roppun", 7: "nanafun", 8: "happun",
             9: "kyuufun"}  # fmt: skip
    return _with(n, units, "fun")


_DAYS = {1: "tsuitachi", 2: "futsuka", 3: "mikka", 4: "yokka", 5: "itsuka", 6: "muika", 7: "nanoka", 8: "youka",
         9: "kokonoka", 10: "tooka", 14: "juu yokka", 20: "hatsuka", 24: "nijuu yokka"}  # fmt: skip


def day(n: int) -> str:
    """Read a day of the month: "mikka", "juu ichi nichi"."""
    return _DAYS.get(n, f"{romaji(n)} nichi")
