"""EPUB 3 with media overlays: the book's own pages, every spoken sentence (or word) in a span that the sound names.

Other markup is left as it is; an element is split only where a sentence crosses its border. EPUB 2 becomes EPUB 3.
"""

from __future__ import annotations

import html
import posixpath
import secrets
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutortoietts.book.export.material import Material, part_file, write_chapters
from tutortoietts.book.export.wrap import Span, grouped, wrap
from tutortoietts.book.needs import need
from tutortoietts.book.readers.archive import Archive
from tutortoietts.book.readers.body import BodyWalker
from tutortoietts.book.readers.epub import Spine, read_spine
from tutortoietts.book.readers.package import Entry, Package
from tutortoietts.book.readers.xml import XHTML, local, parse_xml
from tutortoietts.book.timeline import Chapter, Placed
from tutortoietts.core.errors import OutputError

__all__ = ["write_overlay"]

NO_DATE = "2000-01-01T00:00:00Z"  # equal books give equal bytes
ACTIVE = "-epub-media-overlay-active"
SHEET = "tt-overlay.css"
STYLE = f".{ACTIVE} {{ background-color: #ffe08a; color: #000; }}\n"
OPS = "http://www.idpf.org/2007/ops"
OPF = "http://www.idpf.org/2007/opf"
DC = "http://purl.org/dc/elements/1.1/"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Par:
    """A span of a page and its stretch of a chapter's sound, in seconds."""

    id: str
    audio: str
    begin: float
    end: float


@dataclass(slots=True)
class _Page:
    """A spoken page: its spans, and their pars in reading order."""

    name: str
    spans: list[Span] = field(default_factory=list)
    pars: list[_Par] = field(default_factory=list)


def write_overlay(material: Material, path: Path) -> None:
    """Write the EPUB with overlays. Raises OutputError unless the source is an EPUB."""
    if material.book.document.form != "epub":
        raise OutputError(f"{path}: only an EPUB can be read along; {material.book.source} is none")
    with part_file(path) as part, Archive(material.book.source) as archive:
        spine = read_spine(archive, material.book.options.reading())
        audio = _sounds(material, part.parent)
        try:
            pages = _pages(material, spine, archive)
            _write(material, archive, spine, pages, audio, part)
        finally:
            for sound in audio.values():
                sound.unlink(missing_ok=True)


def _sounds(material: Material, folder: Path) -> dict[str, Path]:
    """The chapters as mp3 files for the time being: name in the book -> file."""
    found = {}
    for chapter in material.timeline.chapters:
        sound = folder / f".part-{secrets.token_hex(4)}.mp3"
        write_chapters(material, sound, [chapter], material.comment(), suffix=".mp3", marks=False)
        found[_audio_name(chapter)] = sound
    return found


def _audio_name(chapter: Chapter) -> str:
    return f"tt-audio/c{chapter.number + 1:03d}.mp3"


def _pages(material: Material, spine: Spine, archive: Archive) -> dict[str, _Page]:
    """The spans and pars of every page that is spoken."""
    walks = {item.name: spine.walk(archive, item, trace=True) for item, _ in spine.trees}
    pages: dict[str, _Page] = {}
    for chapter in material.timeline.chapters:
        for placed in chapter.segments:
            walk = walks.get(placed.segment.href)
            if walk is not None:
                page = pages.setdefault(placed.segment.href, _Page(placed.segment.href))
                _add(material, page, walk, chapter, placed)
    return pages


def _add(material: Material, page: _Page, walk: BodyWalker, chapter: Chapter, placed: Placed) -> None:
    """Add the spans of a segment: one for the sentence, or one a word."""
    segment, rate = placed.segment, material.timeline.sample_rate
    places = walk.traces.get(segment.block)
    if places is None:
        return
    whole = (segment.start, segment.end, placed.start / rate, placed.end / rate)
    stretches = [whole]
    if material.choices.words and not segment.original:
        words = material.words(placed)
        stretches = [(segment.start + w.chars[0], segment.start + w.chars[1], w.start, w.end) for w in words]
    for number, (start, end, begin, stop) in enumerate(stretches):
        name = f"tt-{segment.id}" + (f"-{number + 1}" if len(stretches) > 1 else "")
        pieces = grouped(places[start:end])
        total = sum(len(piece) for piece in pieces)
        at = begin
        for i, piece in enumerate(pieces):
            own = name if i == 0 else f"{name}-{chr(97 + (i - 1) % 26)}{i // 26 or ''}"
            until = stop if i + 1 == len(pieces) else at + (stop - begin) * len(piece) / max(total, 1)
            page.spans.append(Span(own, piece))
            page.pars.append(_Par(id=own, audio=_audio_name(chapter), begin=at, end=until))
            at = until


def _write(
    material: Material, archive: Archive, spine: Spine, pages: dict[str, _Page], audio: dict[str, Path], part: Path
) -> None:
    package = spine.package
    folder = package.name.rpartition("/")[0]
    prefix = f"{folder}/" if folder else ""
    changed: dict[str, bytes] = {}
    smils: dict[str, str] = {}
    for item, root in spine.trees:
        page = pages.get(item.name)
        if page is not None:
            wrap(root, page.spans)
            changed[item.name] = _page_bytes(
                root, posixpath.relpath(f"{prefix}{SHEET}", posixpath.dirname(item.name) or ".")
            )
            smil = f"tt-smil/{len(smils) + 1:03d}.smil"
            smils[item.id] = smil
            changed[prefix + smil] = _smil(page, prefix, folder).encode("utf-8")
    changed[f"{prefix}{SHEET}"] = STYLE.encode("utf-8")
    if not package.nav:
        changed[f"{prefix}tt-nav.xhtml"] = _nav(material, spine.entries, folder).encode("utf-8")
    changed[package.name] = _opf(material, archive, package, smils, pages, audio)
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as target:
        _store(target, "mimetype", b"application/epub+zip")
        for name in archive.names():
            if name != "mimetype" and name not in changed:
                _deflate(target, name, archive.read(name, limit=1 << 29))
        for name, data in changed.items():
            _deflate(target, name, data)
        for name, sound in audio.items():
            info = zipfile.ZipInfo(prefix + name, (1980, 1, 1, 0, 0, 0))
            with sound.open("rb") as source, target.open(info, "w", force_zip64=True) as out:
                while block := source.read(1 << 20):
                    out.write(block)


def _store(target: zipfile.ZipFile, name: str, data: bytes) -> None:
    target.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_STORED)


def _deflate(target: zipfile.ZipFile, name: str, data: bytes) -> None:
    target.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)


def _page_bytes(root: Any, sheet: str) -> bytes:
    """The page as XHTML, with a link to the style sheet of what is being said."""
    etree = need("lxml.etree", "writing EPUB")
    if not root.tag.startswith("{"):  # it was read as HTML: put it into the namespace that EPUB asks for
        for element in root.iter():
            if isinstance(element.tag, str) and not element.tag.startswith("{"):
                element.tag = f"{{{XHTML}}}{element.tag}"
    head = next((element for element in root.iter() if local(element) == "head"), None)
    if head is not None:
        etree.SubElement(head, f"{{{XHTML}}}link", rel="stylesheet", type="text/css", href=sheet)
    text: bytes = etree.tostring(root, encoding="utf-8", xml_declaration=True, doctype="<!DOCTYPE html>")
    return text


def _smil(page: _Page, prefix: str, folder: str) -> str:
    """The overlay of one page; addresses are relative to the folder of the overlays."""
    up = "../"
    text = up + page.name[len(prefix) :] if page.name.startswith(prefix) else up * (folder.count("/") + 2) + page.name
    text = html.escape(text)
    lines = (
        f'<par id="par-{par.id}"><text src="{text}#{par.id}"/><audio src="{up}{par.audio}" '
        f'clipBegin="{_clip(par.begin)}" clipEnd="{_clip(par.end)}"/></par>'
        for par in page.pars
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<smil xmlns="http://www.w3.org/ns/SMIL" xmlns:epub="{OPS}" '
        f'version="3.0"><body><seq id="seq" epub:textref="{text}">\n' + "\n".join(lines) + "\n</seq></body></smil>\n"
    )


def _clip(seconds: float) -> str:
    return f"{seconds:.3f}s"


def _duration(page: _Page) -> float:
    return sum(round(par.end, 3) - round(par.begin, 3) for par in page.pars)


def _opf(
    material: Material, archive: Archive, package: Package, smils: dict[str, str], pages: dict[str, _Page],
    audio: Iterable[str],
) -> bytes:  # fmt: skip
    """The package with overlays, sounds, durations, and what EPUB 3 needs."""
    etree = need("lxml.etree", "writing EPUB")
    root = parse_xml(archive.read(package.name), package.name, named_entities=True)
    root.set("version", "3.0")
    metadata = next(e for e in root.iter() if local(e) == "metadata")
    manifest = next(e for e in root.iter() if local(e) == "manifest")
    for old in [e for e in metadata if local(e) == "meta" and (e.get("property") or "").startswith("media:")]:
        metadata.remove(old)
    modified = any(e.get("property") == "dcterms:modified" for e in metadata)
    for name in [e for e in root.iter() if local(e) in ("creator", "contributor", "date", "identifier")]:
        for attribute in [a for a in name.attrib if a.startswith(f"{{{OPF}}}")]:
            del name.attrib[attribute]
    by_name = {item.id: item.name for item in package.manifest.values()}
    seen: set[str] = set()
    for item in list(manifest):
        key = item.get("id", "")
        if not isinstance(item.tag, str):
            continue
        if key in smils and key not in seen:
            item.set("media-overlay", f"tt-overlay-{key}")
        seen.add(key)

    def meta(name: str, value: str, refines: str = "") -> None:
        element = etree.SubElement(metadata, f"{{{OPF}}}meta", property=name)
        if refines:
            element.set("refines", refines)
        element.text = value

    def add(key: str, href: str, kind: str, **more: str) -> None:
        etree.SubElement(manifest, f"{{{OPF}}}item", {"id": key, "href": href, "media-type": kind, **more})

    total = 0.0
    for key, smil in smils.items():
        add(f"tt-overlay-{key}", smil, "application/smil+xml")
        duration = _duration(pages[by_name[key]])
        total += duration
        meta("media:duration", _clip(duration), f"#tt-overlay-{key}")
    meta("media:duration", _clip(total))
    meta("media:active-class", ACTIVE)
    meta("media:narrator", material.book.options.voice or "synthetic voice")
    if material.terms:
        etree.SubElement(metadata, f"{{{DC}}}rights").text = f"Sound: {material.terms}"
    if not modified:
        meta("dcterms:modified", NO_DATE)
    for name in ("auditory", "textual"):
        meta("schema:accessMode", name)
    for number, name in enumerate(audio, 1):
        add(f"tt-audio-{number}", name, "audio/mpeg")
    add("tt-style", SHEET, "text/css")
    if not package.nav:
        add("tt-nav", "tt-nav.xhtml", "application/xhtml+xml", properties="nav")
    text: bytes = etree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _nav(material: Material, entries: list[Entry], folder: str) -> str:
    """A table of contents for a book that came without one of EPUB 3."""
    rows = [(entry.title, entry.name, entry.fragment) for entry in entries]
    if not rows:
        first = [(c.title, next((p.segment.href for p in c.segments), "")) for c in material.timeline.chapters]
        rows = [(title, name, "") for title, name in first if name and name != "credits"]
    lines = []
    for title, name, fragment in rows:
        href = html.escape(posixpath.relpath(name, folder or ".") + (f"#{fragment}" if fragment else ""))
        lines.append(f'<li><a href="{href}">{html.escape(title or "Untitled")}</a></li>')
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" '
        f'xmlns:epub="{OPS}"><head><title>Contents</title></head><body><nav epub:type="toc"><ol>'
        + "".join(lines)
        + "</ol></nav></body></html>\n"
    )
