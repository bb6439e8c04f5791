"""Stretches of text in a tree, put into spans, with other markup left as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tutortoietts.book.readers.body import Origin
from tutortoietts.book.readers.xml import XHTML

__all__ = ["Span", "grouped", "wrap"]


@dataclass(frozen=True, slots=True)
class Span:
    """A span to make: its id and the origins of its characters, which `grouped` says that one span can hold."""

    id: str
    places: list[Origin]


def grouped(places: list[Origin | None]) -> list[list[Origin]]:
    """Return the origins in groups that one span each can hold.

    All of them in one group where their common element can be opened at the start and closed at the end without
    cutting another element; else those of each element by themselves.
    """
    known = [place for place in places if place is not None]
    if not known:
        return []
    if _edges(known) is not None:
        return [known]
    groups: list[list[Origin]] = []
    for place in known:
        if groups and _container(groups[-1][-1]) is _container(place) and _edges([*groups[-1][:1], place]) is not None:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def wrap(root: Any, spans: list[Span]) -> None:
    """Put every span into the tree. Later ones first, so that the places of the earlier ones stay right."""
    tag = f"{{{XHTML}}}span" if str(root.tag).startswith("{") else "span"
    for span in reversed(spans):
        edges = _edges(span.places)
        if edges is not None:
            _wrap(root, tag, span.id, *edges)


@dataclass(frozen=True, slots=True)
class _Edge:
    """A place directly in `parent`: before child `index`, `offset` characters into the text before that child."""

    parent: Any
    index: int
    offset: int


def _container(place: Origin) -> Any:
    return place.element if place.where == "text" else place.element.getparent()


def _edges(places: list[Origin]) -> tuple[_Edge, _Edge] | None:
    """Where a span around all places would open and close, in one element; None when it would cut another."""
    first, last = places[0], places[-1]
    common = _common(_container(first), _container(last))
    start, end = _start(common, first), _end(common, last)
    return None if start is None or end is None else (start, end)


def _common(a: Any, b: Any) -> Any:
    above = [a, *a.iterancestors()]
    while b is not None and not any(b is element for element in above):
        b = b.getparent()
    return b


def _slot(place: Origin) -> int:
    """How many children of its container stand before a place."""
    if place.where == "text":
        return 0
    parent = place.element.getparent()
    return int(parent.index(place.element)) + 1


def _start(common: Any, place: Origin) -> _Edge | None:
    container = _container(place)
    if container is common:
        return _Edge(common, _slot(place), place.offset)
    if not _only_space_before(place, container):
        return None
    while container.getparent() is not common:
        above = container.getparent()
        if above.index(container) > 0 or (above.text or "").strip():
            return None
        container = above
    index = int(common.index(container))
    before = common.text if index == 0 else common[index - 1].tail
    return _Edge(common, index, len(before or ""))


def _end(common: Any, place: Origin) -> _Edge | None:
    container = _container(place)
    if container is common:
        return _Edge(common, _slot(place), place.offset + 1)
    if not _only_space_after(place, container):
        return None
    while container.getparent() is not common:
        above = container.getparent()
        if above.index(container) + 1 < len(above) or (container.tail or "").strip():
            return None
        container = above
    return _Edge(common, int(common.index(container)) + 1, 0)


def _only_space_before(place: Origin, container: Any) -> bool:
    text = (place.element.text if place.where == "text" else place.element.tail) or ""
    return _slot(place) == 0 and not text[: place.offset].strip()


def _only_space_after(place: Origin, container: Any) -> bool:
    text = (place.element.text if place.where == "text" else place.element.tail) or ""
    return _slot(place) == len(container) and not text[place.offset + 1 :].strip()


def _wrap(root: Any, tag: str, name: str, start: _Edge, end: _Edge) -> None:
    parent = start.parent
    span = parent.makeelement(tag, {"id": name})
    before = _text(parent, start.index)
    if start.index == end.index:
        span.text = before[start.offset : end.offset]
        span.tail = before[end.offset :]
        _set_text(parent, start.index, before[: start.offset])
        parent.insert(start.index, span)
        return
    after = _text(parent, end.index)
    children = list(parent)[start.index : end.index]
    _set_text(parent, end.index, after[: end.offset])
    _set_text(parent, start.index, before[: start.offset])
    span.text = before[start.offset :]
    for child in children:
        span.append(child)
    span.tail = after[end.offset :]
    parent.insert(start.index, span)


def _text(parent: Any, index: int) -> str:
    return (parent.text if index == 0 else parent[index - 1].tail) or ""


def _set_text(parent: Any, index: int, text: str) -> None:
    if index == 0:
        parent.text = text
    else:
        parent[index - 1].tail = text
