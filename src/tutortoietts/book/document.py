"""The content of a document, whatever its format: chapters of blocks, and an account of what was left out.

Every block keeps where its text came from (file, element, position), so that it can be found again for overlays and
edits. Nothing leaves the text without a `Dropped` record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["KINDS", "Alias", "Block", "Chapter", "Document", "Dropped", "Metadata"]

KINDS = ("heading", "para", "quote", "verse", "item", "row", "figure", "scene", "note", "code")


@dataclass(frozen=True, slots=True)
class Alias:
    """Characters start..end of a block's text are said as `spoken`."""

    start: int
    end: int
    spoken: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A stretch of text that stands on its own: a heading, a paragraph, a line of verse.

    `text` has single spaces; "" for a scene break. `level` is that of a heading, 0 otherwise. `href` names the file in
    the document, `element` the path of the element in it, `number` the position of the block in the file.

    Of markup: `voice` in place of the narrator's, `rate`, `volume` (dB), `pause` (seconds after it, None: the usual),
    `aliases`, the name of a `mark` before it, and `audio`, a sound file that is heard in place of the text.
    `languages`: (start, end, tag) of stretches of the text in another `language` than the rest.
    """

    kind: str
    text: str
    level: int = 0
    href: str = ""
    element: str = ""
    number: int = 0
    language: str = ""
    languages: tuple[tuple[int, int, str], ...] = ()
    voice: str = ""
    rate: float = 1.0
    volume: float = 0.0
    pause: float | None = None
    aliases: tuple[Alias, ...] = ()
    mark: str = ""
    audio: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Text of the source that is not spoken, and the reason."""

    href: str
    element: str
    text: str
    reason: str


@dataclass(slots=True, kw_only=True)
class Chapter:
    """A chapter: its title ("" when unknown), the depth of its entry in the contents (from 1), and its blocks."""

    title: str = ""
    depth: int = 1
    blocks: list[Block] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Metadata:
    """Bibliographic data; "" or empty where the document says nothing."""

    title: str = ""
    authors: list[str] = field(default_factory=list)
    language: str = ""
    date: str = ""
    publisher: str = ""
    description: str = ""
    series: str = ""
    series_index: str = ""
    isbn: str = ""
    rights: str = ""


@dataclass(slots=True, kw_only=True)
class Document:
    """A document as read: what is spoken, what is not and why, and what the reader should be warned of."""

    source: str
    form: str
    metadata: Metadata = field(default_factory=Metadata)
    chapters: list[Chapter] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    cover: bytes = b""
    lexicons: dict[str, bytes] = field(default_factory=dict)

    def blocks(self) -> Iterator[Block]:
        """Return all blocks in reading order."""
        for chapter in self.chapters:
            yield from chapter.blocks

    def warn(self, line: str) -> None:
        """Add a warning, once."""
        if line not in self.warnings:
            self.warnings.append(line)
