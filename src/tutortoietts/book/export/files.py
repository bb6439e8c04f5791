"""Export: every format by its ending, streamed, checked, and only then put in place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tutortoietts.audio.encode import BOOK_SUFFIXES
from tutortoietts.book.export.material import Choices, Material, Source, part_file, write_chapters
from tutortoietts.book.export.overlay import write_overlay
from tutortoietts.book.export.player import write_player
from tutortoietts.book.export.subtitles import cues, to_lrc, to_srt, to_vtt, word_values
from tutortoietts.book.master import Measured
from tutortoietts.book.names import file_name
from tutortoietts.book.timeline import Chapter
from tutortoietts.core.errors import OutputError

__all__ = ["check_target", "export", "export_suffixes"]

TEXT_SUFFIXES = (".srt", ".vtt", ".lrc", ".json")


def export_suffixes() -> tuple[str, ...]:
    """Return the endings that `export` knows; a path without one is a folder of chapters."""
    return (*BOOK_SUFFIXES, ".epub", ".html", *TEXT_SUFFIXES)


def export(book: Source, paths: list[Path], choices: Choices) -> list[Measured]:
    """Write the files; see `Book.export`."""
    for path in paths:
        check_target(path)
    material = Material(book, choices)
    for path in paths:
        _writer(path)(material, path)
    return [material.mastering.measured[number] for number in sorted(material.mastering.measured)]


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
        return write_overlay
    if suffix == ".html":
        return write_player
    return write_text


def write_sound(material: Material, path: Path) -> None:
    """Write one file of all chapters, or several where `split_hours` says so."""
    groups = _split(material)
    for number, chapters in enumerate(groups, 1):
        target = path if len(groups) == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        title = "" if len(groups) == 1 else f"{material.metadata.title}, part {number}"
        write_chapters(material, target, chapters, material.tags(title))


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
