"""Output files: checked before any work, and written completely or not at all."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tutortoietts.core.errors import OptionError

STDOUT = Path("-")


def plan_outputs(output: Path, count: int) -> list[Path]:
    """Return one path per result: FILE, or FILE_1, FILE_2 ... for several.

    Raises OptionError for an unknown extension or a stdout that cannot be used, OutputError for a place that cannot be
    written.
    """
    if output == STDOUT:
        if count > 1:
            raise OptionError(f"{count} candidates cannot share stdout: name a file with -o, or drop --candidates")
        if sys.stdout is None or sys.stdout.isatty():
            raise OptionError(
                "-o - writes audio to stdout, which is a terminal or closed: pipe it (... | aplay) or name a file"
            )
        return [STDOUT]
    from tutortoietts.audio.io import OUTPUT_SUFFIXES, check_writable

    if output.suffix.lower() not in OUTPUT_SUFFIXES:
        known = ", ".join(OUTPUT_SUFFIXES)
        raise OptionError(
            f"output {str(output)!r} has none of the extensions {known}: the extension chooses the format"
        )
    if count == 1:
        return [check_writable(output)]
    return [check_writable(output.with_name(f"{output.stem}_{i + 1}{output.suffix}")) for i in range(count)]


def keep_inputs(outputs: Iterable[Path], inputs: Iterable[str | Path]) -> None:
    """Raise OptionError if an output would overwrite an input: a clip, or a clip in a folder of clips."""
    read = {os.path.realpath(path) for path in inputs if str(path) and os.path.exists(path)}
    for output in outputs:
        there = os.path.realpath(output)
        if os.path.isfile(there) and (there in read or os.path.dirname(there) in read):
            raise OptionError(f"output {str(output)!r} is one of the voice's own clips: choose another name with -o")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it is renamed to `path` if the block succeeds and deleted if it fails."""
    if path.exists() and not path.is_file():  # a pipe or device is written directly, never replaced
        yield path
        return
    target = path.resolve()
    part = target.with_name(f".{target.stem}.{secrets.token_hex(4)}.part{target.suffix}")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
