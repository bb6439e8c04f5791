"""One segment from text to kept sound, the same in this process, in a worker and on another machine.

`perform` speaks, judges, and repairs what is flagged: other candidates of the same draw first, which cost little, then
new seeds, then the text in halves; the best is kept.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tutortoietts.audio.read import read_audio, resample
from tutortoietts.book.sentences import clauses, sentences
from tutortoietts.book.speaker import Speaker
from tutortoietts.book.takes import encode_take, loudness_of
from tutortoietts.engine.check import Limits, Verdict, judge
from tutortoietts.engine.finish import Cut, Spoken, finish
from tutortoietts.engine.recognizers import Recognizer

__all__ = ["Job", "Result", "perform"]

JOIN_SECONDS = 0.15
SHORTEST_HALF = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A segment to speak; language: as for `Speaker.readings`; audio: bytes of a sound file that is heard instead."""

    key: str
    text: str
    voice: str
    seed: int
    retries: int = 2
    limits: Limits = field(default_factory=Limits)
    audio: bytes = b""
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A job done: FLAC bytes and what is to be noted; or `error`, when it could not be done."""

    key: str
    data: bytes = b""
    info: dict[str, Any] = field(default_factory=dict)
    error: str = ""


def perform(speaker: Speaker, job: Job, heard: Recognizer | None = None) -> Result:
    """Return the result of a job; errors of the engine are in it, never raised (but for interruption)."""
    started = time.perf_counter()
    try:
        if job.audio:
            return _recorded(job, speaker.sample_rate, started)
        takes: list[tuple[Verdict, Cut, int]] = []
        for number, spoken in enumerate(_attempts(speaker, job)):
            cut = finish(spoken)
            verdict = judge(spoken, cut, job.text, pace=speaker.pace(job.voice), limits=job.limits, heard=heard)
            takes.append((verdict, cut, number))
            if verdict.good:
                break
        verdict, cut, number = min(takes, key=lambda take: take[0].rank)
        return Result(key=job.key, data=encode_take(cut), info=_info(job, verdict, cut, number, len(takes), started))
    except Exception as error:
        return Result(key=job.key, error=f"{type(error).__name__}: {error}")


def _recorded(job: Job, rate: int, started: float) -> Result:
    """A sound file as a take, at the book's sample rate."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound"
        path.write_bytes(job.audio)
        samples, own_rate = read_audio(path)
    samples = resample(samples.mean(dim=0), own_rate, rate)
    cut = Cut(samples, rate, (), 0.0)
    return Result(key=job.key, data=encode_take(cut), info=_info(job, Verdict(), cut, 0, 1, started))


def _attempts(speaker: Speaker, job: Job) -> Iterator[Spoken]:
    voice, language = job.voice, job.language
    yield from speaker.readings(job.text, voice, job.seed, language)
    for attempt in range(1, job.retries + 1):
        yield from speaker.readings(job.text, voice, _mixed(job.seed, attempt), language)
    if job.retries and (halves := _halves(job.text)):
        seeds = [_mixed(job.seed, -1 - i) for i in range(len(halves))]
        pairs = zip(halves, seeds, strict=True)
        spoken = [next(speaker.readings(half, voice, seed, language)) for half, seed in pairs]
        yield _together(spoken, halves)


def _mixed(seed: int, attempt: int) -> int:
    digest = hashlib.blake2b(f"{seed}:{attempt}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


def _halves(text: str) -> list[str]:
    """The text in two, cut between sentences, else clauses, nearest to the middle; nothing for short texts."""
    for ranges in (sentences(text), clauses(text, 0, len(text))):
        cuts = [start for start, _ in ranges[1:] if SHORTEST_HALF <= start <= len(text) - SHORTEST_HALF]
        if cuts:
            cut = min(cuts, key=lambda place: abs(place - len(text) / 2))
            return [text[:cut].rstrip(), text[cut:]]
    return []


def _together(spoken: list[Spoken], halves: list[str]) -> Spoken:
    """Two halves as one, their words' times and places moved along."""
    rate = spoken[0].sample_rate
    pieces, words, seconds, place = [], [], 0.0, 0
    for number, (part, half) in enumerate(zip(spoken, halves, strict=True)):
        cut = finish(part)
        if number:
            pieces.append(torch.zeros(round(JOIN_SECONDS * rate)))
            seconds += round(JOIN_SECONDS * rate) / rate
        words += [
            word._replace(
                start=word.start + seconds, end=word.end + seconds, chars=(word.chars[0] + place, word.chars[1] + place)
            )
            for word in cut.words
        ]
        pieces.append(cut.samples)
        seconds += len(cut.samples) / rate
        place += len(half) + 1
    evidence = {
        name: (min if name == "finished" else max)(part.evidence[name] for part in spoken)
        for name in spoken[0].evidence
        if all(name in part.evidence for part in spoken)
    }
    return Spoken(samples=torch.cat(pieces), sample_rate=rate, words=tuple(words), evidence=evidence)


def _info(job: Job, verdict: Verdict, cut: Cut, number: int, tried: int, started: float) -> dict[str, Any]:
    return {
        "samples": len(cut.samples),
        "sample_rate": cut.sample_rate,
        "seed": job.seed,
        "attempt": number,
        "attempts": tried,
        "faults": list(verdict.faults),
        "lufs": round(loudness_of(cut), 2),
        "words": [
            [round(word.start, 3), round(word.end, 3), round(word.confidence, 3), *word.chars] for word in cut.words
        ],
        "made_in": round(time.perf_counter() - started, 3),
    }
