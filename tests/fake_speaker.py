"""A speaker that needs no model: tones whose length follows the text, and faults on demand, by words of the text.

"dropword" is spoken too short, "endless" never comes to an end, "mute" is silent, "mumble" says other words,
"explode" raises, "murder" kills the process, "better" is bad at its first seed only, "spare" is bad in the first of
three readings of a draw.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from make_books import epub, li, paragraphs
from tutortoietts.book.book import Book
from tutortoietts.book.run import Event, Planned
from tutortoietts.book.speaker import Speaker, Spoken
from tutortoietts.core.errors import VoiceError
from tutortoietts.core.types import Word
from tutortoietts.engine.check import Limits

RATE = 8000
PACE = 0.04  # seconds a character: short, so that tests are quick
VOICES = ("", "anna", "ben", "holmes")


@dataclass
class FakeSpeaker:
    """See the module. `log`: a file with a line a call; `delay`: seconds a call takes."""

    log: str = ""
    delay: float = 0.0
    desired_length: int = 80
    sample_rate: int = RATE
    words: bool = True
    language: str = "en"
    languages: tuple[str, ...] = ("en", "en-US", "en-GB")
    terms: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, str, int]] = field(default_factory=list)
    others: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def limits(self) -> Limits:
        return Limits(loss=2.0)

    def identity(self) -> Mapping[str, Any]:
        return {"engine": "fake", "sample_rate": self.sample_rate, **self.options}

    def voice_digest(self, voice: str) -> str:
        if voice not in VOICES:
            raise VoiceError(f"unknown voice {voice!r}: there are {', '.join(VOICES)}")
        return hashlib.sha256(voice.encode()).hexdigest()

    def pace(self, voice: str) -> float | None:
        return PACE

    def readings(self, text: str, voice: str, seed: int, language: str = "") -> Iterator[Spoken]:
        assert language in ("", *self.languages)
        self.asked.append((text, language))
        first = self.speak(text, voice, seed)
        yield replace(first, evidence={**first.evidence, "loss": 3.0}) if "spare" in text else first
        if "spare" in text:
            for loss in (1.5, 1.2):
                self.others += 1
                yield replace(first, evidence={**first.evidence, "loss": loss})

    def speak(self, text: str, voice: str, seed: int) -> Spoken:
        self.calls.append((text, voice, seed))
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{text}\n")
        if self.delay:
            time.sleep(self.delay)
        if "explode" in text:
            raise RuntimeError("the engine broke")
        if "murder" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        again = sum(call[0] == text for call in self.calls) > 1
        bad = "better" in text and not again
        seconds = len(text) * PACE * (0.2 if "dropword" in text or bad else 1.0)
        samples = round(seconds * RATE)
        generator = torch.Generator().manual_seed(seed)
        pitch = 100 + 200 * float(torch.rand(1, generator=generator)) + 100 * VOICES.index(voice)
        tone = 0.2 * torch.sin(torch.arange(samples) * (2 * torch.pi * pitch / RATE))
        quiet = torch.zeros(RATE // 5)
        sound = torch.zeros_like(tone) if "mute" in text else tone
        whole = torch.cat([quiet, sound] if "endless" in text else [quiet, sound, quiet])
        evidence = {"finished": 0.0 if "endless" in text else 1.0, "loss": 3.0 if "mumble" in text else 1.0}
        return Spoken(
            samples=whole, sample_rate=RATE, words=_words(text, seconds) if self.words else (), evidence=evidence
        )


def _words(text: str, seconds: float) -> tuple[Word, ...]:
    scale = seconds / max(len(text), 1)
    return tuple(
        Word(m.group(0), 0.2 + m.start() * scale, 0.2 + m.end() * scale, 0.9, m.span())
        for m in re.finditer(r"\S+", text)
    )


@dataclass(frozen=True)
class FakeFactory:
    """Makes fake speakers in workers."""

    log: str = ""
    delay: float = 0.0

    def __call__(self) -> Speaker:
        return FakeSpeaker(log=self.log, delay=self.delay)


def speak_book(source: str, log: str, pipe: Any) -> None:
    """Make a book in a process of its own, a message an event: to be killed at any moment."""
    for event in Book.open(source).make(FakeSpeaker(log=log, delay=0.002)):
        pipe.send(type(event).__name__)


def make_epub(folder: Path, first: str = paragraphs(15), second: str = paragraphs(15, 2)) -> Path:
    pages = {"a.xhtml": f"<h1>One</h1>{first}", "b.xhtml": f"<h1>Two</h1>{second}"}
    return epub(folder / "book.epub", pages, contents=li("One", "a.xhtml") + li("Two", "b.xhtml"))


def makes(book: Book, speaker: FakeSpeaker | None = None, **arguments: object) -> list[Event]:
    return list(book.make(speaker or FakeSpeaker(), **arguments))  # type: ignore[arg-type]


def kinds(events: list[Event]) -> Counter[str]:
    return Counter(type(event).__name__ for event in events if not isinstance(event, Planned))


def takes(book: Book) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in book.store.folder.glob("takes/*/*.flac")}
