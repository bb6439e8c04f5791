"""Results that a caller holds: `Speech`, all the sound of a text, and `SpeechStream`, its chunks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from tutortoietts.core.errors import OptionError
from tutortoietts.core.types import Word
from tutortoietts.engine.progress import Report
from tutortoietts.engine.words import Reading

if TYPE_CHECKING:
    from tutortoietts.engine.check import Check
    from tutortoietts.engine.recognizers import Recognizer

__all__ = ["Speech", "SpeechStream"]


class Speech:
    """Spoken text.

    samples: (N,) float32 in -1..1 on the CPU, at `sample_rate`. seed: gives the same samples again.
    report: seconds of each stage. terms: licence of the sound with its address, where the model has one for it.
    cached: the samples come from the phrase cache. reading: passages and codes that it was made from.
    """

    def __init__(
        self,
        samples: Tensor,
        sample_rate: int,
        seed: int,
        report: Report,
        reading: Reading,
        terms: str = "",
        cached: bool = False,
    ) -> None:
        self.samples, self.sample_rate, self.seed, self.report = samples, sample_rate, seed, report
        self.reading, self.terms, self.cached = reading, terms, cached

    def __repr__(self) -> str:
        return f"Speech({self.seconds:.2f} s at {self.sample_rate} Hz, seed {self.seed})"

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / self.sample_rate

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """Words as written, with their times in seconds, found by alignment when first read."""
        return self.reading.words

    def check(self, heard: Recognizer | None = None) -> Check:
        """Check, passage by passage, that the text was said, and said well, as books check every sentence.

        heard: a recogniser that also listens, of `engine.recognizers.recognizer`.
        """
        from tutortoietts.engine.check import check_speech

        return check_speech(self.samples, self.sample_rate, self.reading, heard)

    def save(self, path: str | os.PathLike[str], *, mark: bool = False) -> Path:
        """Write a sound file, by ending wav, flac, ogg, opus or mp3. Raise OutputError where that cannot be done.

        mark: write "AI-generated speech" as the file's comment; the samples are the same.
            The `terms` are written with or without it.
        """
        from tutortoietts.audio.io import file_comment, save_audio

        return save_audio(path, self.samples, self.sample_rate, comment=file_comment(self.terms, mark=mark))


class SpeechStream:
    """Chunks (N,) float32 in -1..1 on the CPU, at `sample_rate`, while more is being made.

    Iterate over it once. `report` and `words` exist when the last chunk was taken. `close()`, the end of a `with`
    block, or the event `stop` set from any thread end the work within a step. cached: the samples come from the phrase
    cache.
    """

    def __init__(
        self,
        chunks: Iterator[Tensor],
        sample_rate: int,
        seed: int,
        stop: threading.Event,
        report: Callable[[], Report],
        find_words: Callable[[], tuple[Word, ...]],
        cached: bool = False,
    ) -> None:
        self.sample_rate, self.seed, self.stop, self.cached = sample_rate, seed, stop, cached
        self._chunks, self._report, self._find_words = chunks, report, find_words
        self._finished = False

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        try:
            return next(self._chunks)
        except StopIteration:
            self._finished = True
            raise

    def __enter__(self) -> SpeechStream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the work and free what it holds."""
        closing(self._chunks).__exit__()  # type: ignore[type-var]

    @property
    def report(self) -> Report:
        """Report on the request, with the time of each stage. Raise OptionError before the last chunk."""
        self._need_end("report")
        return self._report()

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """Words as written, with their times in seconds. Raise OptionError before the last chunk."""
        self._need_end("words")
        return self._find_words()

    def _need_end(self, name: str) -> None:
        if not self._finished:
            raise OptionError(f"a stream's {name} is known at its end: take all chunks first")
