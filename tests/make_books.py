"""Books with every oddity that readers meet, written by hand: our own text, fixed times, a few kilobytes each."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

XHTML = (
    '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"><head><title>t</title></head>'
)
CONTAINER = (
    '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="{opf}" media-type="application/oebps-package+xml"/></rootfiles></container>'
)


def page(body: str) -> str:
    """An XHTML page."""
    return f'<?xml version="1.0" encoding="utf-8"?>\n{XHTML}<body>{body}</body></html>'


def nav(entries: str) -> str:
    """A navigation document."""
    return page(f'<nav epub:type="toc"><ol>{entries}</ol></nav>')


def li(title: str, href: str, inner: str = "") -> str:
    """An entry of a navigation document."""
    return f'<li><a href="{href}">{title}</a>{f"<ol>{inner}</ol>" if inner else ""}</li>'


def ncx(points: Iterable[tuple[str, str]]) -> str:
    """An NCX, with playOrder the wrong way round."""
    points = list(points)
    inner = "".join(
        f'<navPoint id="n{i}" playOrder="{len(points) - i}"><navLabel><text>{title}</text></navLabel>'
        f'<content src="{src}"/></navPoint>'
        for i, (title, src) in enumerate(points)
    )
    return f'<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/" version="2005-1"><navMap>{inner}</navMap></ncx>'


def opf(
    items: Iterable[tuple[str, str, str, str]], spine: Iterable[str], *, version: str = "3.0", toc: str = "",
    metadata: str = "<dc:title>A Book</dc:title><dc:language>en</dc:language>", extra: str = "",
) -> str:  # fmt: skip
    """A package document; items: (id, href, media type, properties)."""
    manifest = "".join(
        f'<item id="{i}" href="{h}" media-type="{m}"{f" properties={p!r}" if p else ""}/>' for i, h, m, p in items
    )
    refs = "".join(f'<itemref idref="{name}"/>' if "<" not in name else name for name in spine)
    toc_of = f' toc="{toc}"' if toc else ""
    return (
        f'<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="{version}" unique-identifier="u">'
        f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="u">x</dc:identifier>{metadata}'
        f'<meta property="dcterms:modified">2020-01-01T00:00:00Z</meta></metadata>'
        f"<manifest>{manifest}</manifest><spine{toc_of}>{refs}</spine>{extra}</package>"
    )


def write_zip(path: Path, files: Mapping[str, str | bytes], *, stored: Iterable[str] = ("mimetype",)) -> Path:
    """A zip with fixed times; the files of `stored` are not compressed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return path


def epub(
    path: Path, pages: Mapping[str, str], *, contents: str | None = None,
    files: Mapping[str, str | bytes] | None = None, folder: str = "OEBPS/", **package: str,
) -> Path:  # fmt: skip
    """An EPUB 3 of `pages` (file name -> body) in that order; `contents`: entries of its nav, None for no nav."""
    items = [(f"p{i}", name, "application/xhtml+xml", "") for i, name in enumerate(pages)]
    everything: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER.format(opf=f"{folder}book.opf"),
    }
    if contents is not None:
        items.append(("nav", "nav.xhtml", "application/xhtml+xml", "nav"))
        everything[f"{folder}nav.xhtml"] = nav(contents)
    spine = [f"p{i}" for i in range(len(pages))]
    everything[f"{folder}book.opf"] = opf(items, spine, **package)
    for name, body in pages.items():
        everything[folder + name] = page(body)
    return write_zip(path, {**everything, **(files or {})})


def paragraphs(count: int, chapter: int = 1) -> str:
    """Paragraphs of two short sentences, none like another."""
    return "".join(f"<p>This is line {i} of chapter {chapter}. It has a second sentence too.</p>" for i in range(count))
