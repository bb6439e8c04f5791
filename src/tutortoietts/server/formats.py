"""The formats of an answer: content types, and the encoders for streams and for whole clips."""

from __future__ import annotations

import importlib.util
from typing import Protocol

import torch
from torch import Tensor

from tutortoietts.audio.encode import StreamEncoder
from tutortoietts.audio.io import encode_audio, pcm16, wav_header
from tutortoietts.server.errors import ApiError

__all__ = ["FORMATS", "Encoder", "WholeEncoder", "can_stream", "content_type", "make_encoder"]

FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg; codecs=opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
}
_NO_AV = "needs PyAV on the server (pip install 'tutortoietts[serve-audio]'): choose wav or pcm"


class Encoder(Protocol):
    """Samples in, bytes out."""

    def push(self, block: Tensor) -> bytes:
        """Return the bytes that the next samples (N,) float32 complete."""
        ...

    def finish(self) -> bytes:
        """Return the last bytes."""
        ...


def content_type(form: str, rate: int) -> str:
    """Return the Content-Type of a format."""
    return f"audio/pcm;rate={rate};channels=1" if form == "pcm" else _TYPES[form]


def have_av() -> bool:
    """Return True if PyAV is installed."""
    return importlib.util.find_spec("av") is not None


def can_stream(form: str) -> bool:
    """Return True if a format can be sent while it is made."""
    return form in ("pcm", "wav") or have_av()


def make_encoder(form: str, rate: int, *, whole: bool, comment: str = "") -> Encoder:
    """Return the encoder for one answer; `comment`: where the format has a place.

    Raises ApiError 501 where PyAV is needed and missing.
    """
    if form == "aac" and not have_av():
        raise ApiError(501, f"aac {_NO_AV}", param="response_format", code="format_unavailable")
    if whole and form != "aac":
        return WholeEncoder(form, rate, comment)
    return StreamEncoder(form, rate, comment)


class WholeEncoder:
    """Collects all samples and encodes them at the end, so that lengths in headers are exact."""

    def __init__(self, form: str, rate: int, comment: str = "") -> None:
        self._form, self._rate, self._comment = form, rate, comment
        self._blocks: list[Tensor] = []

    def push(self, block: Tensor) -> bytes:
        """Keep the samples."""
        self._blocks.append(block)
        return b""

    def finish(self) -> bytes:
        """Return the file."""
        sound = torch.cat(self._blocks) if self._blocks else torch.zeros(0)
        if self._form == "pcm":
            return pcm16(sound)
        if self._form == "wav":
            return wav_header(self._rate, len(sound), self._comment) + pcm16(sound)
        return encode_audio(sound, self._rate, f".{self._form}", comment=self._comment)
