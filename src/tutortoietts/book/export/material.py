"""A book as the writers of all formats need it: its timeline, mastered sound, words, tags; and whole files of sound."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from tutortoietts.audio.encode import BOOK_SUFFIXES, Mark, Tags, open_writer
from tutortoietts.book.casting import Cast
from tutortoietts.book.cover import usable_cover
from tutortoietts.book.document import Document, Metadata
from tutortoietts.book.export.subtitles import Line
from tutortoietts.book.export.verify import verify_sound
from tutortoietts.book.export.words import ShownWord, shown_words
from tutortoietts.book.master import Mastering, loudness_preset
from tutortoietts.book.options import BookOptions
from tutortoietts.book.spoken import Speech
from tutortoietts.book.store import Store
from tutortoietts.book.timeline import Chapter, Placed, Timeline, make_timeline
from tutortoietts.core.errors import OptionError, OutputError
from tutortoietts.version import __version__

__all__ = ["Choices", "Material", "Source", "part_file", "write_chapters"]

SYNTHETIC = "AI-generated speech"


class Source(Protocol):
    """A book with its folder; `book.book.Book` is one."""

    store: Store
    source: str
    options: BookOptions

    @property
    def document(self) -> Document:
        """The document."""
        ...

    @property
    def metadata(self) -> Metadata:
        """Metadata of the book."""
        ...

    def cast(self) -> Cast:
        """Return who says what."""
        ...

    def speech(self) -> Speech:
        """Return how texts are said."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Options for writing files. None takes the book's own option.

    form: of the files in a folder ("mp3"); split_hours: a new file where one would get longer, 0 for never; words:
    overlays by words instead of sentences; progress: called with the seconds written so far, and those of all.
    """

    loudness: str | None = None
    rate: float | None = None
    room_tone: bool | None = None
    form: str = "mp3"
    split_hours: float = 0.0
    words: bool = False
    progress: Callable[[float, float], None] = lambda done, whole: None

    def __post_init__(self) -> None:
        if f".{self.form}" not in BOOK_SUFFIXES:
            known = ", ".join(suffix[1:] for suffix in BOOK_SUFFIXES)
            raise OptionError(f"--format is {self.form!r}, must be one of {known}")
        if self.split_hours < 0:
            raise OptionError(f"--split-hours is {self.split_hours}, must be 0 (never) or more")


class Material:
    """A book as the writers of formats need it: its timeline, mastered sound, words and tags."""

    def __init__(self, book: Source, choices: Choices) -> None:
        self.book, self.choices = book, choices
        options = book.options
        rate = options.rate if choices.rate is None else choices.rate
        preset = loudness_preset(options.loudness if choices.loudness is None else choices.loudness)
        tone = options.room_tone if choices.room_tone is None else choices.room_tone
        self.plan = book.store.plan()
        head, tail = (preset.head, preset.tail) if preset else (None, None)
        self.timeline: Timeline = make_timeline(book.store, self.plan, rate=rate, head=head, tail=tail)
        self.mastering = Mastering(self.timeline, preset, gains=book.cast().gains, room_tone=tone)
        self.metadata = book.metadata
        self.terms = str(book.store.settings().get("terms", ""))
        self._speech = book.speech()
        self._cover: bytes | None = None

    def words(self, placed: Placed) -> list[ShownWord]:
        """Return the words of a segment, their times from the start of its chapter."""
        return shown_words(placed, self._speech, self.timeline.sample_rate)

    def line(self, chapter: Chapter, placed: Placed, start: float | None = None) -> Line:
        """Return a segment as a line, its times from the start of the book, or `start` seconds earlier."""
        begin = chapter.start / self.timeline.sample_rate - (start or 0.0)
        moved = [replace(word, start=word.start + begin, end=word.end + begin) for word in self.words(placed)]
        speaker = "" if placed.segment.speaker == "narrator" else placed.segment.speaker
        return Line(words=moved, speaker=speaker)

    def lines(self) -> Iterator[Line]:
        """Yield all segments as lines."""
        for chapter in self.timeline.chapters:
            for placed in chapter.segments:
                yield self.line(chapter, placed)

    def cover(self) -> bytes:
        """Return the cover as JPEG or PNG, b"" when there is none."""
        if self._cover is None:
            self._cover = usable_cover(self.book.options.cover, lambda: self.book.document.cover)
        return self._cover

    def tags(self, title: str = "", track: str = "") -> Tags:
        """Return the tags of the book, or of one file of it."""
        data, options = self.metadata, self.book.options
        author = ", ".join(data.authors)
        values = {
            "title": title or data.title, "album": data.title, "artist": author, "album_artist": author,
            "composer": options.voice, "performer": options.voice, "genre": "Audiobook", "date": data.date,
            "publisher": data.publisher, "description": data.description[:2000], "show": data.series,
            "language": data.language, "copyright": data.rights, "track": track, "media_type": "2",
        }  # fmt: skip
        return Tags(values={**values, **self.comment().values}, cover=self.cover())

    def comment(self) -> Tags:
        """Return what every sound file says of itself: that it is synthetic, if the book says so, and its terms."""
        mark = f"{SYNTHETIC} (tutortoietts {__version__})" if self.book.options.mark else ""
        return Tags(values={"comment": ". ".join(part for part in (mark, self.terms) if part)})


@contextmanager
def part_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to: put in place when the block ends well, removed when it does not."""
    part = path.with_name(f".part-{secrets.token_hex(4)}-{path.name}")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written, {error.strerror or error}: choose another place") from error
    finally:
        part.unlink(missing_ok=True)


def write_chapters(
    material: Material, path: Path, chapters: list[Chapter], tags: Tags, *, suffix: str = "", marks: bool = True
) -> None:
    """Write chapters into one file, checked before it is put in place."""
    rate = material.timeline.sample_rate
    first, samples = chapters[0].start, sum(chapter.samples for chapter in chapters)
    places = [Mark(c.title, c.start - first, c.start - first + c.samples) for c in chapters] if marks else []
    form = suffix or path.suffix.lower()
    acx = material.mastering.preset is not None and material.mastering.preset.name == "acx" and form == ".mp3"
    settings = {"bits": 192_000, "rate": 44_100} if acx else {}
    done = 0
    with part_file(path) as part:
        with open_writer(part, rate, tags, marks=places, samples=samples, form=form, **settings) as writer:
            for chapter in chapters:
                for block in material.mastering.chapter(chapter):
                    writer.write(block)
                    done += len(block)
                    material.choices.progress((first + done) / rate, material.timeline.seconds)
        chapters_kept = len(places) if form in (".m4b", ".m4a", ".mp3", ".opus") else None
        verify_sound(part, samples / rate, chapters_kept)
