"""English number words, with "and" and with commas between groups."""

from __future__ import annotations

from tutortoietts.text import numbers

__all__ = ["cardinal", "ordinal"]


def cardinal(n: int, gender: str = "") -> str:
    """Spell a number; there are no genders."""
    return numbers.cardinal(str(n), joiner=" and ")


def ordinal(n: int, gender: str = "") -> str:
    """Spell the n-th: "first", "twenty-first", "one hundredth"."""
    return numbers.ordinal(str(n))
