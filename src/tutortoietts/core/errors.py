"""Errors that the package raises on purpose, in one tree:

    TutortoieError
    ├── OptionError   (ValueError)  an option or argument outside its limits
    ├── TextError     (ValueError)  text that cannot be spoken
    ├── AudioError    (ValueError)  a clip that cannot be used
    ├── VoiceError                  an unknown, broken or badly named voice
    ├── ModelError                  a checkpoint, its keys or its configuration
    │   └── FetchError              a model file that cannot be fetched
    ├── OutputError   (OSError)     a place that cannot be written
    ├── BookError     (ValueError)  a document or a book folder that cannot be used
    └── Cancelled                   the caller stopped the work

Every message names the value, the limit and the remedy, so that printing it alone is enough.
"""

from __future__ import annotations

import os

__all__ = [
    "AudioError",
    "BookError",
    "Cancelled",
    "FetchError",
    "ModelError",
    "OptionError",
    "OutputError",
    "TextError",
    "TutortoieError",
    "VoiceError",
]


class TutortoieError(Exception):
    """Base of all errors raised on purpose; catching it catches exactly those."""


class OptionError(TutortoieError, ValueError):
    """An option or argument has a value outside its limits."""


class TextError(TutortoieError, ValueError):
    """The text cannot be spoken: empty, nothing sayable, too long for one pass."""


class AudioError(TutortoieError, ValueError):
    """A clip cannot be used: missing, unreadable, empty, silent, too short."""


class VoiceError(TutortoieError):
    """A voice is unknown, badly named, broken or made for another model."""


class ModelError(TutortoieError):
    """A checkpoint or configuration is wrong; `file` and `key` name the place, if known."""

    def __init__(self, message: str, *, file: str | os.PathLike[str] | None = None, key: str | None = None) -> None:
        super().__init__(message)
        self.file = file
        self.key = key


class FetchError(ModelError):
    """A model file cannot be fetched: no network, wrong digest, not found."""


class OutputError(TutortoieError, OSError):
    """The output cannot be written: folder missing, not permitted, disk full, format unknown."""


class BookError(TutortoieError, ValueError):
    """A document cannot be read, or the folder of a book cannot be used: damaged, protected, in use, another format."""


class Cancelled(TutortoieError):
    """The caller stopped the work before it was done."""
