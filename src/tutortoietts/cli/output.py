"""Where audio goes: checked before any work, written beside its place and moved there whole."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tutortoietts.core.errors import OptionError, OutputError

STDOUT = Path("-")
FORMATS = (".wav", ".flac", ".ogg", ".opus", ".mp3")
LEAST_FREE_BYTES = 1 << 20


def plan_outputs(output: Path, count: int) -> list[Path]:
    """One path a result: FILE, or FILE_1, FILE_2 ... when there are several. Raises OptionError, OutputError."""
    if output == STDOUT:
        if count > 1:
            raise OptionError(f"{count} candidates cannot share stdout: name a file with -o, or drop --candidates")
        if sys.stdout.isatty():
            raise OptionError("-o - writes audio to the terminal: pipe it (... | aplay) or name a file")
        return [STDOUT]
    if output.suffix.lower() not in FORMATS:
        raise OptionError(f"output {str(output)!r} ends in none of {', '.join(FORMATS)}: the ending names the format")
    paths = [output] if count == 1 else [output.with_stem(f"{output.stem}_{i + 1}") for i in range(count)]
    for path in paths:
        check_writable(path)
    return paths


def check_writable(path: Path) -> None:
    """Raises OutputError when a file at `path` could not be written now."""
    if path.is_dir():
        raise OutputError(f"output {str(path)!r} is a folder: name a file in it")
    folder = path.resolve().parent
    if not folder.is_dir():
        raise OutputError(f"output folder {str(folder)!r} does not exist: make it first (mkdir -p)")
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"output {str(path)!r} may not be written: choose another file or change its permissions")
    if _is_special(path):
        return
    try:
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise OutputError(
            f"output folder {str(folder)!r} cannot be written ({error.strerror}): choose another with -o"
        ) from error
    if free < LEAST_FREE_BYTES:
        raise OutputError(f"output folder {str(folder)!r} has {free} bytes free, at least 1 MB is needed: free some")


def _is_special(path: Path) -> bool:
    """A pipe or device: written straight, never replaced by a file."""
    return path.exists() and not stat.S_ISREG(path.stat().st_mode)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to; it becomes `path` when the block ends well and vanishes when it does not."""
    if _is_special(path):
        yield path
        return
    target = path.resolve()
    part = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix}")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
