"""Inputs of a command: its text and its voice."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tutortoietts.core.errors import OptionError, TextError

MOST_BYTES = 10_000_000  # of text on stdin: ten hours of speech and more; /dev/zero never ends


def read_text(argument: str | None) -> str:
    """Return the text argument, or stdin when it is "-" or absent. Raises TextError, OptionError."""
    closed = sys.stdin is None
    if argument is None and (closed or sys.stdin.isatty()):
        raise OptionError('no text: give it as an argument, "..." in quotes, or pipe it in')
    if argument is None or argument == "-":
        data = b"" if closed else sys.stdin.buffer.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise TextError(f"stdin holds more than {MOST_BYTES} bytes: split the text into smaller files")
        try:
            argument = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise TextError(
                f"stdin is not UTF-8 (byte {error.object[error.start]:#04x} at offset {error.start}): "
                "convert it first, e.g. iconv -f latin1 -t utf-8"
            ) from error
    if not argument.strip():
        raise TextError("the text is empty: give at least one word")
    return argument


def one_voice(given: Sequence[str] | None) -> str | None:
    """Return the value of --voice, or None if it is absent. Raises OptionError if it is given more than once."""
    if not given:
        return None
    if len(given) > 1:
        raise OptionError(
            f"--voice is given {len(given)} times: give it once; to mix voices, join their names: {'+'.join(given)!r}"
        )
    return given[0]
