"""File names from titles."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["file_name"]

_ILLEGAL = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]+')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
MOST_CHARACTERS = 80


def file_name(title: str, taken: set[str]) -> str:
    """Return a file name for a title: legal everywhere, at most 80 characters, not in `taken`, to which it is added."""
    name = " ".join(_ILLEGAL.sub(" ", unicodedata.normalize("NFC", title)).split()).strip(". ")
    if len(name) > MOST_CHARACTERS:
        name = name[:MOST_CHARACTERS].rsplit(" ", 1)[0].rstrip(". ,;:-")
    while len(name.encode("utf-8")) > 200:
        name = name[:-1]
    name = name or "Untitled"
    if _RESERVED.fullmatch(name):
        name = f"{name}_"
    unique, number = name, 2
    while unique.lower() in taken:
        unique, number = f"{name} ({number})", number + 1
    taken.add(unique.lower())
    return unique
