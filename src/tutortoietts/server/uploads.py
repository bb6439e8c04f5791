"""Clips that strangers send: bounded before they are decoded, decoded only as far as allowed, kept as plain WAV."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import BinaryIO

import torch

from tutortoietts.audio.io import check_clip, pcm16, wav_header
from tutortoietts.server.errors import ApiError, invalid

__all__ = ["CLIP_BYTES", "MOST_CLIPS", "write_clip"]

MOST_CLIPS = 10
CLIP_BYTES = 10 * 1024 * 1024
CLIP_SECONDS = 60
MOST_RATE, MOST_CHANNELS = 192_000, 8
_MAGIC = (
    (0, b"RIFF"), (0, b"RF64"), (0, b"fLaC"), (0, b"OggS"), (0, b"ID3"), (0, b"FORM"), (0, b".snd"),
    (0, b"\xff\xfb"), (0, b"\xff\xf3"), (0, b"\xff\xf2"), (0, b"\xff\xfa"),
)  # fmt: skip
_PARAM = "audio_sample"


def write_clip(file: BinaryIO, size: int, number: int, folder: Path) -> Path:
    """Check a clip by its bytes, not its name, and write it as WAV into `folder`; return the path.

    Raises ApiError 400 and 413, AudioError for a clip too short or silent.
    """
    if size > CLIP_BYTES:
        raise ApiError(
            413, f"clip {number} has {size} bytes, above the limit of {CLIP_BYTES}", param=_PARAM, code="clip_too_large"
        )
    head = file.read(16)
    if not any(head[at:].startswith(magic) for at, magic in _MAGIC):
        raise _bad(number, "is not wav, flac, ogg, opus, mp3 or aiff")
    file.seek(0)
    samples, rate = _decode(io.BytesIO(file.read(CLIP_BYTES + 1)), number)
    check_clip(samples, rate, f"clip {number}")
    path = folder / f"{number:03d}.wav"
    path.write_bytes(wav_header(rate, samples.shape[-1]) + pcm16(samples))
    return path


def _decode(data: io.BytesIO, number: int) -> tuple[torch.Tensor, int]:
    """Return (1, N) samples and their rate; nothing is decoded before its size is known to be bounded."""
    import soundfile

    try:
        with soundfile.SoundFile(data) as sound:
            rate, channels, frames = sound.samplerate, sound.channels, sound.frames
            if not 4000 <= rate <= MOST_RATE:
                raise _bad(number, f"has {rate} samples a second, outside 4000..{MOST_RATE}")
            if channels > MOST_CHANNELS:
                raise _bad(number, f"has {channels} channels, above the limit of {MOST_CHANNELS}")
            most = CLIP_SECONDS * rate
            if frames > most and frames < 1 << 60:
                raise _bad(number, f"lasts {frames / rate:.0f} s, above the limit of {CLIP_SECONDS} s")
            samples = torch.from_numpy(sound.read(most + 1, dtype="float32", always_2d=True)).mean(1)
    except (soundfile.LibsndfileError, RuntimeError, ValueError, TypeError) as error:
        raise _bad(number, "is damaged, or not in a format known here") from error
    if len(samples) > most:
        raise _bad(number, f"lasts more than {CLIP_SECONDS} s, the limit")
    if not math.isfinite(float(samples.abs().sum())):
        raise _bad(number, "holds samples that are not numbers")
    return samples[None], int(rate)


def _bad(number: int, what: str) -> ApiError:
    return invalid(f"clip {number} {what}: send 6 to 10 s of one speaker as wav or flac", _PARAM, "invalid_audio")
