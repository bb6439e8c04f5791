"""Export: every format by its ending, streamed, checked, and only then put in place."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tutortoietts.audio.encode import BOOK_SUFFIXES, Mark, Tags, open_writer
from tutortoietts.book.cover import usable_cover
from tutortoietts.book.export.subtitles import Line, cues, to_lrc, to_srt, to_vtt, word_values
from tutortoietts.book.export.verify import verify_sound
from tutortoietts.book.export.words import ShownWord, shown_words
from tutortoietts.book.master import Mastering, Measured, loudness_preset
from tutortoietts.book.names import file_name
from tutortoietts.book.timeline import Chapter, Placed, Timeline, make_timeline
from tutortoietts.core.errors import OptionError, OutputError
from tutortoietts.version import __version__

if TYPE_CHECKING:
    from tutortoietts.book.book import Book

__all__ = ["Choices", "Material", "check_target", "export", "export_suffixes", "part_file"]

TEXT_SUFFIXES = (".srt", ".vtt", ".lrc", ".json")
SYNTHETIC = "AI-generated speech"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """How files are written. None takes the book's own option.

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

    def __init__(self, book: Book, choices: Choices) -> None:
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
            self._cover = usable_cover(self.book)
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
        if options.mark:
            values["comment"] = f"{SYNTHETIC} (tutortoietts {__version__})"
        return Tags(values=values, cover=self.cover())


def export_suffixes() -> tuple[str, ...]:
    """Return the endings that `export` knows; a path without one is a folder of chapters."""
    return (*BOOK_SUFFIXES, ".epub", ".html", *TEXT_SUFFIXES)


def export(book: Book, paths: list[Path], choices: Choices) -> list[Measured]:
    """Write the files; see `Book.export`."""
    for path in paths:
        check_target(path)
    material = Material(book, choices)
    for path in paths:
        _writer(path)(material, path)
    return [material.mastering.measured[number] for number in sorted(material.mastering.measured)]


@contextmanager
def part_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to: put in place when the block ends well, removed when it does not."""
    part = path.with_name(f".part-{secrets.token_hex(4)}-{path.name}")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written, {error.strerror or error}: choose another place") from error
    finally:
        part.unlink(missing_ok=True)


def check_target(path: Path) -> None:
    """Raise OutputError unless the format of `path` is known and its folder is there."""
    if path.suffix and not path.is_dir() and path.suffix.lower() not in export_suffixes():
        raise OutputError(f"cannot tell the format of {path}: end it in one of {', '.join(export_suffixes())}")
    if not path.resolve().parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.resolve().parent}: make it first")


def _writer(path: Path) -> Callable[[Material, Path], None]:
    suffix = path.suffix.lower()
    if not suffix or path.is_dir():
        return write_folder
    if suffix in BOOK_SUFFIXES:
        return write_sound
    if suffix == ".epub":
        from tutortoietts.book.export.overlay import write_overlay

        return write_overlay
    if suffix == ".html":
        from tutortoietts.book.export.player import write_player

        return write_player
    return write_text


def write_sound(material: Material, path: Path) -> None:
    """Write one file of all chapters, or several where `split_hours` says so."""
    groups = _split(material)
    for number, chapters in enumerate(groups, 1):
        target = path if len(groups) == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        title = "" if len(groups) == 1 else f"{material.metadata.title}, part {number}"
        write_chapters(material, target, chapters, material.tags(title))


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


def write_folder(material: Material, path: Path) -> None:
    """Write a file a chapter, `NN Title.ext`, into the folder `path`."""
    path.mkdir(exist_ok=True)
    chapters = material.timeline.chapters
    names: set[str] = set()
    suffix = f".{material.choices.form}"
    for chapter in chapters:
        number = f"{chapter.number + 1:0{max(2, len(str(len(chapters))))}d}"
        name = file_name(f"{number} {chapter.title}", names)
        tags = material.tags(chapter.title, f"{chapter.number + 1}/{len(chapters)}")
        write_chapters(material, path / f"{name}{suffix}", [chapter], tags, marks=False)


def write_text(material: Material, path: Path) -> None:
    """Write subtitles, lyrics or the times of all words as JSON."""
    suffix = path.suffix.lower()
    if suffix == ".srt":
        text = to_srt(cues(material.lines()))
    elif suffix == ".vtt":
        text = to_vtt(cues(material.lines()))
    elif suffix == ".lrc":
        text = to_lrc(material.lines(), {"ti": material.metadata.title, "ar": ", ".join(material.metadata.authors)})
    else:
        text = json.dumps(times(material), ensure_ascii=False, indent=1) + "\n"
    with part_file(path) as part:
        part.write_text(text, encoding="utf-8")


def times(material: Material) -> dict[str, object]:
    """Return chapters, segments and words with their times, as values for JSON."""
    rate = material.timeline.sample_rate
    chapters = []
    for chapter in material.timeline.chapters:
        start = chapter.start / rate
        segments = [
            {
                "id": placed.segment.id, "href": placed.segment.href, "element": placed.segment.element,
                "start": round(placed.start / rate, 3), "end": round(placed.end / rate, 3),
                "book_start": round(start + placed.start / rate, 3), "speaker": placed.segment.speaker,
                "text": placed.segment.shown, "words": [word_values(word) for word in material.words(placed)],
            }
            for placed in chapter.segments
        ]  # fmt: skip
        chapters.append(
            {
                "index": chapter.number, "title": chapter.title, "start": round(start, 3),
                "end": round(start + chapter.samples / rate, 3), "segments": segments,
            }
        )  # fmt: skip
    return {
        "version": 1, "title": material.metadata.title, "sample_rate": rate,
        "duration": round(material.timeline.seconds, 3), "chapters": chapters,
    }  # fmt: skip


def _split(material: Material) -> list[list[Chapter]]:
    """Chapters in groups of at most `split_hours`."""
    chapters = list(material.timeline.chapters)
    if not material.choices.split_hours:
        return [chapters]
    most = material.choices.split_hours * 3600 * material.timeline.sample_rate
    groups: list[list[Chapter]] = [[]]
    for chapter in chapters:
        if groups[-1] and chapter.start + chapter.samples - groups[-1][0].start > most:
            groups.append([])
        groups[-1].append(chapter)
    return groups
