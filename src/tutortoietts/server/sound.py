"""Conversion of a model's chunks to the bytes of an answer: speed, sample rate, silence at the end, encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tutortoietts.audio.stretch import Stretcher
from tutortoietts.core.types import Word
from tutortoietts.server.formats import make_encoder
from tutortoietts.server.request import SpeechRequest

__all__ = ["Sound"]


class Sound:
    """The way of one answer; `seconds` of sound were encoded, from `spoken_seconds` that the model made.

    terms: of the model's licence, written where the format has a place.
    """

    def __init__(self, request: SpeechRequest, model_rate: int, tail_silence: int, terms: str = "") -> None:
        self._speed, self._model_rate, self._rate = request.speed, model_rate, request.sample_rate
        self._stretcher = Stretcher(model_rate, request.speed)
        self._resampler: Any = None
        if model_rate != self._rate:
            import soxr

            self._resampler = soxr.ResampleStream(model_rate, self._rate, 1, dtype="float32", quality="HQ")
        self._tail = round(tail_silence * model_rate / 1000)
        self._encoder = make_encoder(request.form, self._rate, whole=request.whole, comment=terms)
        self.seconds = self.spoken_seconds = 0.0

    def push(self, chunk: Tensor) -> tuple[bytes, float]:
        """Return the bytes that the next samples complete, and the seconds of sound added."""
        self.spoken_seconds += len(chunk) / self._model_rate
        return self._encoded(self._stretcher.push(chunk), last=False)

    def finish(self) -> tuple[bytes, float]:
        """Return the last bytes and seconds."""
        rest = torch.cat([self._stretcher.finish(), torch.zeros(self._tail)])
        data, seconds = self._encoded(rest, last=True)
        return data + self._encoder.finish(), seconds

    def placed(self, words: Sequence[Word]) -> tuple[Word, ...]:
        """Return the words with their times in the answer's sound."""
        return tuple(word._replace(start=word.start / self._speed, end=word.end / self._speed) for word in words)

    def _encoded(self, samples: Tensor, *, last: bool) -> tuple[bytes, float]:
        if self._resampler is not None:
            data = self._resampler.resample_chunk(samples.contiguous().numpy(), last=last)
            samples = torch.from_numpy(data).flatten()
        seconds = len(samples) / self._rate
        self.seconds += seconds
        return (self._encoder.push(samples) if len(samples) else b""), seconds
