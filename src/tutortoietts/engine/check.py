"""Checks of what was spoken: rules that need no recogniser, for a take of a book and for a `Speech` alike.

The model itself says how likely its codes are under the text (one forward pass, which the word times need, too);
the sound, whether it came to an end, is silent, clipped, or too long or short for its text. Limits are measured for
each model by `benchmarks/book_checks.py --write` (calibration.json); a model without them is checked by its sound.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tutortoietts.engine.align import Alignment
from tutortoietts.engine.finish import Cut, Spoken, finish, frames
from tutortoietts.engine.recognizers import Recognizer, word_errors
from tutortoietts.engine.words import Reading

__all__ = [
    "CALIBRATION",
    "Calibration",
    "Check",
    "Limits",
    "PassageCheck",
    "Verdict",
    "calibration_of",
    "check_speech",
    "evidence_of",
    "judge",
    "worst_loss",
]

CALIBRATION = Path(__file__).parent / "calibration.json"
_LOSS_CODES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Measurements of a model: the highest loss of a reading that says its text, None if it was not measured; and the
    usual seconds a character of its voices."""

    loss_limit: float | None = None
    pace: Mapping[str, float] = field(default_factory=dict)

    @property
    def limits(self) -> Limits:
        """The limits with those of this model."""
        return Limits(loss=self.loss_limit)


@lru_cache(maxsize=8)
def calibration_of(model: str) -> Calibration:
    """Return the calibration of a model by its id."""
    known: Mapping[str, Any] = json.loads(CALIBRATION.read_text(encoding="utf-8"))
    return Calibration(**known.get(model, {}))


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


def worst_loss(losses: Tensor) -> float:
    """Return the mean of the three highest losses of single codes (S,), in nats.

    Codes of other words than the text's, or of a word left out or said twice, are unlikely under the text.
    """
    return float(losses.topk(min(_LOSS_CODES, len(losses))).values.mean()) if len(losses) else 0.0


def evidence_of(alignments: Sequence[Alignment], finished: Sequence[bool]) -> dict[str, float]:
    """Return the evidence of a reading from its passages: that of the worst one."""
    losses = [worst_loss(alignment.losses) for alignment in alignments]
    return {"finished": float(all(finished)), "loss": max(losses, default=0.0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageCheck:
    """Verdict on a passage: its text as spoken, and the seconds start..end of the sound."""

    text: str
    start: float
    end: float
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Verdicts on a sound, one a passage."""

    passages: tuple[PassageCheck, ...]

    @property
    def good(self) -> bool:
        """True when nothing is wrong."""
        return all(one.verdict.good for one in self.passages)

    @property
    def faults(self) -> tuple[str, ...]:
        """All faults, each with the beginning of its passage if there are several."""
        several = len(self.passages) > 1
        return tuple(
            f"{one.start:.1f} s, {one.text[:30]!r}: {fault}" if several else fault
            for one in self.passages
            for fault in one.verdict.faults
        )


def check_speech(samples: Tensor, sample_rate: int, reading: Reading, heard: Recognizer | None = None) -> Check:
    """Return the check of a sound (N,) that was spoken as `reading` says. heard: a recogniser that also listens."""
    pipeline = reading.pipeline
    known, speed = calibration_of(pipeline.models.source.model_id), pipeline.request.options.speed
    limits = known.limits
    limits = replace(limits, slowest=limits.slowest / speed, fastest=limits.fastest / speed)
    pace = known.pace.get(pipeline.request.voice.name)
    pace = None if pace is None else pace / speed
    passages = []
    for (spoken, start, end, at), alignment in zip(reading.placed, reading.alignments, strict=True):
        until = at + end - start
        text = "".join(piece for piece, hidden in spoken.encoded.passage.pieces() if not hidden).strip()
        words = [word for word in reading.words if at <= word.start <= until]
        one = Spoken(
            samples=samples[round(at * sample_rate) : round(until * sample_rate)],
            sample_rate=sample_rate,
            words=tuple(word._replace(start=word.start - at, end=word.end - at) for word in words),
            evidence=evidence_of([alignment], [spoken.finished]),
        )
        verdict = judge(one, finish(one), text, pace=pace, limits=limits, heard=heard)
        passages.append(PassageCheck(text=text, start=at, end=until, verdict=verdict))
    return Check(passages=tuple(passages))


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
