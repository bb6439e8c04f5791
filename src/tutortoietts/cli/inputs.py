"""What a command reads: its text, and the clips a pattern names."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable
from pathlib import Path

from tutortoietts.core.errors import OptionError, TextError


def read_text(argument: str | None) -> str:
    """The text argument, or stdin when it is "-" or absent. Raises TextError, OptionError."""
    if argument is None and sys.stdin.isatty():
        raise OptionError('no text: give it as an argument, "..." in quotes, or pipe it in')
    if argument is None or argument == "-":
        try:
            argument = sys.stdin.buffer.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise TextError(
                f"stdin is not UTF-8 (byte {error.object[error.start]:#04x} at offset {error.start}): "
                "convert it first, e.g. iconv -f latin1 -t utf-8"
            ) from error
    if not argument.strip():
        raise TextError("the text is empty: give at least one word")
    return argument


def find_clips(patterns: Iterable[str]) -> list[Path]:
    """The files that patterns, folders and names stand for, sorted. Raises OptionError when one names nothing."""
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern).expanduser()
        if path.is_dir():
            matches = sorted(p for p in path.iterdir() if p.suffix.lower() in CLIP_SUFFIXES)
        elif path.exists():
            matches = [path]
        else:
            matches = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
        if not matches:
            raise OptionError(f"samples {pattern!r} name no file: give clips, a folder of clips or a quoted pattern")
        found += [match for match in matches if match not in found]
    return found


CLIP_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif")
