"""Marked-up text as one sound: planned, spoken and checked as a book of one chapter, without a folder that stays.

clip = speak_ssml('<speak>Wait. <break time="1s"/> Go!</speak>', EngineSpeaker(tts))
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from tutortoietts.book.book import Book
from tutortoietts.book.export.material import Choices, Material
from tutortoietts.book.options import BookOptions
from tutortoietts.book.readers.ssml import parse_ssml
from tutortoietts.book.run import Failed, Flagged
from tutortoietts.book.speaker import Speaker
from tutortoietts.book.store import Store
from tutortoietts.core.errors import BookError
from tutortoietts.core.types import Word

__all__ = ["Clip", "speak_ssml"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """A marked-up text as spoken: samples (N,) float32; the text without markup, its words with their times; seconds of
    the marks by name; what is wrong, as far as the checks of a book can tell; the number of segments."""

    samples: Tensor
    sample_rate: int
    text: str
    words: tuple[Word, ...]
    marks: Mapping[str, float]
    faults: tuple[str, ...]
    segments: int

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / self.sample_rate


def speak_ssml(text: str, speaker: Speaker, options: BookOptions | None = None) -> Clip:
    """Speak SSML. options: voice, seed, retries, audio_dir and so on, as of a book.

    Raises BookError for broken markup, with line and column, VoiceError for a voice that is not known.
    """
    options = replace(options or BookOptions(), loudness="off")
    document = parse_ssml(text.encode("utf-8"), "the SSML text", options.reading())
    for line in document.warnings:
        _log.warning("%s", line)
    with TemporaryDirectory() as folder:
        book = Book(Store(folder), "-", options, document)
        faults = list[str]()
        for event in book.make(speaker):
            if isinstance(event, Failed):
                raise BookError(f"{event.segment.shown[:60]!r} could not be spoken: {event.error}")
            if isinstance(event, Flagged):
                faults += [f"{event.segment.shown[:30]!r}: {fault}" for fault in event.faults]
        return _joined(Material(book, Choices()), tuple(faults))


def _joined(material: Material, faults: tuple[str, ...]) -> Clip:
    (chapter,) = material.timeline.chapters
    rate = material.timeline.sample_rate
    samples = torch.cat(list(material.mastering.chapter(chapter)))
    begin, end = chapter.head, chapter.segments[-1].end  # a clip has no silence of a chapter at its ends
    text, words, marks = "", list[Word](), dict[str, float]()
    for placed in chapter.segments:
        text += " " if text else ""
        for word in material.words(placed):
            chars = word.chars[0] + len(text), word.chars[1] + len(text)
            words.append(Word(word.text, word.start - begin / rate, word.end - begin / rate, word.confidence, chars))
        text += placed.segment.shown
        if placed.segment.mark:
            marks[placed.segment.mark] = (placed.start - begin) / rate
    return Clip(
        samples=samples[begin:end].contiguous(),
        sample_rate=rate,
        text=text,
        words=tuple(words),
        marks=marks,
        faults=faults,
        segments=len(chapter.segments),
    )
