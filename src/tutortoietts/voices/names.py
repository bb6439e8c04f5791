"""Names of voices that a user may type: a name, a path, or a mix such as "anna+ben" or "anna*2+ben"."""

from __future__ import annotations

import math
import re
import unicodedata

from tutortoietts.core.errors import VoiceError

__all__ = ["RANDOM", "check_name", "is_path", "parse_mix"]

RANDOM = "random"
MAX_NAME = 64
_NAME = re.compile(r"\w(?:[\w .-]*[\w-])?")


def check_name(name: str) -> str:
    """Return the name in Unicode's composed form, safe as a file name on every system and in a mix.

    Raises VoiceError for an empty or too long name, for characters other than letters, digits, space, '_', '-' and
    inner dots, and for "random", which is reserved.
    """
    name = unicodedata.normalize("NFC", name)
    if not 1 <= len(name) <= MAX_NAME:
        raise VoiceError(f"a voice name of {len(name)} characters, must be 1 to {MAX_NAME}")
    if not _NAME.fullmatch(name):
        raise VoiceError(f"{name!r} cannot name a voice: use letters, digits, '_', '-' and inner spaces or dots")
    if name.lower() == RANDOM:
        raise VoiceError(f"{name!r} cannot name a voice, it asks for a random one: choose another name")
    return name


def is_path(text: str) -> bool:
    """Return True if the text is a path: it contains a separator or starts as paths do."""
    return "/" in text or "\\" in text or text.startswith(("~", "."))


def parse_mix(spec: str) -> list[tuple[str, float]]:
    """Parse a mix into names and weights: "anna*2+ben" -> [("anna", 2.0), ("ben", 1.0)]; a plain name is a mix of one.

    Raises VoiceError for empty terms and for weights that are not positive numbers.
    """
    terms = []
    for term in spec.split("+"):
        name, star, factor = term.strip().partition("*")
        name = name.strip()
        try:
            weight = float(factor) if star else 1.0
        except ValueError:
            weight = math.nan
        if not name:
            raise VoiceError(f"voice {spec!r} has an empty name: write NAME, or a mix such as anna+ben or anna*2+ben")
        if not 0 < weight < math.inf:
            raise VoiceError(f"voice {spec!r} gives {name} the weight {factor!r}, must be a number above 0")
        terms.append((name, weight))
    return terms
