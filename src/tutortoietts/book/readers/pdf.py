"""PDF text to a `Document`: repeated heads, feet and page numbers out, divided words joined, lines made paragraphs."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from tutortoietts.book.document import Document, Dropped
from tutortoietts.book.needs import need
from tutortoietts.book.readers.options import ReadOptions
from tutortoietts.book.readers.plain import read_lines
from tutortoietts.core.errors import BookError

__all__ = ["read_pdf"]

MARGIN_LINES = 2
_DIVIDED = re.compile(r"(\w+)[-\u2010\u00ad]\n\s*(\w+)")


def read_pdf(path: Path, options: ReadOptions) -> Document:
    """Return the document in a PDF that has text. Raises BookError when it is damaged, protected, or only pictures."""
    pypdf = need("pypdf", "reading PDF")
    try:
        reader = pypdf.PdfReader(str(path))
        if reader.is_encrypted and not reader.decrypt(""):
            raise BookError(f"{path} is protected by a password: save it without one")
        pages = [page.extract_text() or "" for page in reader.pages]
        info = reader.metadata or {}
    except BookError:
        raise
    except Exception as error:  # pypdf raises whatever its parsing meets
        raise BookError(f"{path} is no readable PDF ({type(error).__name__}: {error}): save it again") from error
    if not any(page.strip() for page in pages):
        raise BookError(f"{path} is scanned, it holds pictures of {len(pages)} pages and no text: OCR it first")
    document = Document(source=str(path), form="pdf")
    document.metadata.title = str(info.get("/Title") or "") or path.stem
    document.metadata.authors = [str(info.get("/Author"))] if info.get("/Author") else []
    empty = sum(1 for page in pages if not page.strip())
    if empty:
        document.warn(f"{empty} of {len(pages)} pages have no text: pictures are not read")
    text = "\n".join(_without_margins(pages, document))
    read_lines(_paragraphs(_undivided(text)), document, options)
    return document


def _without_margins(pages: list[str], document: Document) -> list[str]:
    """The pages without the lines at their top and bottom that are page numbers or come again on other pages."""
    lines = [[line.strip() for line in page.split("\n") if line.strip()] for page in pages]
    seen = Counter(key for page in lines for key in {_key(line) for line in _margins(page)})
    often = max(3, 0.3 * len(pages))
    kept = []
    for number, page in enumerate(lines, 1):
        body = list(page)
        for end in (0, -1):
            for _ in range(MARGIN_LINES):
                if not body or not (_is_number(body[end]) or seen[_key(body[end])] >= often):
                    break
                line = body.pop(end)
                document.dropped.append(
                    Dropped(href="", element=f"page {number}", text=line, reason="head, foot or number of a page")
                )
        kept.append("\n".join(body))
    return kept


def _margins(page: list[str]) -> list[str]:
    return page[:MARGIN_LINES] + page[-MARGIN_LINES:]


def _key(line: str) -> str:
    return re.sub(r"\d+|\b[ivxlc]+\b", "#", line.lower())


def _is_number(line: str) -> bool:
    return bool(re.fullmatch(r"[-\u2013\u2014\s]*(\d{1,4}|[ivxlc]{1,7})[-\u2013\u2014\s]*", line))


def _undivided(text: str) -> str:
    """Words divided at line ends put together where the whole word occurs elsewhere or the rest is in lower case."""
    words = {word.lower() for word in re.findall(r"\w+", text)}
    hyphened = {word.lower() for word in re.findall(r"\w+-\w+", text)}

    def join(match: re.Match[str]) -> str:
        first, rest = match.groups()
        whole = (first + rest).lower()
        if whole not in words and (f"{first}-{rest}".lower() in hyphened or not rest[0].islower()):
            return f"{first}-{rest}"
        return first + rest

    return _DIVIDED.sub(join, text)


def _paragraphs(text: str) -> str:
    """Lines joined into paragraphs: one ends where a line stops short of the others after the end of a sentence."""
    lines = text.split("\n")
    widths = sorted(len(line) for line in lines if line.strip())
    full = widths[int(0.8 * (len(widths) - 1))] if widths else 0
    out: list[str] = []
    for i, line in enumerate(lines):
        out.append(line)
        ends = line.rstrip().endswith((".", "!", "?", '"', "\u201d", "\u2019", ":"))
        short = len(line) < 0.85 * full
        after = lines[i + 1].strip() if i + 1 < len(lines) else ""
        title = short and len(line) < 60 and after[:1].isupper() and not ends and not line.rstrip().endswith(",")
        out.append("\n\n" if (short and ends) or title else "\n")
    return _one_line_each("".join(out))


def _one_line_each(text: str) -> str:
    """One paragraph a line, as plain text that is not hard-wrapped has them."""
    return "\n".join(" ".join(piece.split()) for piece in text.split("\n\n") if piece.strip())
