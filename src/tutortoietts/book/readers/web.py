"""HTML, Markdown and Word documents to a `Document`, all by way of HTML."""

from __future__ import annotations

import html
import zipfile
from pathlib import Path
from typing import Any

from tutortoietts.book.document import Chapter, Document, Dropped
from tutortoietts.book.needs import need
from tutortoietts.book.readers.body import BodyWalker, Rules
from tutortoietts.book.readers.options import ReadOptions
from tutortoietts.book.readers.plain import decode_text
from tutortoietts.book.readers.xml import local, parse_markup
from tutortoietts.core.errors import BookError

__all__ = ["read_docx", "read_html", "read_markdown"]


def read_html(path: Path, options: ReadOptions, data: bytes | None = None) -> Document:
    """Return the document in an HTML file. Raises BookError when there is nothing to read."""
    return _from_markup(path.read_bytes() if data is None else data, path, "html", options)


def read_markdown(path: Path, options: ReadOptions) -> Document:
    """Return the document in a Markdown file; a YAML head gives title and author."""
    markdown = need("markdown_it", "reading Markdown")
    text = decode_text(path.read_bytes(), str(path), options.encoding).replace("\r\n", "\n")
    head, text = _front_matter(text)
    body = markdown.MarkdownIt("commonmark").enable("table").render(text)
    document = _from_markup(f"<html><body>{body}</body></html>".encode(), path, "markdown", options)
    document.metadata.title = head.get("title", "") or document.metadata.title
    if head.get("author"):
        document.metadata.authors = [head["author"]]
    if head:
        shown = " ".join(f"{key}: {value}" for key, value in head.items())
        document.dropped.append(Dropped(href="", element="head", text=shown, reason="YAML head"))
    return document


def read_docx(path: Path, options: ReadOptions) -> Document:
    """Return the document in a Word file: headings by their styles, tables and lists in place."""
    docx = need("docx", "reading Word documents")
    try:
        source = docx.Document(str(path))
    except (KeyError, ValueError, zipfile.BadZipFile, docx.opc.exceptions.PackageNotFoundError) as error:
        raise BookError(f"{path} is no readable Word document ({error}): save it again as .docx") from error
    body = "".join(_docx_block(docx, item) for item in source.iter_inner_content())
    document = _from_markup(f"<html><body>{body}</body></html>".encode(), path, "docx", options)
    core = source.core_properties
    document.metadata.title = core.title or document.metadata.title
    document.metadata.authors = [core.author] if core.author and core.author != "python-docx" else []
    document.metadata.language = core.language or ""
    return document


def _from_markup(data: bytes, path: Path, form: str, options: ReadOptions) -> Document:
    document = Document(source=str(path), form=form)
    root, document.warnings = parse_markup(data, path.name)
    title = next((e for e in root.iter() if local(e) == "title" and e.text), None)
    document.metadata.title = " ".join(title.text.split()) if title is not None else path.stem
    document.metadata.language = root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or ""
    body = next((e for e in root.iter() if local(e) == "body"), root)
    walker = BodyWalker("", Rules(alt=options.alt))
    walker.run(body)
    document.dropped = walker.dropped
    document.chapters = _by_headings(walker, options)
    notes = [block for blocks in walker.notes.values() for block in blocks]
    if options.notes == "skip":
        document.dropped += [Dropped(href="", element=b.element, text=b.text, reason="note") for b in notes]
    elif notes:
        document.chapters[-1:] = [*document.chapters[-1:], Chapter(title="Notes", blocks=notes)]
    if not any(block.text for block in document.blocks()):
        raise BookError(f"{path} holds no text to read")
    return document


def _by_headings(walker: BodyWalker, options: ReadOptions) -> list[Chapter]:
    """Chapters at headings; a first heading that stands alone above the others is the title of the text."""
    levels = [block.level for block in walker.blocks if block.kind == "heading"]
    top = min(levels, default=0)
    if levels.count(top) == 1 and len(set(levels)) > 1:
        top = sorted(set(levels))[1]
    deepest = top + options.toc_depth - 1
    chapters = [Chapter()]
    for block in walker.blocks:
        last = chapters[-1].blocks
        if block.kind == "heading" and block.level <= deepest and any(b.kind != "heading" for b in last):
            chapters.append(Chapter())
        if block.kind == "heading" and block.level <= deepest and not chapters[-1].title:
            chapters[-1].title, chapters[-1].depth = block.text, max(1, block.level - top + 1)
        elif block.kind == "heading" and block.level <= deepest:
            chapters[-1].title += f": {block.text}"
        chapters[-1].blocks.append(block)
    return [chapter for chapter in chapters if chapter.blocks]


def _front_matter(text: str) -> tuple[dict[str, str], str]:
    if not text.startswith("---\n") or (end := text.find("\n---\n", 4)) < 0:
        return {}, text
    lines = (line.partition(":") for line in text[4:end].split("\n") if ":" in line)
    return {key.strip().lower(): value.strip().strip("\"'") for key, _, value in lines}, text[end + 5 :]


def _docx_block(docx: Any, item: Any) -> str:
    if hasattr(item, "rows"):
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell.text)}</td>" for cell in _cells(row)) + "</tr>"
            for row in item.rows
        )
        return f"<table>{rows}</table>"
    text = html.escape(item.text).replace("\n", "<br/>")
    style = (item.style.name if item.style is not None else "") or ""
    if style.startswith("Heading ") and style[8:].isdigit():
        level = min(int(style[8:]), 6)
        return f"<h{level}>{text}</h{level}>"
    if style == "Title":
        return f"<h1>{text}</h1>"
    if style.startswith("List"):
        return f"<ul><li>{text}</li></ul>"
    return f"<blockquote>{text}</blockquote>" if "Quote" in style else f"<p>{text}</p>"


def _cells(row: Any) -> list[Any]:
    """The cells of a row, those that are merged once."""
    found: list[Any] = []
    for cell in row.cells:
        if not found or cell._tc is not found[-1]._tc:
            found.append(cell)
    return found
