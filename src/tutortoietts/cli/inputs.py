"""Inputs of a command: its text and its voice."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tutortoietts.core.errors import OptionError, TextError

MOST_BYTES = 10_000_000  # of a text: ten hours of speech and more; /dev/zero never ends

_log = logging.getLogger(__name__)


def read_text(argument: str | None) -> str:
    """Return the text argument, or stdin when it is "-" or absent. Raises TextError, OptionError.

    A text that is the name of a file is spoken as it is, with a warning.
    """
    closed = sys.stdin is None
    if argument is None and (closed or sys.stdin.isatty()):
        raise OptionError('no text: give it as an argument, "..." in quotes, or pipe it in')
    if argument is None or argument == "-":
        argument = _decoded(b"" if closed else sys.stdin.buffer.read(MOST_BYTES + 1), "stdin")
    elif _names_a_file(argument):
        _log.warning("%r is a file: its name is spoken; to speak what it holds, give - < %s", argument, argument)
    if not argument.strip():
        raise TextError("the text is empty: give at least one word")
    return argument


def read_text_file(path: Path) -> str:
    """Return the text of a file, in UTF-8, UTF-16 or Windows-1252. Raises TextError for one that cannot be read."""
    try:
        with path.open("rb") as file:
            text = _decoded(file.read(MOST_BYTES + 1), str(path))
    except OSError as error:
        raise TextError(f"{path} cannot be read ({error.strerror or error}): check the path") from error
    if not text.strip():
        raise TextError(f"{path} is empty: give at least one word")
    return text


def _names_a_file(text: str) -> bool:
    try:
        return len(text) < 1000 and not text[-1:].isspace() and bool(Path(text).suffix) and Path(text).is_file()
    except (OSError, ValueError):
        return False


def _decoded(data: bytes, source: str) -> str:
    """Return text in UTF-8, in UTF-16 with or without its mark, or else in Windows-1252, with a warning."""
    if len(data) > MOST_BYTES:
        raise TextError(f"{source} holds more than {MOST_BYTES} bytes: split the text into smaller files")
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _as(data, encoding, source)
    half = len(data) // 2
    if half and data[1::2].count(0) > half // 2 > data[::2].count(0):
        return _as(data, "utf-16-le", source)
    if half and data[::2].count(0) > half // 2 > data[1::2].count(0):
        return _as(data, "utf-16-be", source)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        text = _as(data, "cp1252", source, error)
        byte = data[error.start]
        _log.warning("%s is not UTF-8 (byte %#04x at offset %d): read as Windows-1252", source, byte, error.start)
        return text


_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def _as(data: bytes, encoding: str, source: str, first: UnicodeDecodeError | None = None) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        found = first or error
        raise TextError(
            f"{source} is not text in UTF-8 (byte {data[found.start]:#04x} at offset {found.start}), nor in UTF-16 or "
            "Windows-1252: convert it first, e.g. with iconv"
        ) from error


def one_voice(given: Sequence[str] | None) -> str | None:
    """Return the value of --voice, or None if it is absent. Raises OptionError if it is given more than once."""
    if not given:
        return None
    if len(given) > 1:
        raise OptionError(
            f"--voice is given {len(given)} times: give it once; to mix voices, join their names: {'+'.join(given)!r}"
        )
    return given[0]
