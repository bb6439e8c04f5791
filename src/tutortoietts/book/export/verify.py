"""Verification of written files: they are opened again before they are put in place."""

from __future__ import annotations

import importlib
from pathlib import Path

from tutortoietts.core.errors import OutputError

__all__ = ["verify_sound"]

CLOSE_SECONDS = 0.1


def verify_sound(path: Path, seconds: float, chapters: int | None) -> None:
    """Raise OutputError unless a sound file lasts `seconds` and, if given, has that many chapters, and decodes."""
    try:
        av = importlib.import_module("av")
    except ImportError:
        return _verify_wav(path, seconds)
    with av.open(str(path)) as file:
        stream = file.streams.audio[0]
        duration = float(file.duration or 0) / 1e6
        if abs(duration - seconds) > CLOSE_SECONDS:
            raise OutputError(f"{path} lasts {duration:.2f} s and should {seconds:.2f}: write it again")
        found = len(file.chapters())
        if chapters is not None and found != chapters:
            raise OutputError(f"{path} has {found} chapters and should have {chapters}: write it again")
        file.seek(int(max(0.0, seconds - 2) * 1e6))
        if not any(True for _ in file.decode(stream)):
            raise OutputError(f"{path} cannot be decoded at its end: write it again")
    return None


def _verify_wav(path: Path, seconds: float) -> None:
    import soundfile

    duration = soundfile.info(str(path)).duration
    if abs(duration - seconds) > CLOSE_SECONDS:
        raise OutputError(f"{path} lasts {duration:.2f} s and should {seconds:.2f}: write it again")
