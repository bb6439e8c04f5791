"""The lines of `spoken_en.tsv`: a text and what a person says for it, with other readings that are right too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("spoken_en.tsv")
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r", "\\u00ad": "\u00ad"}


class Line(NamedTuple):
    kind: str
    language: str
    text: str
    spoken: tuple[str, ...]  # the first is ours


def lines() -> list[Line]:
    rows = FILE.read_text(encoding="utf-8").splitlines()[1:]
    found = []
    for row in rows:
        kind, language, text, spoken = row.split("\t")
        text = re.sub(r"\\(?:\\|n|r|u00ad)", lambda match: _ESCAPES[match[0]], text)
        found.append(Line(kind, language, text, tuple(spoken.split(" | "))))
    return found


def words(text: str) -> str:
    """Only what is heard: lower case, without marks, hyphens as spaces, one space."""
    text = text.lower().replace("’", "'").replace("-", " ")
    return " ".join(re.sub(r"(?<!\w)'|'(?!\w)|[^\w' ]", " ", text).split())
