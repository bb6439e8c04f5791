"""EPUB 2 and 3 to a `Document`: spine order, chapters cut where the contents point, notes put where the options say.

The original files are never changed; every block names its file and element.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutortoietts.book.document import Block, Chapter, Document, Dropped
from tutortoietts.book.readers.archive import Archive, resolve_href
from tutortoietts.book.readers.body import BodyWalker, Rules, types_of
from tutortoietts.book.readers.links import Links, find_links
from tutortoietts.book.readers.options import ReadOptions
from tutortoietts.book.readers.package import Entry, Item, Package, open_package, read_toc
from tutortoietts.book.readers.xml import local, parse_markup
from tutortoietts.core.errors import BookError

__all__ = ["Spine", "read_epub", "read_spine"]

MARKUP_TYPES = frozenset(("application/xhtml+xml", "text/html", "text/x-oeb1-document", "image/svg+xml", ""))
FRONT_TYPES = frozenset(
    "titlepage title-page halftitlepage halftitle copyright-page copyright toc loi lot index cover colophon "
    "other-credits ad advert".split()
)
FRONT_TITLES = re.compile(
    r"(table of )?contents|copyright( page| notice)?|title[- ]?page|half[- ]?title|index|cover|also by .{0,40}"
    r"|about the (author|publisher)|other books by .{0,40}|list of (illustrations|tables)|newsletter",
    re.IGNORECASE,
)
MORE_FRONT_TYPES = frozenset(
    "foreword preface dedication epigraph acknowledgments introduction contributors frontmatter".split()
)
MOST_FRONT = 0.2


@dataclass(slots=True)
class Spine:
    """The files of a book in reading order, parsed, with all that is needed to walk them the same way again."""

    package: Package
    entries: list[Entry]
    landmarks: dict[str, str]
    trees: list[tuple[Item, Any]]
    links: Links
    options: ReadOptions

    def walk(self, archive: Archive, item: Item, *, trace: bool = False) -> BodyWalker:
        """Return the walked body of one file: the same blocks, with or without `trace`."""
        root = next(root for own, root in self.trees if own is item)
        rules = Rules(
            alt=self.options.alt,
            trace=trace,
            cuts=frozenset(entry.fragment for entry in self.entries if entry.name == item.name and entry.fragment),
            is_noteref=lambda element: self.links.target(archive, item.name, element),
            is_note=lambda name: (item.name, name) in self.links.notes,
        )
        walker = BodyWalker(item.name, rules)
        walker.run(_body(root))
        return walker


def read_spine(archive: Archive, options: ReadOptions, document: Document | None = None) -> Spine:
    """Return the files of an EPUB, parsed; warnings go to `document`. Raises BookError when it is protected."""
    package = open_package(archive)
    document = document or Document(source="", form="epub")
    document.metadata, document.warnings = package.metadata, package.warnings
    entries, landmarks = read_toc(archive, package)
    entries = [entry for entry in entries if entry.depth <= options.toc_depth]
    trees = _trees(archive, package, document)
    return Spine(package, entries, landmarks, trees, find_links(archive, trees), options)


def read_epub(path: Path, options: ReadOptions) -> Document:
    """Return the document in an EPUB file. Raises BookError when it is protected, damaged, or holds nothing to read."""
    with Archive(path) as archive:
        document = Document(source=str(path), form="epub")
        spine = read_spine(archive, options, document)
        sections = [_Section(item, spine.walk(archive, item), _outer_types(root)) for item, root in spine.trees]
        _report_pictures(sections, document)
        _cut(sections, spine.entries, document)
        _place_notes(sections, document, options)
        _drop_front(sections, spine.package, spine.landmarks, document, options)
        document.cover = _cover(archive, spine.package, document)
        document.lexicons = _lexicons(archive, spine.package)
        if not any(block.text for block in document.blocks()):
            raise BookError(f"{path} holds no text to read{_why_empty(sections)}")
        return document


@dataclass(slots=True)
class _Section:
    """One file of the spine, walked; the chapters that begin in it, and what goes before the first."""

    item: Item
    walk: BodyWalker
    types: set[str]
    chapters: list[tuple[int, Chapter]] = field(default_factory=list)


def _trees(archive: Archive, package: Package, document: Document) -> list[tuple[Item, Any]]:
    trees: list[tuple[Item, Any]] = []
    for item in package.spine:
        if item.media_type not in MARKUP_TYPES:
            document.warn(f"{item.name} ({item.media_type}) is no text: left out")
            continue
        if archive.find(item.name) is None:
            document.warn(f"{item.name} is missing in the book: left out")
            continue
        try:
            root, warnings = parse_markup(archive.read(item.name), item.name)
        except BookError as error:
            if "zip bomb" in str(error) or "attack" in str(error):
                raise
            document.warn(f"left out: {error}")
            continue
        for line in warnings:
            document.warn(line)
        trees.append((item, root))
    return trees


def _body(root: Any) -> Any:
    if local(root) in ("body", "svg"):
        return root
    return next((element for element in root.iter() if local(element) == "body"), root)


def _report_pictures(sections: list[_Section], document: Document) -> None:
    bare = [s.item.name for s in sections if s.walk.pictures and not any(block.text for block in s.walk.blocks)]
    if bare:
        document.warn(f"nothing to read on {len(bare)} pages, which are pictures only: {', '.join(bare[:5])}")


def _why_empty(sections: list[_Section]) -> str:
    pictures = sum(section.walk.pictures for section in sections)
    return (
        f": its pages are {pictures} pictures; text in pictures needs a program for text recognition first"
        if (pictures)
        else ""
    )


def _cut(sections: list[_Section], entries: list[Entry], document: Document) -> None:
    """Chapters where the contents point; without contents at headings, without headings at files."""
    starts: dict[tuple[str, int], list[Entry]] = {}
    walks = {section.item.name: section.walk for section in sections}
    for entry in entries:
        walk = walks.get(entry.name)
        if walk is None:
            document.warn(f"the contents' entry {entry.title!r} points at {entry.name}, which is not read")
            continue
        if entry.fragment and entry.fragment not in walk.anchors:
            document.warn(f"the contents' entry {entry.title!r} points at no place in {entry.name}: its start is taken")
        starts.setdefault((entry.name, walk.anchors.get(entry.fragment, 0)), []).append(entry)
    if not starts:
        starts = _starts_from_headings(sections)
    current = Chapter()
    document.chapters.append(current)
    for section in sections:
        blocks = section.walk.blocks
        for number in range(len(blocks) + 1):
            here = starts.get((section.item.name, number), [])
            if here or (number == 0 and not starts):
                current = Chapter(title=_joined(here), depth=min((entry.depth for entry in here), default=1))
                document.chapters.append(current)
            if here or number == 0:
                section.chapters.append((number, current))
            current.blocks.extend(blocks[number : number + 1])
    document.chapters = [chapter for chapter in document.chapters if chapter.blocks]


def _joined(entries: list[Entry]) -> str:
    return ": ".join(dict.fromkeys(entry.title for entry in entries if entry.title))


def _starts_from_headings(sections: list[_Section]) -> dict[tuple[str, int], list[Entry]]:
    """Entries at the headings of the highest level that occurs more than once, or occurs at all, from h1 to h3."""
    levels = [b.level for s in sections for b in s.walk.blocks if b.kind == "heading" and 1 <= b.level <= 3]
    if not levels:
        return {}
    repeated = [level for level in sorted(set(levels)) if levels.count(level) > 1]
    level = repeated[0] if repeated else min(levels)
    starts: dict[tuple[str, int], list[Entry]] = {}
    for section in sections:
        first, last = 0, -2
        for number, block in enumerate(section.walk.blocks):
            if block.kind == "heading" and block.level <= level:
                entry = Entry(title=block.text, depth=1, name=section.item.name, fragment="")
                if last == number - 1 and (section.item.name, first) in starts:
                    starts[(section.item.name, first)].append(entry)
                else:
                    first = number
                    starts[(section.item.name, first)] = [entry]
                last = number
    return starts


def _place_notes(sections: list[_Section], document: Document, options: ReadOptions) -> None:
    notes = {
        f"{s.item.name}#{name}": blocks for s in sections for name, blocks in s.walk.notes.items()
    }  # fmt: skip
    for section in sections:
        document.dropped.extend(section.walk.dropped)
    if options.notes == "skip":
        for blocks in notes.values():
            document.dropped.extend(_dropped(block, "note (--notes inline or end speaks it)") for block in blocks)
        return
    placed: set[str] = set()
    for section in sections:
        if options.notes == "inline":
            _notes_inline(section, notes, placed)
        else:
            for number, target in section.walk.note_marks:
                key = _note_key(notes, target)
                if key and key not in placed:
                    placed.add(key)
                    _chapter_at(section, number).blocks.extend(notes[key])
    rest = [block for key, blocks in notes.items() if key not in placed for block in blocks]
    if rest and document.chapters:
        document.chapters[-1].blocks.extend(rest)


def _notes_inline(section: _Section, notes: dict[str, list[Block]], placed: set[str]) -> None:
    for number, target in reversed(section.walk.note_marks):
        key = _note_key(notes, target)
        if not key or key in placed or number >= len(section.walk.blocks):
            continue
        placed.add(key)
        chapter, block = _chapter_at(section, number), section.walk.blocks[number]
        at = next((i for i, own in enumerate(chapter.blocks) if own is block), len(chapter.blocks) - 1)
        chapter.blocks[at + 1 : at + 1] = notes[key]


def _note_key(notes: dict[str, list[Block]], target: str) -> str:
    """The key of a mark's note: its target, or the block around it; "" when there is none."""
    return next((key for key in (target, f"{target}.block") if key in notes), "")


def _chapter_at(section: _Section, number: int) -> Chapter:
    return [chapter for start, chapter in section.chapters if start <= number][-1]


def _drop_front(
    sections: list[_Section], package: Package, landmarks: dict[str, str], document: Document, options: ReadOptions
) -> None:
    """Leave out front and back matter: files by their types, chapters by their titles unless they are a large share."""
    if options.front == "all":
        return
    types = FRONT_TYPES | (MORE_FRONT_TYPES if options.front == "none" else frozenset())
    kinds = {s.item.name: _front_kind(s, package, landmarks, types) for s in sections}
    whole = sum(len(block.text) for block in document.blocks()) or 1
    for chapter in document.chapters:
        title = chapter.title.strip()
        own = title.lower() if FRONT_TITLES.fullmatch(title) else ""
        size = sum(len(block.text) for block in chapter.blocks)
        if own and size > MOST_FRONT * whole:
            document.warn(f"{title!r} is named like front matter, but is {size / whole:.0%} of the book: it is read")
            own = ""
        kept: list[Block] = []
        for block in chapter.blocks:
            if kind := kinds.get(block.href) or own:
                document.dropped.append(_dropped(block, f"front or back matter: {kind} (--front all speaks it)"))
            else:
                kept.append(block)
        chapter.blocks = kept
    document.chapters = [chapter for chapter in document.chapters if chapter.blocks]


def _front_kind(section: _Section, package: Package, landmarks: dict[str, str], types: frozenset[str]) -> str:
    """The kind of front matter that a whole file is, by the guide, the landmarks or its own outermost types."""
    name = section.item.name
    if name == package.nav:
        return "toc"
    found = [package.guide.get(name, ""), landmarks.get(name, ""), *sorted(section.types)]
    return next((kind for kind in found if kind in types), "")


def _outer_types(root: Any) -> set[str]:
    """The types of the body, and of a section that is all of the body."""
    body = _body(root)
    children = [child for child in body if local(child)]
    return types_of(body) | (types_of(children[0]) if len(children) == 1 else set())


def _dropped(block: Block, reason: str) -> Dropped:
    return Dropped(href=block.href, element=block.element, text=block.text, reason=reason)


def _cover(archive: Archive, package: Package, document: Document) -> bytes:
    name = package.cover
    if not name:
        page = next((n for n, kind in package.guide.items() if kind == "cover"), "")
        name = _first_image(archive, page) if page else ""
    if not name:
        return b""
    try:
        return archive.read(name)
    except BookError as error:
        document.warn(f"the cover cannot be read: {error}")
        return b""


def _first_image(archive: Archive, page: str) -> str:
    try:
        root, _ = parse_markup(archive.read(page), page)
    except BookError:
        return ""
    for element in root.iter():
        if local(element) in ("img", "image"):
            href = element.get("src") or element.get("{http://www.w3.org/1999/xlink}href") or element.get("href") or ""
            target, _ = resolve_href(page, href)
            return (archive.find(target) or "") if target else ""
    return ""


def _lexicons(archive: Archive, package: Package) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for item in package.manifest.values():
        if item.media_type == "application/pls+xml" and archive.find(item.name):
            found[item.name] = archive.read(item.name)
    return found
