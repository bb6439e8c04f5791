"""Marks of notes among the links of a book: by their types, or because mark and note begin with the same sign."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tutortoietts.book.readers.archive import Archive, resolve_href
from tutortoietts.book.readers.body import NOTE_MARK, types_of
from tutortoietts.book.readers.package import Item
from tutortoietts.book.readers.xml import local

__all__ = ["Links", "find_links"]


@dataclass(slots=True)
class Links:
    """The links of all files that are marks of notes: (file, id) of the notes, and which file each id stands in."""

    notes: set[tuple[str, str]] = field(default_factory=set)
    starts: dict[tuple[str, str], str] = field(default_factory=dict)

    def target(self, archive: Archive, name: str, element: Any) -> str | None:
        """Return "file#id" when `element` of file `name` is the mark of a note, else None."""
        link = element
        if local(element) == "sup":
            children = [child for child in element if local(child)]
            if len(children) != 1 or local(children[0]) != "a" or (element.text or "").strip():
                return None
            link = children[0]
        href = link.get("href", "")
        if "#" not in href:
            return None
        path, fragment = resolve_href(name, href)
        found = archive.find(path) if path else None
        if found is None:
            return None
        if types_of(link) & {"noteref"} or link.get("role") == "doc-noteref":
            return f"{found}#{fragment}"
        mark = "".join(element.itertext()).strip()
        if not NOTE_MARK.fullmatch(mark):
            return None
        start = self.starts.get((found, fragment), "")
        bare = mark.strip("[]() .:")
        if found == name and not start:
            return None
        return f"{found}#{fragment}" if bare and re.match(rf"[\[(]?\s*{re.escape(bare)}(?!\w)", start) else None


def find_links(archive: Archive, trees: list[tuple[Item, Any]]) -> Links:
    """Return the links of all files that are marks of notes."""
    links = Links()
    wanted: set[tuple[str, str]] = set()
    for item, root in trees:
        for link in root.iter():
            if local(link) == "a" and "#" in link.get("href", ""):
                path, fragment = resolve_href(item.name, link.get("href"))
                found = archive.find(path) if path else None
                if found:
                    wanted.add((found, fragment))
    for item, root in trees:
        for element in root.iter():
            name = element.get("id") or element.get("name") if local(element) else None
            if name and (item.name, name) in wanted:
                links.starts.setdefault((item.name, name), _start(element))
    for item, root in trees:
        for element in root.iter():
            if local(element) in ("a", "sup"):
                target = links.target(archive, item.name, element)
                if target is not None:
                    links.notes.add((target.partition("#")[0], target.partition("#")[2]))
    _blocks_of_notes(links, trees)
    return links


def _start(element: Any) -> str:
    """The first characters at an element: of its own text, or of what follows an empty anchor."""
    text = "".join(element.itertext()).strip()
    if not text:
        text = (element.tail or "").strip()
        if not text and (after := element.getnext()) is not None:
            text = "".join(after.itertext()).strip()
    return text[:12]


def _blocks_of_notes(links: Links, trees: list[tuple[Item, Any]]) -> None:
    """Note ids that stand on an inline element are moved to the block around it, if that has an id; else both count."""
    blocks = frozenset("p li div aside dd td section".split())
    for item, root in trees:
        for element in root.iter():
            name = element.get("id") or element.get("name") if local(element) else None
            if name and (item.name, name) in links.notes and local(element) not in blocks:
                above = element.getparent()
                while above is not None and local(above) not in blocks:
                    above = above.getparent()
                if above is not None and local(above) != "section":
                    if not above.get("id"):
                        above.set("id", f"{name}.block")
                    links.notes.add((item.name, above.get("id")))
