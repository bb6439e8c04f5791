"""The times of the words of one text, as a file: json, srt, vtt or lrc."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tutortoietts.book.export.subtitles import Line, cues, to_json, to_lrc, to_srt, to_vtt
from tutortoietts.book.export.words import words_of_text
from tutortoietts.cache.files import replace_file
from tutortoietts.core.errors import OutputError
from tutortoietts.core.types import Word

__all__ = ["TIMES_SUFFIXES", "check_times", "write_times"]

TIMES_SUFFIXES = (".json", ".srt", ".vtt", ".lrc")


def check_times(path: Path) -> None:
    """Raise OutputError unless `path` ends in json, srt, vtt or lrc and its folder is there."""
    if path.suffix.lower() not in TIMES_SUFFIXES:
        raise OutputError(f"cannot tell the format of {path}: end it in one of {', '.join(TIMES_SUFFIXES)}")
    if not path.resolve().parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.resolve().parent}: make it first")


def write_times(
    path: Path,
    text: str,
    words: Sequence[Word],
    *,
    sample_rate: int,
    duration: float,
    marks: Mapping[str, float] | None = None,
) -> None:
    """Write the times of `words`, whose `chars` are places in `text`, by the ending of `path`. Raises OutputError.

    marks: seconds of the marks of markup, which json holds.
    """
    check_times(path)
    shown = words_of_text(text, words, 0.0, duration)
    line, suffix = Line(words=shown), path.suffix.lower()
    if suffix == ".json":
        content = to_json(shown, text=text, sample_rate=sample_rate, duration=duration, marks=marks)
    elif suffix == ".srt":
        content = to_srt(cues([line]))
    elif suffix == ".vtt":
        content = to_vtt(cues([line]))
    else:
        content = to_lrc([line], {})
    try:
        replace_file(path.resolve(), content.encode("utf-8"), durable=False)
    except OSError as error:
        raise OutputError(f"{path} cannot be written, {error.strerror or error}: choose another place") from error
