"""Number words of the languages of XTTS, one module each, named by its code.

A module has `cardinal(n, gender)` and, where the language forms them, `ordinal(n, ...)`, for 0 <= n < `LIMIT`. Words
are as in running text, in the conventions that the public XTTS models were trained on.
"""

from __future__ import annotations

__all__ = ["LIMIT", "groups", "plural_slavic"]

LIMIT = 10**15


def groups(n: int, size: int = 1000) -> list[tuple[int, int]]:
    """Split a number into groups of digits: (power of `size`, value), the highest first, groups of zero left out."""
    found: list[tuple[int, int]] = []
    power = 0
    while n:
        n, value = divmod(n, size)
        if value:
            found.append((power, value))
        power += 1
    return found[::-1]


def plural_slavic(n: int, one: str, few: str, many: str) -> str:
    """Return the form of a noun that follows n in Russian; in Polish and Czech for n other than 21, 31, ..."""
    if n % 10 == 1 and n % 100 != 11:
        return one
    return few if 2 <= n % 10 <= 4 and not 12 <= n % 100 <= 14 else many
