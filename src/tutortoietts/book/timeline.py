"""Timeline of a book: chapters and segments on one line of samples, before any sound is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tutortoietts.audio.stretch import stretched_length
from tutortoietts.book.plan import Plan, PlannedChapter, Segment
from tutortoietts.book.speaker import Word
from tutortoietts.book.store import Store
from tutortoietts.book.takes import words_of
from tutortoietts.cache.files import SoundEntry
from tutortoietts.core.errors import BookError

__all__ = ["Chapter", "Placed", "Timeline", "make_timeline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A segment with its take, at start..end (samples in its chapter), `pause` samples of silence after it."""

    segment: Segment
    take: SoundEntry
    start: int
    end: int
    pause: int
    rate: float

    def words(self, sample_rate: int) -> list[Word]:
        """Return the words, their times in seconds from the chapter's start."""
        begin = self.start / sample_rate
        return [
            word._replace(start=begin + word.start / self.rate, end=begin + word.end / self.rate)
            for word in words_of(self.take.info, self.segment.spoken)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """A chapter on the line: `start` samples into the book, `samples` long, `head` of them silent."""

    number: int
    plan: PlannedChapter
    start: int
    samples: int
    head: int
    segments: Sequence[Placed]

    @property
    def title(self) -> str:
        """The title, "Chapter N" where there is none."""
        return self.plan.title or f"Chapter {self.number + 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All chapters, one after the other."""

    chapters: Sequence[Chapter]
    sample_rate: int

    @property
    def samples(self) -> int:
        """Samples in all."""
        return sum(chapter.samples for chapter in self.chapters)

    @property
    def seconds(self) -> float:
        """Seconds in all."""
        return self.samples / self.sample_rate


def make_timeline(
    store: Store, plan: Plan, *, rate: float = 1.0, tail: float | None = None, head: float | None = None
) -> Timeline:
    """Return the timeline of a plan whose takes are all there. Raises BookError when some are missing.

    rate: all speech that much faster; head, tail: seconds of silence at a chapter's ends in place of the plan's.
    """
    takes = [(segment, store.take(segment)) for segment in plan.segments]
    missing = [segment.id for segment, take in takes if take is None]
    if missing:
        raise BookError(f"{len(missing)} segments are not spoken yet ({missing[0]} ...): run `book make` again")
    rates = {take.info["sample_rate"] for _, take in takes if take is not None}
    if len(rates) > 1:
        raise BookError(f"the takes have several sample rates {sorted(rates)}: make the book with one model")
    sample_rate = int(rates.pop()) if rates else 24000
    chapters, start = [], 0
    by_chapter: list[list[tuple[Segment, SoundEntry]]] = [[] for _ in plan.chapters]
    for segment, take in takes:
        assert take is not None
        by_chapter[segment.chapter].append((segment, take))
    for number, (chapter, own) in enumerate(zip(plan.chapters, by_chapter, strict=True)):
        silent = round((chapter.head if head is None else head) * sample_rate)
        placed, at = [], silent
        for i, (segment, take) in enumerate(own):
            speed = rate * segment.rate
            end = at + stretched_length(int(take.info["samples"]), speed)
            last = i + 1 == len(own)
            pause = round((tail if last and tail is not None else segment.pause) * sample_rate)
            placed.append(Placed(segment=segment, take=take, start=at, end=end, pause=pause, rate=speed))
            at = end + pause
        chapters.append(
            Chapter(number=number, plan=chapter, start=start, samples=at, head=silent, segments=tuple(placed))
        )
        start += at
    return Timeline(chapters=tuple(chapters), sample_rate=sample_rate)
