"""Recognisers that listen to what was spoken, where one is given, and the count of words that they heard otherwise."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable

from torch import Tensor

from tutortoietts.core.errors import OptionError

__all__ = ["Recognizer", "recognizer", "word_errors"]

Recognizer = Callable[[Tensor, int, str], str]
"""(samples (N,), sample rate, expected text) -> text as heard."""


def recognizer(name: str) -> Recognizer | None:
    """Return the recogniser of --asr: "none", "pocketsphinx", "faster-whisper", or "package.module:function".

    Raises OptionError when it is unknown or its package is missing.
    """
    if name in ("", "none"):
        return None
    if name in ("pocketsphinx", "faster-whisper"):
        return _known_recognizer(name)
    module, _, function = name.partition(":")
    try:
        found: Recognizer = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(
            f"--asr {name!r} cannot be imported ({error}): none, pocketsphinx or module:function"
        ) from error
    return found


def word_errors(expected: str, heard: str) -> tuple[int, int]:
    """Return (word errors, words expected): substitutions, insertions and deletions, case and marks aside."""
    want, got = _bare(expected), _bare(heard)
    row = list(range(len(got) + 1))
    for i, word in enumerate(want, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(got, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (word != other))
    return row[-1], len(want)


def _bare(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower().replace("’", "'").replace("-", " "))


def _known_recognizer(name: str) -> Recognizer:
    if name == "pocketsphinx":
        return _pocketsphinx()
    try:
        module = importlib.import_module("faster_whisper")
    except ImportError as error:
        raise OptionError(
            "--asr faster-whisper needs the package faster-whisper: pip install faster-whisper"
        ) from error
    model = module.WhisperModel("base.en")

    def hear(samples: Tensor, rate: int, text: str) -> str:
        from tutortoietts.audio.io import resample

        segments, _ = model.transcribe(resample(samples, rate, 16000).numpy())
        return " ".join(segment.text for segment in segments)

    return hear


def _pocketsphinx() -> Recognizer:
    try:
        module = importlib.import_module("pocketsphinx")
    except ImportError as error:
        raise OptionError("--asr pocketsphinx needs the package pocketsphinx: pip install pocketsphinx") from error
    decoder = module.Decoder(samprate=16000, loglevel="FATAL")

    def hear(samples: Tensor, rate: int, text: str) -> str:
        from tutortoietts.audio.io import pcm16, resample

        decoder.start_utt()
        decoder.process_raw(pcm16(resample(samples, rate, 16000)), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        return "" if found is None else str(found.hypstr)

    return hear
