"""Hungarian number words."""

from __future__ import annotations

from tutortoietts.text.numerals import groups

__all__ = ["cardinal", "decimal", "ordinal"]

_UNITS = " egy kettő három négy öt hat hét nyolc kilenc".split(" ")
_TENS = (" tizen huszon harminc negyven ötven hatvan hetven nyolcvan kilencven").split(" ")
_LARGE = ("", "ezer", "millió", "milliárd", "billió")


def cardinal(n: int, gender: str = "") -> str:
    """Spell a number; there are no genders."""
    if n == 0:
        return "nulla"
    parts: list[str] = []
    for power, value in groups(n):
        word = _thousand(value, inner=power > 0)
        parts.append("ezer" if power == 1 and value == 1 and n < 2000 else word + _LARGE[power])
    return ("-" if n > 2000 else "").join(parts)


def _thousand(n: int, inner: bool) -> str:
    """inner: before a larger word, "két"."""
    hundreds, rest = divmod(n, 100)
    word = ("" if hundreds == 1 else "két" if hundreds == 2 else _UNITS[hundreds]) + "száz" if hundreds else ""
    ten, unit = divmod(rest, 10)
    if unit:
        tail = _TENS[ten] + ("két" if inner and unit == 2 else _UNITS[unit])
    else:
        tail = {1: "tíz", 2: "húsz"}.get(ten, _TENS[ten])
    return word + tail


_PLACES = ("", "tized", "század", "ezred", "tízezred", "százezred", "milliomod")


def decimal(whole: int, digits: str) -> str | None:
    """Read a decimal as a fraction: "három egész tizennégy század". None for more than six digits."""
    digits = digits.rstrip("0") or "0"
    return f"{cardinal(whole)} egész {cardinal(int(digits))} {_PLACES[len(digits)]}" if len(digits) <= 6 else None


_ORDINALS = {
    "nulla": "nulladik", "egy": "egyedik", "kettő": "kettedik", "három": "harmadik", "négy": "negyedik",
    "öt": "ötödik", "hat": "hatodik", "hét": "hetedik", "nyolc": "nyolcadik", "kilenc": "kilencedik",
    "tíz": "tizedik", "húsz": "huszadik", "harminc": "harmincadik", "negyven": "negyvenedik", "ötven": "ötvenedik",
    "hatvan": "hatvanadik", "hetven": "hetvenedik", "nyolcvan": "nyolcvanadik", "kilencven": "kilencvenedik",
    "száz": "századik", "ezer": "ezredik", "millió": "milliomodik", "milliárd": "milliárdodik", "billió": "billiomodik",
}  # fmt: skip


def ordinal(n: int, gender: str = "") -> str:
    """Spell the n-th: "első", "második", "huszonegyedik"."""
    if n in (1, 2):
        return "első" if n == 1 else "második"
    word = cardinal(n)
    stem = max((stem for stem in _ORDINALS if word.endswith(stem)), key=len)
    return word.removesuffix(stem) + _ORDINALS[stem]
