"""Proofs about a book: every character of the source is spoken or listed, every take is whole, every level is right."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tutortoietts.book.document import Document
from tutortoietts.book.plan import Plan, Segment
from tutortoietts.book.readers.archive import Archive
from tutortoietts.book.readers.body import INVISIBLE, spoken_strings
from tutortoietts.book.readers.package import open_package
from tutortoietts.book.readers.xml import local, parse_markup
from tutortoietts.book.store import Store
from tutortoietts.cache.files import Damaged
from tutortoietts.core.errors import BookError

__all__ = ["Coverage", "check_takes", "coverage", "select"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Characters, white space aside: of the source, spoken, left out by reason, and those that are unaccounted for."""

    source: int
    spoken: int
    dropped: dict[str, int]
    missing: dict[str, int]

    @property
    def complete(self) -> bool:
        """True when nothing is unaccounted for."""
        return not self.missing


def coverage(document: Document, plan: Plan) -> Coverage:
    """Return the account of every character of the source.

    EPUB files are read a second time, without the reader's rules, as an independent count.
    """
    spoken = _count(segment.original or segment.shown for segment in plan.segments if segment.href != "credits")
    reasons: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for entry in plan.dropped:
        found = _count([entry.text])
        if not entry.reason.startswith("alternative text"):
            dropped += found
        reasons[entry.reason.split(" (")[0]] += found.total()
    source = _count(_epub_strings(document)) if document.form == "epub" else _count(_known(document))
    missing = source - (spoken + dropped)
    return Coverage(
        source=source.total(), spoken=spoken.total(), dropped=dict(reasons), missing=dict(missing.most_common(20))
    )


def check_takes(store: Store, plan: Plan) -> list[str]:
    """Return a line for every segment whose take is absent or damaged: digests are computed anew."""
    lines = []
    for segment in plan.segments:
        try:
            entry = store.takes.get(segment.key)
            if entry is None:
                lines.append(f"{segment.id}: not spoken yet")
            else:
                entry.data()
        except (Damaged, OSError) as error:
            lines.append(f"{segment.id}: {error}")
    return lines


def select(plan: Plan, store: Store, names: list[str]) -> list[Segment]:
    """Return the segments that `names` mean: "c03-s0042", "c03-s0001..c03-s0009", "c03", "flagged", "voice:anna",
    "/regex/". Raises BookError for a name that means nothing."""
    found: dict[str, Segment] = {}
    for name in names:
        chosen = list(_named(plan, store, name))
        if not chosen:
            raise BookError(
                f"{name!r} means no segment: name c01-s0001, a range with .., flagged, voice:NAME or /regex/"
            )
        found |= {segment.id: segment for segment in chosen}
    return [segment for segment in plan.segments if segment.id in found]


def _named(plan: Plan, store: Store, name: str) -> Iterator[Segment]:
    if name == "flagged":
        for segment in plan.segments:
            take = store.take(segment)
            if take is not None and take.info.get("faults") and not segment.accepted:
                yield segment
    elif name.startswith("voice:"):
        yield from (s for s in plan.segments if name[6:] in (s.voice, s.speaker))
    elif len(name) > 2 and name[0] == name[-1] == "/":
        try:
            pattern = re.compile(name[1:-1])
        except re.error as error:
            raise BookError(f"{name} is no regular expression: {error}") from None
        yield from (s for s in plan.segments if pattern.search(s.shown))
    elif ".." in name:
        first, _, last = name.partition("..")
        ids = [segment.id for segment in plan.segments]
        if first in ids and last in ids:
            yield from plan.segments[ids.index(first) : ids.index(last) + 1]
    else:
        yield from (s for s in plan.segments if name in (s.id, s.id.partition("-")[0]))


def _count(strings: Iterator[str] | list[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in strings:
        counts.update("".join(text.translate(INVISIBLE).split()))
    return counts


def _known(document: Document) -> Iterator[str]:
    yield from (block.text for block in document.blocks() if block.href != "credits")
    yield from (entry.text for entry in document.dropped)


def _epub_strings(document: Document) -> Iterator[str]:
    """Every string in the bodies of all files of the spine that can be read."""
    with Archive(document.source) as archive:
        package = open_package(archive)
        for item in package.spine:
            if archive.find(item.name) is None:
                continue
            try:
                root, _ = parse_markup(archive.read(item.name), item.name)
            except BookError:
                continue
            body = root if local(root) == "svg" else next((e for e in root.iter() if local(e) == "body"), root)
            yield from spoken_strings(body)
