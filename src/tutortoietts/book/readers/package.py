"""The package of an EPUB: container, OPF, metadata, spine, and its table of contents from nav or NCX."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tutortoietts.book.document import Metadata
from tutortoietts.book.readers.archive import CONTENTS_LIMIT, Archive, resolve_href
from tutortoietts.book.readers.xml import local, parse_markup, parse_xml
from tutortoietts.core.errors import BookError

__all__ = ["Entry", "Item", "Package", "open_package", "read_toc"]

CONTAINER = "META-INF/container.xml"
OPF_TYPE = "application/oebps-package+xml"
NCX_TYPE = "application/x-dtbncx+xml"
_FONT_METHODS = frozenset(("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"))
_EPUB_TYPE = "{http://www.idpf.org/2007/ops}type"
_OPF = "{http://www.idpf.org/2007/opf}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A file of the manifest, its name as the zip has it."""

    id: str
    name: str
    media_type: str
    properties: frozenset[str] = frozenset()
    linear: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry of the table of contents: title, depth from 1, target file (as the zip has it) and fragment."""

    title: str
    depth: int
    name: str
    fragment: str


@dataclass(slots=True, kw_only=True)
class Package:
    """Contents of the OPF; names are those of the zip."""

    name: str
    version: str
    metadata: Metadata
    manifest: dict[str, Item]
    spine: list[Item]
    nav: str = ""
    ncx: str = ""
    cover: str = ""
    guide: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def open_package(archive: Archive) -> Package:
    """Return the package of an EPUB. Raises BookError when it is protected, or has no package that can be read."""
    _refuse_drm(archive)
    warnings = _mimetype_warnings(archive)
    name = _opf_name(archive, warnings)
    root = parse_xml(archive.read(name, limit=CONTENTS_LIMIT), name, named_entities=True)
    manifest = _manifest(archive, name, root, warnings)
    package = Package(
        name=name, version=root.get("version", "2.0"), metadata=_metadata(root), manifest=manifest,
        spine=_spine(root, manifest, warnings), warnings=warnings,
    )  # fmt: skip
    package.nav = next((item.name for item in manifest.values() if "nav" in item.properties), "")
    spine = next(iter(_all(root, "spine")), None)
    ncx = manifest.get(spine.get("toc", "")) if spine is not None else None
    ncx = ncx or next((item for item in manifest.values() if item.media_type == NCX_TYPE), None)
    package.ncx = ncx.name if ncx else ""
    for reference in _all(root, "reference"):
        target, _ = resolve_href(name, reference.get("href", ""))
        found = archive.find(target) if target else None
        if found:
            package.guide.setdefault(found, reference.get("type", "").lower())
    package.cover = _cover(root, manifest)
    return package


def read_toc(archive: Archive, package: Package) -> tuple[list[Entry], dict[str, str]]:
    """Return the entries of the contents (nav, else NCX, else none) and the landmarks, file name -> type."""
    if package.nav:
        try:
            data = archive.read(package.nav, limit=CONTENTS_LIMIT)
            root, warnings = parse_markup(data, package.nav)
            package.warnings.extend(warnings)
            entries, landmarks = _nav(archive, package, root)
            if entries:
                return entries, landmarks
        except BookError as error:
            package.warnings.append(f"the contents cannot be read, the chapters' titles come from elsewhere: {error}")
    if package.ncx:
        try:
            data = archive.read(package.ncx, limit=CONTENTS_LIMIT)
            return _ncx(archive, package, parse_xml(data, package.ncx, named_entities=True)), {}
        except BookError as error:
            package.warnings.append(f"the contents cannot be read, the chapters' titles come from elsewhere: {error}")
    return [], {}


def _refuse_drm(archive: Archive) -> None:
    remedy = "protected by DRM, cannot be read: get it without protection"
    for name in ("META-INF/rights.xml", "META-INF/license.lcpl", "rights.xml"):
        if archive.find(name):
            raise BookError(f"{archive.path} is {remedy}")
    if archive.find("META-INF/encryption.xml"):
        root = parse_xml(archive.read("META-INF/encryption.xml", limit=CONTENTS_LIMIT), "META-INF/encryption.xml")
        for data in _all(root, "encrypteddata"):
            methods = {method.get("Algorithm", "") for method in _all(data, "encryptionmethod")}
            if not methods or not methods <= _FONT_METHODS:
                raise BookError(f"{archive.path} is {remedy}")


def _mimetype_warnings(archive: Archive) -> list[str]:
    if archive.find("mimetype") is None:
        return ["the file mimetype is missing: the book is read all the same"]
    if not archive.stored("mimetype"):
        return ["the file mimetype is compressed: the book is read all the same"]
    return []


def _opf_name(archive: Archive, warnings: list[str]) -> str:
    names: list[str] = []
    if archive.find(CONTAINER):
        root = parse_xml(archive.read(CONTAINER, limit=CONTENTS_LIMIT), CONTAINER)
        for rootfile in _all(root, "rootfile"):
            path, _ = resolve_href("", rootfile.get("full-path", ""))
            found = archive.find(path) if path else None
            if found and rootfile.get("media-type", OPF_TYPE) == OPF_TYPE:
                names.append(found)
    else:
        warnings.append(f"{CONTAINER} is missing: the book is read all the same")
    if not names:
        names = [name for name in archive.names() if name.lower().endswith(".opf")][:1]
    if not names:
        raise BookError(f"{archive.path} is no EPUB: it has no package document (.opf)")
    if len(names) > 1:
        warnings.append(f"the book has {len(names)} renditions: the first, {names[0]}, is read")
    return names[0]


def _manifest(archive: Archive, opf: str, root: Any, warnings: list[str]) -> dict[str, Item]:
    manifest: dict[str, Item] = {}
    for element in _all(root, "item"):
        key, href = element.get("id", ""), element.get("href", "")
        target, _ = resolve_href(opf, href)
        if target is None:
            warnings.append(f"{opf}: the item {key!r} points out of the book ({href}) and is left out")
            continue
        if key in manifest:
            warnings.append(f"{opf}: two items have the id {key!r}: the first is taken")
            continue
        properties = frozenset(element.get("properties", "").split())
        name = archive.find(target) or target
        manifest[key] = Item(id=key, name=name, media_type=element.get("media-type", ""), properties=properties)
    return manifest


def _spine(root: Any, manifest: dict[str, Item], warnings: list[str]) -> list[Item]:
    """The files in reading order, those with linear="no" after the rest."""
    first: list[Item] = []
    last: list[Item] = []
    seen: set[str] = set()
    for element in _all(root, "itemref"):
        key = element.get("idref", "")
        if key not in manifest:
            warnings.append(f"the spine names an unknown item {key!r}: left out")
        elif key in seen:
            warnings.append(f"the spine names {key!r} twice: it is read once")
        else:
            seen.add(key)
            linear = element.get("linear", "yes").lower() != "no"
            item = manifest[key]
            (first if linear else last).append(
                Item(id=item.id, name=item.name, media_type=item.media_type, properties=item.properties, linear=linear)
            )
    if last:
        warnings.append(f"{len(last)} files stand beside the text (linear=no) and are read after it")
    return first + last


def _metadata(root: Any) -> Metadata:
    refines: dict[str, dict[str, str]] = {}
    names: dict[str, str] = {}
    for meta in _all(root, "meta"):
        value = _text(meta) or meta.get("content", "")
        if meta.get("refines"):
            refines.setdefault(meta.get("refines").lstrip("#"), {})[meta.get("property", "")] = value
        else:
            names.setdefault(meta.get("property") or meta.get("name") or "", value)
            if meta.get("property") == "belongs-to-collection":
                names["collection-id"] = meta.get("id", "")
    titles = [(refines.get(e.get("id", ""), {}).get("title-type", ""), _text(e)) for e in _all(root, "title")]
    main = next((title for kind, title in titles if kind == "main"), None)
    found = Metadata(title=main or next((title for _, title in titles if title), ""))
    for creator in _all(root, "creator"):
        role = refines.get(creator.get("id", ""), {}).get("role") or creator.get(f"{_OPF}role") or "aut"
        if role == "aut" and _text(creator):
            found.authors.append(_text(creator))
    for key in ("language", "date", "publisher", "rights"):
        setattr(found, key, next((_text(e) for e in _all(root, key) if _text(e)), ""))
    description = next((_text(e) for e in _all(root, "description")), "")
    found.description = " ".join(re.sub(r"<[^>]*>", " ", description).split())
    found.series = names.get("belongs-to-collection") or names.get("calibre:series") or ""
    position = refines.get(names.get("collection-id", ""), {}).get("group-position", "")
    found.series_index = position or names.get("calibre:series_index") or ""
    for identifier in _all(root, "identifier"):
        digits = re.sub(r"[^0-9Xx]", "", _text(identifier).lower().removeprefix("urn:isbn:"))
        scheme = identifier.get(f"{_OPF}scheme", "").lower()
        if len(digits) in (10, 13) and (scheme == "isbn" or "isbn" in _text(identifier).lower()):
            found.isbn = digits
    return found


def _cover(root: Any, manifest: dict[str, Item]) -> str:
    for item in manifest.values():
        if "cover-image" in item.properties:
            return item.name
    for meta in _all(root, "meta"):
        if meta.get("name") == "cover":
            item_of = manifest.get(meta.get("content", ""))
            if item_of and item_of.media_type.startswith("image/"):
                return item_of.name
    return ""


def _nav(archive: Archive, package: Package, root: Any) -> tuple[list[Entry], dict[str, str]]:
    entries: list[Entry] = []
    landmarks: dict[str, str] = {}
    for nav in _all(root, "nav"):
        kind = nav.get(_EPUB_TYPE) or nav.get("epub:type") or ""
        lists = [child for child in nav if local(child) == "ol"]
        if "toc" in kind.split() and not entries:
            for top in lists:
                _nav_list(archive, package, top, 1, entries)
        elif "landmarks" in kind.split():
            for link in _all(nav, "a"):
                target, _ = resolve_href(package.nav, link.get("href", ""))
                found = archive.find(target) if target else None
                if found:
                    landmarks.setdefault(found, (link.get(_EPUB_TYPE) or link.get("epub:type") or "").lower())
    return entries, landmarks


def _nav_list(archive: Archive, package: Package, top: Any, depth: int, entries: list[Entry]) -> None:
    if depth > 32:
        return
    for item in top:
        if local(item) != "li":
            continue
        label = next((child for child in item.iter() if local(child) in ("a", "span")), None)
        if label is not None and local(label) == "a":
            _add(archive, package, package.nav, label.get("href", ""), _whole_text(label), depth, entries)
        for child in item:
            if local(child) == "ol":
                _nav_list(archive, package, child, depth + 1, entries)


def _ncx(archive: Archive, package: Package, root: Any) -> list[Entry]:
    entries: list[Entry] = []
    for point in _all(root, "navpoint"):
        depth = sum(1 for above in point.iterancestors() if local(above) == "navpoint") + 1
        label = next((child for child in point if local(child) == "navlabel"), None)
        content = next((child for child in point if local(child) == "content"), None)
        if content is not None:
            title = "" if label is None else _whole_text(label)
            _add(archive, package, package.ncx, content.get("src", ""), title, depth, entries)
    return entries


def _add(
    archive: Archive, package: Package, base: str, href: str, title: str, depth: int, entries: list[Entry]
) -> None:
    target, fragment = resolve_href(base, href)
    found = archive.find(target) if target else None
    if found is None:
        package.warnings.append(f"the contents' entry {title!r} points at nothing ({href}): its title is lost")
        return
    entries.append(Entry(title=title, depth=depth, name=found, fragment=fragment))


def _all(root: Any, name: str) -> list[Any]:
    return [element for element in root.iter() if local(element) == name]


def _text(element: Any) -> str:
    return " ".join((element.text or "").split())


def _whole_text(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())
