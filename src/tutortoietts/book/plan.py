"""The plan of a book: every segment with its text, voice, seed and key, derived from the document and the options.

A segment's seed depends on what is said, in which voice, which occurrence and take; never on its position. So a
sentence that is put in changes no other, and equal options give equal sound, whatever the order of work.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tutortoietts.book.casting import Cast
from tutortoietts.book.document import Block, Chapter, Document, Dropped
from tutortoietts.book.languages import Languages
from tutortoietts.book.pauses import Pauses
from tutortoietts.book.segments import Piece, cut_block, pauses_after
from tutortoietts.book.speaker import Speaker
from tutortoietts.book.spoken import Speech
from tutortoietts.cache.keys import phrase_key
from tutortoietts.core.errors import BookError
from tutortoietts.text.normalize import is_sayable

__all__ = ["Edit", "Plan", "PlannedChapter", "Segment", "make_plan", "segment_seed"]

RECORDED = "(sound file)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One stretch of speech.

    shown: the text as written, text[start:end] of block `block` of file `href`; spoken: what the model is given;
    pause: seconds of silence after it; occurrence: how many segments before say the same in the same voice; take: 0,
    or the number of the redo; key: of the sound, in the store and the phrase cache; nth: how many stretches before in
    the file have the same text; original: the text in the file, where an edit has changed it; rate, volume: of markup;
    audio: a sound file in place of speech; language: another of the model's languages than the book's.
    """

    id: str
    chapter: int
    kind: str
    href: str
    element: str
    block: int
    start: int
    end: int
    shown: str
    spoken: str
    speaker: str
    voice: str
    pause: float
    occurrence: int
    take: int
    seed: int
    key: str
    nth: int = 0
    original: str = ""
    accepted: bool = False
    rate: float = 1.0
    volume: float = 0.0
    audio: str = ""
    mark: str = ""
    language: str = ""

    def to_line(self) -> str:
        """Return the segment as one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChapter:
    """A chapter as planned: its title, depth, and the seconds of silence before its first segment."""

    title: str
    depth: int
    head: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Change that a person made to one segment: found again by its file, its shown text and which of equals it is.

    None leaves a thing as it is. text: shown and spoken; say: spoken only; take: which take is used; accepted: a
    flagged take is good all the same.
    """

    href: str
    shown: str
    nth: int = 0
    text: str | None = None
    say: str | None = None
    voice: str | None = None
    take: int | None = None
    seed: int | None = None
    accepted: bool | None = None

    def merged(self, later: Edit) -> Edit:
        """Return this edit with what `later` says on top."""
        changed = {name: value for name, value in asdict(later).items() if value is not None}
        return Edit(**{**asdict(self), **changed})


@dataclass(slots=True)
class Plan:
    """Chapters and segments in reading order, what is not spoken, and quotations whose speaker is not sure."""

    chapters: list[PlannedChapter] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)

    def of_chapter(self, number: int) -> list[Segment]:
        """Return the segments of chapter `number`, from 0."""
        return [segment for segment in self.segments if segment.chapter == number]

    @property
    def characters(self) -> int:
        """Number of characters to speak."""
        return sum(len(segment.spoken) for segment in self.segments)


def segment_seed(seed: int, spoken: str, voice: str, occurrence: int, take: int, language: str = "") -> int:
    """Return the seed of a take, 0..2^31-1; `voice` is the digest of the voice, `seed` that of the book.

    language: where it is not the book's.
    """
    parts = json.dumps([seed, spoken, voice, occurrence, take, *([language] if language else [])], ensure_ascii=False)
    return int.from_bytes(hashlib.blake2b(parts.encode("utf-8"), digest_size=4).digest(), "big") >> 1


def make_plan(
    document: Document, speaker: Speaker, speech: Speech, *, cast: Cast, pauses: Pauses, seed: int = 0,
    edits: Iterable[Edit] = (), chapters: Iterable[int] | None = None, headings: bool = True,
    same_repeats: bool = False, language: str = "",
) -> Plan:  # fmt: skip
    """Return the plan of a document for a speaker.

    chapters: which to speak, from 1 (None: all); headings: speak them; same_repeats: equal segments sound the same;
    language: that which the document says it is in.
    Raises OptionError for a voice or speaker that is not known.
    """
    languages = Languages(speaker, language)
    builder = _Builder(speaker, speech, cast, pauses, seed, same_repeats, _by_place(edits), languages)
    chosen = None if chapters is None else set(chapters)
    plan = Plan(dropped=list(document.dropped), warnings=list(document.warnings))
    for number, chapter in enumerate(document.chapters, 1):
        if chosen is not None and number not in chosen:
            builder.count_only(chapter)
            reason = "chapter not chosen (--chapters)"
            plan.dropped += [_dropped(block, reason) for block in chapter.blocks if block.text]
            continue
        builder.add(plan, chapter, number, headings)
    plan.warnings += languages.warnings
    if chosen is not None and (beyond := [n for n in sorted(chosen) if n > len(document.chapters) or n < 1]):
        plan.warnings.append(f"there is no chapter {beyond[0]}: the book has {len(document.chapters)}")
    return plan


class _Builder:
    def __init__(
        self, speaker: Speaker, speech: Speech, cast: Cast, pauses: Pauses, seed: int, same_repeats: bool,
        edits: Mapping[tuple[str, str, int], Edit], languages: Languages,
    ) -> None:  # fmt: skip
        self.speaker, self.speech, self.cast, self.pauses, self.seed = speaker, speech, cast, pauses, seed
        self.same_repeats, self.edits, self.languages = same_repeats, edits, languages
        self.identity = dict(speaker.identity())
        self.seen: Counter[tuple[str, str, str]] = Counter()
        self.places: Counter[tuple[str, str]] = Counter()
        self.digests: dict[str, str] = {}

    def add(self, plan: Plan, chapter: Chapter, number: int, headings: bool) -> None:
        """Add a chapter's segments to the plan."""
        blocks = [block for block in chapter.blocks if headings or block.kind != "heading"]
        if not headings:
            silent = [block for block in chapter.blocks if block.kind == "heading"]
            plan.dropped += [_dropped(block, "heading (--headings speak speaks it)") for block in silent]
        said, unsure = self.cast.said_in(blocks)
        plan.unsure += unsure
        cut = [
            self._cut(block, number, own) if block.kind != "scene" else []
            for block, own in zip(blocks, said, strict=True)
        ]
        pauses = pauses_after(blocks, cut, self.pauses)
        place, count = len(plan.chapters), 0
        for block, pieces, silences in zip(blocks, cut, pauses, strict=True):
            if block.text and not pieces:
                plan.dropped.append(_dropped(block, "nothing in it can be said"))
            for piece, pause in zip(pieces, silences, strict=True):
                segment = self._segment(block, piece, pause, place, count, number)
                if segment is None:
                    shown = block.text[piece.start : piece.end]
                    plan.dropped.append(
                        Dropped(href=block.href, element=block.element, text=shown, reason="nothing in it can be said")
                    )
                    continue
                plan.segments.append(segment)
                count += 1
        if count:
            title = chapter.title or next((block.text for block in blocks if block.kind == "heading"), "")
            plan.chapters.append(PlannedChapter(title=title, depth=chapter.depth, head=self.pauses.head))

    def count_only(self, chapter: Chapter) -> None:
        """Count the places of a chapter that is not spoken, so that those after it keep theirs."""
        said, _ = self.cast.said_in(chapter.blocks)
        for block, own in zip(chapter.blocks, said, strict=True):
            for piece in self._cut(block, 0, own) if block.text else ():
                self.places[(block.href, block.text[piece.start : piece.end])] += 1

    def _cut(self, block: Block, number: int, said: Mapping[int, str]) -> list[Piece]:
        length, languages = self.speaker.desired_length, self.languages.ranges(block)
        return cut_block(block, self.cast, number, length, said, languages)

    def _segment(self, block: Block, piece: Piece, pause: float, place: int, count: int, number: int) -> Segment | None:
        if block.audio:
            return self._recorded(block, pause, place, count)
        shown = block.text[piece.start : piece.end]
        nth = self.places[(block.href, shown)]
        self.places[(block.href, shown)] += 1
        edit = self.edits.get((block.href, shown, nth), Edit(href=block.href, shown=shown))
        own = block.voice or self.cast.voice(piece.speaker)
        voice = edit.voice if edit.voice is not None else self.cast.voices.get(own, own)
        where = {"voice": voice, "chapter": str(number), "lang": block.language}
        written = shown if edit.text is None else edit.text
        spoken = (
            edit.say
            if edit.say is not None
            else self.speech.of(written, where, aliases_in(block, piece.start, piece.end), piece.language).text
        )
        if not is_sayable(spoken):
            return None
        digest, language = self._digest(voice), piece.language
        occurrence = 0 if self.same_repeats else self.seen[(spoken, digest, language)]
        self.seen[(spoken, digest, language)] += 1
        take, seed = edit.take or 0, edit.seed
        if seed is None:
            seed = segment_seed(self.seed, spoken, digest, occurrence, take, language)
        identity = {**self.identity, "language": language} if language else self.identity
        return Segment(
            id=f"c{place + 1:02d}-s{count + 1:04d}", chapter=place, kind=block.kind, href=block.href,
            element=block.element, block=block.number, start=piece.start, end=piece.end, shown=written, spoken=spoken,
            speaker=block.voice or piece.speaker, voice=voice, pause=pause, occurrence=occurrence, take=take, seed=seed,
            key=phrase_key(identity=identity, voice=digest, spoken=spoken, seed=seed), language=language,
            nth=nth, original="" if written == shown else shown, accepted=bool(edit.accepted),
            rate=block.rate, volume=block.volume, mark="" if piece.start else block.mark,
        )  # fmt: skip

    def _recorded(self, block: Block, pause: float, place: int, count: int) -> Segment:
        """A segment that is a sound file: its key is that of the file's bytes. Raises BookError if it is gone."""
        try:
            digest = hashlib.sha256(Path(block.audio).read_bytes()).hexdigest()
        except OSError as error:
            raise BookError(f"{block.audio} cannot be read ({error.strerror}): check --audio-dir") from error
        identity = {"audio": digest, "sample_rate": self.speaker.sample_rate}
        return Segment(
            id=f"c{place + 1:02d}-s{count + 1:04d}", chapter=place, kind=block.kind, href=block.href,
            element=block.element, block=block.number, start=0, end=len(block.text), shown=block.text,
            spoken=block.text, speaker=RECORDED, voice=RECORDED, pause=pause, occurrence=0, take=0, seed=0,
            key=phrase_key(identity=identity, voice="", spoken="", seed=0),
            rate=block.rate, volume=block.volume, mark=block.mark, audio=block.audio,
        )  # fmt: skip

    def _digest(self, voice: str) -> str:
        if voice not in self.digests:
            self.digests[voice] = self.speaker.voice_digest(voice)
        return self.digests[voice]


def aliases_in(block: Block, start: int, end: int) -> list[tuple[int, int, str]]:
    """Return the aliases of markup within text[start:end] of a block, counted from `start`."""
    return [(a.start - start, min(a.end, end) - start, a.spoken) for a in block.aliases if start <= a.start < end]


def _by_place(edits: Iterable[Edit]) -> dict[tuple[str, str, int], Edit]:
    found: dict[tuple[str, str, int], Edit] = {}
    for edit in edits:
        place = (edit.href, edit.shown, edit.nth)
        found[place] = found[place].merged(edit) if place in found else edit
    return found


def _dropped(block: Block, reason: str) -> Dropped:
    return Dropped(href=block.href, element=block.element, text=block.text, reason=reason)
