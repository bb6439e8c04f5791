"""Sound files: any that libsndfile reads -> tensors, tensors -> wav, flac, ogg/opus, mp3.

clip = load_clip("voice.mp3", 22050)          # (1, N) float32, checked as a reference clip
save_audio("out.flac", samples, 24000)        # complete, or not there at all
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import secrets
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tutortoietts.audio.read import audio_seconds, check_clip, load_audio, load_clip, read_audio, resample
from tutortoietts.core.errors import AudioError, OptionError, OutputError

if TYPE_CHECKING:
    import numpy

__all__ = [
    "CLIP_SUFFIXES",
    "MARK",
    "OUTPUT_SUFFIXES",
    "audio_seconds",
    "check_clip",
    "check_writable",
    "encode_audio",
    "file_comment",
    "load_audio",
    "load_clip",
    "pcm16",
    "read_audio",
    "resample",
    "save_audio",
    "wav_header",
]

_log = logging.getLogger(__name__)

CLIP_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au")
OUTPUT_SUFFIXES = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "OPUS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
MARK = "AI-generated speech"
"""Comment that tells a listener's programs where the sound comes from."""
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
BLOCK = 1 << 20


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Check, before any work, that `save_audio` will be able to write to a path, and return it.

    Raises OutputError for an unknown format, a missing or write-protected folder, a path that is a folder.
    """
    path = Path(path)
    try:
        _check_target(path)
    except OutputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _output_error(path, error) from error
    return path


def _check_target(path: Path) -> None:
    if _is_device(path):
        return
    if path.is_dir():
        raise OutputError(f"{path} is a folder: add a file name, such as {path / 'output.wav'}")
    if path.suffix.lower() not in OUTPUT_SUFFIXES:
        known = ", ".join(OUTPUT_SUFFIXES)
        raise OutputError(f"cannot tell the format of {path} from {path.suffix!r}: end it in one of {known}")
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"{path} cannot be written, there is no folder {folder}: create it first")
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"{path} is write-protected: remove it or choose another name")
    part = _part(path)
    try:
        part.touch(exist_ok=False)
    finally:
        part.unlink(missing_ok=True)


def file_comment(terms: str, *, mark: bool) -> str:
    """Return the comment of a sound file: the mark of synthetic speech, if `mark`, and the terms of its licence."""
    return ". ".join(part for part in (MARK if mark else "", terms) if part)


def save_audio(path: str | os.PathLike[str], samples: Tensor, sample_rate: int = 24000, *, comment: str = "") -> Path:
    """Write `samples` ((N,), (1, N) or (1, 1, N); (2, N) is stereo) in the format of the extension.

    Formats are 16-bit wav and flac, ogg and opus (Opus), mp3; values beyond -1..1 are clipped. The file is written
    under a temporary name and renamed, so that it is complete or absent. `comment` is written as the file's comment,
    but not into a pipe.
    Raises OutputError if it cannot be written, AudioError for samples of another shape or not finite.
    """
    path = check_writable(path)
    device = _is_device(path)
    data = encode_audio(samples, sample_rate, ".wav" if device else path.suffix, comment="" if device else comment)
    try:
        if device:
            path.write_bytes(data)
        else:
            _replace(path.resolve(), data)
    except OSError as error:
        raise _output_error(path, error) from error
    return path


def encode_audio(samples: Tensor, sample_rate: int, suffix: str, *, comment: str = "") -> bytes:
    """Encode `samples` as a sound file in memory; `suffix`: ".wav", ".flac", ".ogg", ".opus" or ".mp3".

    `comment` is written as the file's comment: behind the samples of a WAV, else before them.

    Opus and mp3 know only some rates; others are resampled to 48 000. Raises as `save_audio`, and OutputError for a
    rate that the format cannot hold.
    """
    import soundfile

    if suffix.lower() not in OUTPUT_SUFFIXES:
        raise OutputError(f"unknown audio format {suffix!r}: use one of {', '.join(OUTPUT_SUFFIXES)}")
    if sample_rate <= 0:
        raise OptionError(f"sample rate {sample_rate} must be positive (hertz)")
    container, subtype = OUTPUT_SUFFIXES[suffix.lower()]
    wav = _channels_first(samples)
    allowed = {"OPUS": OPUS_RATES, "MPEG_LAYER_III": MP3_RATES}.get(subtype)
    if allowed and sample_rate not in allowed:
        wav, sample_rate = resample(wav, sample_rate, 48000), 48000
    data = _frames(wav)
    buffer = io.BytesIO()
    try:
        with soundfile.SoundFile(buffer, "w", sample_rate, data.shape[1], subtype, format=container) as file:
            if comment and container != "WAV":
                file.comment = comment
            for start in range(0, len(data), BLOCK):  # libsndfile's Ogg writer overflows its stack on huge writes
                file.write(data[start : start + BLOCK])
            if comment and container == "WAV":
                file.comment = comment
    except soundfile.LibsndfileError as error:
        raise OutputError(f"{suffix} cannot hold {sample_rate} samples a second ({error}): use .wav") from error
    return buffer.getvalue()


def pcm16(samples: Tensor) -> bytes:
    """Convert (N,), (1, N) or (1, 1, N) float to little-endian 16-bit samples, clipped, to follow `wav_header`."""
    scaled = _channels_first(samples).clamp(-1, 1).mul(32767).round().to(torch.int16)
    return bytes(scaled.T.contiguous().numpy().astype("<i2").tobytes())


def wav_header(sample_rate: int, samples: int | None = None, comment: str = "") -> bytes:
    """Return the bytes before mono 16-bit samples; `samples` None if the length is not known yet (streams).

    They are 44, and more with a `comment`.
    """
    info = _wav_comment(comment) if comment else b""
    size = 0xFFFFFFFF if samples is None else samples * 2
    riff = 0xFFFFFFFF if samples is None else 36 + len(info) + size
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate, sample_rate * 2, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + form + info + struct.pack("<4sI", b"data", size)


def _wav_comment(comment: str) -> bytes:
    """A LIST chunk of one comment, ended by NUL and of even length."""
    text = comment.encode("utf-8") + b"\0"
    padded = text + b"\0" * (len(text) % 2)
    return struct.pack("<4sI4s4sI", b"LIST", 12 + len(padded), b"INFO", b"ICMT", len(text)) + padded


def _channels_first(samples: Tensor) -> Tensor:
    wav = samples.detach().to("cpu", torch.float32)
    if wav.ndim == 3 and wav.shape[0] == 1:
        wav = wav[0]
    if wav.ndim == 1:
        wav = wav[None]
    if wav.ndim != 2 or not 1 <= wav.shape[0] <= 2:
        raise AudioError(f"cannot write audio of shape {tuple(samples.shape)}: give (1, samples) or (1, 1, samples)")
    if wav.shape[-1] == 0:
        raise AudioError("cannot write audio of 0 samples")
    if not bool(wav.isfinite().all()):
        raise AudioError("cannot write audio that holds NaN or infinite samples")
    return wav


def _frames(wav: Tensor) -> numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.float32]]:
    """Transpose (channels, N) to (N, channels) numpy, clipped; audible clipping is logged."""
    peak = float(wav.abs().max())
    if peak > 1.001:
        _log.warning("samples reach %.2f and are clipped to 1.0", peak)
    return wav.clamp(-1, 1).T.contiguous().numpy()


def _replace(path: Path, data: bytes) -> None:
    """Write beside `path` and rename; delete the temporary file of a failed attempt."""
    part = _part(path)
    try:
        part.write_bytes(data)
        if path.exists():
            part.chmod(path.stat().st_mode & 0o777)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _part(path: Path) -> Path:
    """Return an unused name beside `path`."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def _is_device(path: Path) -> bool:
    """Return True for a pipe or device, such as /dev/stdout, which must never be replaced by renaming."""
    return path.exists() and not path.is_dir() and not path.is_file()


def _output_error(path: Path, error: OSError | ValueError) -> OutputError:
    remedies = {
        "ENOSPC": "the disk is full: free some space or write elsewhere",
        "EDQUOT": "the disk quota is used up: free some space or write elsewhere",
        "EACCES": "permission denied: choose another folder",
        "EPERM": "permission denied: choose another folder",
        "EROFS": "the file system is read-only: choose another folder",
        "ENAMETOOLONG": "the name is too long: choose a shorter one",
    }
    name = errno.errorcode.get(error.errno or 0, "") if isinstance(error, OSError) else ""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return OutputError(f"{str(path)!r} cannot be written, {remedies.get(name, f'{reason}: choose another place')}")
