"""The options of a book, as they are kept in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tutortoietts.book.document import Metadata
from tutortoietts.book.master import loudness_preset
from tutortoietts.book.pauses import pauses_of
from tutortoietts.book.readers.options import ReadOptions
from tutortoietts.book.spoken import URLS
from tutortoietts.core.errors import OptionError

__all__ = ["BookOptions", "chapter_numbers", "read_metadata"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BookOptions:
    """Options for making a book from a document. All but `engine` are options of `book make`, with the same names.

    language: of the text, "" for what the document says, "auto" to find it; voice: the
    narrator; cast, lexicon, metadata, cover: files;
    chapters: "1-5,8", "" for all; credits: a template of {title}, {author}, {narrator} spoken first; rate: all speech
    that much faster; engine: the options with which the models were loaded and speak, so that `redo` can load them
    again.
    """

    voice: str = ""
    cast: str = ""
    lexicon: tuple[str, ...] = ()
    chapters: str = ""
    toc_depth: int = 2
    front: str = "auto"
    notes: str = "skip"
    alt: bool = False
    encoding: str = ""
    chapter_regex: str = ""
    audio_dir: str = ""
    headings: str = "speak"
    credits: str = ""
    pauses: str = "book"
    urls: str = "host"
    language: str = ""
    seed: int = 0
    same_repeats: bool = False
    retries: int = 2
    asr: str = "none"
    rate: float = 1.0
    loudness: str = "book"
    room_tone: bool = False
    metadata: str = ""
    cover: str = ""
    mark: bool = True
    engine: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reading()
        chapter_numbers(self.chapters)
        pauses_of(self.pauses)
        loudness_preset(self.loudness)
        _choice("--headings", self.headings, ("speak", "skip"))
        _choice("--urls", self.urls, URLS)
        if not 0 <= self.retries <= 20:
            raise OptionError(f"--retries is {self.retries}, outside 0..20")
        if not 0.5 <= self.rate <= 2:
            raise OptionError(f"--rate is {self.rate}, outside 0.5..2")
        if not 0 <= self.seed < 1 << 63:
            raise OptionError(f"--seed is {self.seed}, outside 0..2^63")

    def reading(self) -> ReadOptions:
        """Return the options of the readers."""
        names = [item.name for item in fields(ReadOptions)]
        return ReadOptions(**{name: getattr(self, name) for name in names})

    def to_json(self) -> dict[str, Any]:
        """Return the options as values that JSON can hold."""
        return {**asdict(self), "lexicon": list(self.lexicon)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BookOptions:
        """Return options that were kept; unknown ones, of a newer version, are left out."""
        known = {item.name for item in fields(cls)}
        kept = {name: value for name, value in values.items() if name in known}
        return cls(**{**kept, "lexicon": tuple(kept.get("lexicon", ()))})


def chapter_numbers(text: str) -> list[int] | None:
    """Return the chapters of "1-5,8", None for "". Raises OptionError for anything else."""
    if not text.strip():
        return None
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or int(first) < 1:
            raise OptionError(f"--chapters is {text!r}, must be like 1-5,8")
        end = int(last) if dash else int(first)
        if not int(first) <= end <= 100_000:
            raise OptionError(f"--chapters is {text!r}: {part.strip()!r} runs backwards or too far")
        numbers += range(int(first), end + 1)
    return numbers


def read_metadata(path: str, found: Metadata) -> Metadata:
    """Return `found` with the values of a JSON file on top. Raises OptionError for unknown names."""
    if not path:
        return found
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"--metadata {path} is no JSON file: {error}") from error
    known = {item.name: item.type for item in fields(Metadata)}
    if not isinstance(values, dict) or set(values) - set(known):
        raise OptionError(f"--metadata {path} must be an object with some of {', '.join(known)}")
    if isinstance(values.get("authors"), str):
        values["authors"] = [values["authors"]]
    return Metadata(**{**asdict(found), **values})


def _choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise OptionError(f"{name} is {value!r}, must be one of {', '.join(choices)}")
