"""The one way in: a file of any known format to a `Document`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from tutortoietts.book.document import Document
from tutortoietts.book.readers.epub import read_epub
from tutortoietts.book.readers.options import ReadOptions
from tutortoietts.book.readers.pdf import read_pdf
from tutortoietts.book.readers.plain import read_plain
from tutortoietts.book.readers.ssml import parse_ssml, read_ssml
from tutortoietts.book.readers.web import read_docx, read_html, read_markdown
from tutortoietts.core.errors import BookError

__all__ = ["SUFFIXES", "read_document"]

SUFFIXES: dict[str, Callable[[Path, ReadOptions], Document]] = {
    ".epub": read_epub,
    ".txt": read_plain,
    ".text": read_plain,
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".html": read_html,
    ".htm": read_html,
    ".xhtml": read_html,
    ".docx": read_docx,
    ".ssml": read_ssml,
    ".pdf": read_pdf,
}
MOST_BYTES = 1 << 30


def read_document(path: str | os.PathLike[str], options: ReadOptions | None = None) -> Document:
    """Return the document at `path` ("-" reads text from stdin), by its ending, or by its first bytes if it has none.

    Raises BookError, naming the file and the remedy, when it is missing, damaged, protected or has nothing to read.
    """
    options = options or ReadOptions()
    if os.fspath(path) == "-":
        data = sys.stdin.buffer.read()
        if data.lstrip().startswith(b"<speak"):
            return parse_ssml(data, "stdin", options)
        return read_plain(Path("stdin"), options, data)
    path = Path(path)
    if not path.exists():
        raise BookError(f"no file at {path}: check the path")
    if not path.is_file():
        raise BookError(f"{path} is not a file: name one that ends in {', '.join(SUFFIXES)}")
    if path.stat().st_size == 0:
        raise BookError(f"{path} is empty (0 bytes)")
    if path.stat().st_size > MOST_BYTES:
        raise BookError(f"{path} has {path.stat().st_size >> 20} MB, over the limit of {MOST_BYTES >> 20}")
    return _reader(path)(path, options)


def _reader(path: Path) -> Callable[[Path, ReadOptions], Document]:
    if found := SUFFIXES.get(path.suffix.lower()):
        return found
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(b"PK\x03\x04") and b"application/epub+zip" in start:
        return read_epub
    if start.startswith(b"%PDF-"):
        return read_pdf
    if not path.suffix and b"\x00" not in start:
        return read_plain
    known = ", ".join(SUFFIXES)
    raise BookError(f"cannot tell the format of {path} from {path.suffix!r}: it must end in one of {known}")
