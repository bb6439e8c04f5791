"""Plain text to a `Document`: paragraphs from blank lines or line ends, chapters from lines that look like headings."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

from tutortoietts.book.document import Block, Chapter, Document, Dropped
from tutortoietts.book.readers.body import INVISIBLE, is_ornament
from tutortoietts.book.readers.options import ReadOptions
from tutortoietts.core.errors import BookError, OptionError

__all__ = ["decode_text", "read_lines", "read_plain"]

_NUMERAL = r"(?:\d{1,3}|[IVXLC]{1,7}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_CHAPTER = re.compile(
    rf"(?:(?:chapter|part|book|canto|act|letter|stave)\s+(?:the\s+)?{_NUMERAL}\b.{{0,80}}|{_NUMERAL}"
    r"|(?:prologue|epilogue|preface|introduction|foreword|afterword)\.?)",
    re.IGNORECASE,
)
_ROMAN_LINE = re.compile(r"(?=[IVXLC])[IVXLC]{1,7}\.?")
_MARKED = re.compile(r"#{1,3}\s+(.*\S)\s*#*")
_GUTENBERG = re.compile(r"\*\*\*\s*(START|END) OF (?:THE|THIS) PROJECT GUTENBERG EBOOK.*?\*\*\*", re.IGNORECASE)
_HEAD_FIELD = re.compile(r"^(Title|Author|Language|Release date):\s*(.+)$", re.MULTILINE | re.IGNORECASE)
HARD_WRAP = (55, 85)
MOST_TITLE = 80


def decode_text(data: bytes, name: str, encoding: str = "") -> str:
    """Return the text of a file: by its byte order mark, as `encoding`, or as UTF-8.

    Raises BookError naming the first byte that is not UTF-8, OptionError for an unknown encoding.
    """
    for mark, own in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data.startswith(mark):
            return data[len(mark) :].decode(own, "replace")
    try:
        return data.decode(encoding or "utf-8")
    except LookupError:
        raise OptionError(f"--encoding {encoding!r} is not known: try latin-1, cp1252 or utf-16") from None
    except UnicodeDecodeError as error:
        remedy = "name its encoding: --encoding cp1252 (or latin-1, utf-16 ...)"
        raise BookError(
            f"{name} is not {encoding or 'UTF-8'}: byte {error.start} is {data[error.start]:#04x}; {remedy}"
        ) from None


def read_plain(path: Path, options: ReadOptions, data: bytes | None = None) -> Document:
    """Return the document in a text file, or in `data`. Raises BookError when it is not text, or empty."""
    text = decode_text(path.read_bytes() if data is None else data, str(path), options.encoding)
    if "\x00" in text:
        raise BookError(
            f"{path} is not a text file: it holds zero bytes; name an .epub, .html, .docx or .pdf by its ending"
        )
    document = Document(source=str(path), form="text")
    document.metadata.title = path.stem if data is None else ""
    body = _without_gutenberg(text.replace("\r\n", "\n").replace("\r", "\n"), document)
    read_lines(body, document, options)
    return document


def read_lines(text: str, document: Document, options: ReadOptions) -> None:
    """Add the chapters of `text` to `document`. Raises BookError when there is nothing to read."""
    pattern = _compiled(options.chapter_regex)
    paragraphs = _paragraphs(text)
    chapter = Chapter()
    document.chapters.append(chapter)
    number = 0
    for i, paragraph in enumerate(paragraphs):
        shown = " ".join(paragraph.translate(INVISIBLE).split())
        if not shown:
            continue
        title = _title(paragraph, pattern, i, paragraphs)
        if title is not None:
            chapter = Chapter(title=title)
            document.chapters.append(chapter)
            block = Block(kind="heading", text=title, level=1, number=number, element=f"paragraph {i + 1}")
            if title != shown:
                mark = shown.replace(title, "", 1).strip()
                document.dropped.append(Dropped(href="", element=block.element, text=mark, reason="mark of a heading"))
        elif is_ornament(shown):
            block = Block(kind="scene", text="", number=number, element=f"paragraph {i + 1}")
            document.dropped.append(Dropped(href="", element=block.element, text=shown, reason="scene break"))
        else:
            block = Block(kind="para", text=shown, number=number, element=f"paragraph {i + 1}")
        chapter.blocks.append(block)
        number += 1
    document.chapters = [chapter for chapter in document.chapters if chapter.blocks]
    if not any(block.text for block in document.blocks()):
        raise BookError(f"{document.source} holds no text to read")


def _compiled(expression: str) -> re.Pattern[str] | None:
    try:
        return re.compile(expression) if expression else None
    except re.error as error:
        raise OptionError(f"--chapter-regex {expression!r} is no regular expression: {error}") from None


def _without_gutenberg(text: str, document: Document) -> str:
    """The text between Project Gutenberg's marker lines; the licence around it is listed as left out."""
    marks = {match.group(1).upper(): match for match in _GUTENBERG.finditer(text)}
    if "START" not in marks:
        return text
    head = text[: marks["START"].end()]
    end = marks["END"].start() if "END" in marks and marks["END"].start() > len(head) else len(text)
    for match in _HEAD_FIELD.finditer(head):
        value = match.group(2).strip()
        if match.group(1).lower() == "title":
            document.metadata.title = value
        elif match.group(1).lower() == "author":
            document.metadata.authors = [value]
    for piece, where in ((head, "start"), (text[end:], "end")):
        if piece.strip():
            shown = " ".join(piece.split())
            document.dropped.append(Dropped(href="", element=where, text=shown, reason="Project Gutenberg's own text"))
    return text[len(head) : end]


def _paragraphs(text: str) -> list[str]:
    """Paragraphs: between blank lines if lines are hard-wrapped or blank lines are used, else one a line."""
    lines = text.split("\n")
    lengths = [len(line.rstrip()) for line in lines if line.strip()]
    if not lengths:
        return []
    blank = sum(1 for line in lines if not line.strip())
    full = statistics.median(lengths)
    wrapped = (
        len(lengths) > 1
        and max(lengths) < 200
        and HARD_WRAP[0] <= statistics.quantiles(lengths, n=4)[2] <= HARD_WRAP[1]
    )
    if not wrapped and (blank < 0.05 * len(lengths) or full > 200):
        return lines
    return [_joined(piece) for piece in re.split(r"\n[ \t\f]*(?:\n[ \t\f]*)+", text)] if wrapped else _stanzas(text)


def _stanzas(text: str) -> list[str]:
    """Text with blank lines but no fixed width: verse and dialogue keep their lines apart."""
    return [line for piece in re.split(r"\n\s*\n", text) for line in piece.split("\n")]


def _joined(paragraph: str) -> str:
    """Lines of a hard-wrapped paragraph as one; a word divided at a line end is put together."""
    return re.sub(r"(?<=[a-z])[-\u2010]\n\s*(?=[a-z])", "", paragraph)


def _title(paragraph: str, pattern: re.Pattern[str] | None, i: int, paragraphs: list[str]) -> str | None:
    shown = " ".join(paragraph.translate(INVISIBLE).split())
    if pattern is not None:
        return shown if pattern.search(shown) else None
    if marked := _MARKED.fullmatch(shown):
        return marked.group(1)
    if len(shown) > MOST_TITLE or shown.endswith((",", ";", ":", "?", "!", '"', "”")):
        return None
    if _ROMAN_LINE.fullmatch(shown):
        return shown if shown.rstrip(".") != "I" or _has_second(paragraphs, i) else None
    if shown.isdigit():
        return shown if len(shown) < 4 else None
    if _CHAPTER.fullmatch(shown):
        return shown
    letters = [char for char in shown if char.isalpha()]
    capitals = len(letters) > 3 and all(char.isupper() for char in letters) and not shown.endswith(".")
    return shown if capitals and len(shown.split()) <= 10 else None


def _has_second(paragraphs: list[str], i: int) -> bool:
    """True when a line "II" follows somewhere: a lone "I" is a word."""
    return any(paragraph.strip().rstrip(".") == "II" for paragraph in paragraphs[i + 1 :])
