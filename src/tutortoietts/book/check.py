"""Is a take good? Rules that need no recogniser, applied to the finished sound; and a recogniser where one is given."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tutortoietts.book.speaker import Spoken
from tutortoietts.book.takes import Cut, frames
from tutortoietts.core.errors import OptionError

__all__ = ["Limits", "Recognizer", "Verdict", "judge", "recognizer", "word_errors"]

Recognizer = Callable[[Tensor, int, str], str]
"""(samples (N,), sample rate, expected text) -> text as heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits beyond which a take is flagged.

    slow, fast: seconds a character, in times the voice's pace. loss: nats; None: not used.
    """

    slow: float = 1.35
    fast: float = 0.65
    silence: float = 2.5
    clipped: float = 0.001
    end_decibels: float = -20.0
    loss: float | None = None
    slowest: float = 0.16
    fastest: float = 0.030


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Faults of a take: `hard` ones are heard for sure, `soft` ones are likely; `distance` ranks equals, 0 is best."""

    hard: tuple[str, ...] = ()
    soft: tuple[str, ...] = ()
    distance: float = 0.0

    @property
    def good(self) -> bool:
        """True when nothing is wrong."""
        return not (self.hard or self.soft)

    @property
    def faults(self) -> tuple[str, ...]:
        """All faults, the hard ones first."""
        return self.hard + self.soft

    @property
    def rank(self) -> tuple[int, int, float]:
        """Key to sort by: the best first."""
        return len(self.hard), len(self.soft), self.distance


def judge(
    spoken: Spoken, cut: Cut, text: str, *, pace: float | None, limits: Limits, heard: Recognizer | None = None
) -> Verdict:
    """Return the verdict on a take of `text`; `pace`: the voice's usual seconds a character, None if unknown."""
    samples = cut.samples
    if not bool(torch.isfinite(samples).all()):
        return Verdict(hard=("not a number",))
    if len(samples) == 0 or float(samples.abs().max()) < 1e-3:
        return Verdict(hard=("silent",))
    hard = list(_sound_faults(spoken, limits))
    soft: list[str] = []
    distance = 0.0
    length = _length_fault(cut, text, pace, limits)
    if length:
        soft.append(length)
    if pace:
        distance += abs(math.log(max(_seconds_a_character(cut, text), 1e-4) / pace))
    if cut.longest_silence > limits.silence:
        soft.append(f"silent for {cut.longest_silence:.1f} s inside")
    loss = spoken.evidence.get("loss")
    if loss is not None:
        distance += 0.1 * loss
        if limits.loss is not None and loss > limits.loss:
            soft.append(f"other words than the text's (loss {loss:.2f}, limit {limits.loss:.2f})")
    if heard is not None:
        errors, words = word_errors(text, heard(samples, cut.sample_rate, text))
        if errors > math.ceil(words / 10):
            soft.append(f"heard with {errors} of {words} words wrong")
    return Verdict(hard=tuple(hard), soft=tuple(soft), distance=round(distance, 4))


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


def _sound_faults(spoken: Spoken, limits: Limits) -> list[str]:
    samples = spoken.samples.flatten()
    faults = []
    if spoken.evidence.get("finished", 1.0) < 1:
        faults.append("never came to an end")
    if float((samples.abs() >= 0.999).float().mean()) > limits.clipped:
        faults.append("clipped")
    levels = frames(samples, spoken.sample_rate)
    if len(levels) >= 10 and float(levels[-2:].mean()) > limits.end_decibels:
        faults.append("cut off at its end")
    return faults


def _seconds_a_character(cut: Cut, text: str) -> float:
    return len(cut.samples) / cut.sample_rate / max(len(text), 1)


def _length_fault(cut: Cut, text: str, pace: float | None, limits: Limits) -> str:
    actual = _seconds_a_character(cut, text)
    margin = 0.35 / max(len(text), 1)  # ends and pauses weigh more in short texts
    slowest, fastest = (limits.slow * pace, limits.fast * pace) if pace else (limits.slowest, limits.fastest)
    if actual > slowest + margin:
        return f"too long ({actual * 1000:.0f} ms a character, limit {slowest * 1000:.0f})"
    if actual < fastest - margin:
        return f"too short ({actual * 1000:.0f} ms a character, limit {fastest * 1000:.0f})"
    return ""


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
