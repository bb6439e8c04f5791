"""Sound files: any that libsndfile reads -> tensors, tensors -> wav, flac, ogg/opus, mp3.

clip = load_clip("voice.mp3", 22050)          # (1, N) float32, checked as a reference clip
save_audio("out.flac", samples, 24000)        # complete, or not there at all
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import math
import os
import secrets
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tutortoietts.audio.resample import MAX_PHASES, resample_sinc
from tutortoietts.core.errors import AudioError, OptionError, OutputError

if TYPE_CHECKING:
    import numpy

__all__ = [
    "CLIP_SUFFIXES",
    "OUTPUT_SUFFIXES",
    "check_clip",
    "check_writable",
    "encode_audio",
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
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
MIN_CLIP_SECONDS = 0.5
SILENT_PEAK = 1e-3  # -60 dB of full scale
LOUDEST_PEAK = 10.0  # float clips may be a little over 1; 16-bit integers are far over
LOW_RATE = 16000
BLOCK = 1 << 20


def read_audio(path: str | os.PathLike[str]) -> tuple[Tensor, int]:
    """Read a sound file -> (samples (channels, N) float32, sample rate in hertz).

    Raises AudioError for a file that is missing, in a format unknown to libsndfile, broken, empty, or not finite.
    """
    import soundfile

    path = Path(path)
    if not os.path.exists(path):  # False, not an error, for names that no file can have
        raise AudioError(f"no audio file at {path}: check the path")
    if path.is_dir():
        raise AudioError(f"{path} is a folder, not an audio file: name a file in it")
    if not path.is_file():
        raise AudioError(f"{path} is a pipe or device, not an audio file: save the sound to a file first")
    if not os.access(path, os.R_OK):
        raise AudioError(f"{path} cannot be read, permission denied: change its permissions, or copy it")
    if path.stat().st_size == 0:
        raise AudioError(f"{path} is empty (0 bytes): give a clip of at least {MIN_CLIP_SECONDS} s")
    try:
        data, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:  # its own words mislead: any text called .mp3 "does not exist"
        remedy = "convert it to wav, flac, ogg, opus or mp3"
        raise AudioError(f"{path} is not audio in a known format, or is damaged: {remedy}") from error
    except (OSError, TypeError) as error:  # TypeError: headerless .raw files
        raise AudioError(f"{path} cannot be read: {error}") from error
    samples = torch.from_numpy(data).T.contiguous()
    if samples.shape[-1] == 0:
        raise AudioError(f"{path} is empty (0 samples): give a clip of at least {MIN_CLIP_SECONDS} s")
    if not bool(samples.isfinite().all()):
        raise AudioError(f"{path} holds samples that are not numbers (NaN or infinite): export it again")
    return samples, int(rate)


def load_audio(path: str | os.PathLike[str], sampling_rate: int) -> Tensor:
    """Read a sound file as one channel -> (1, N) float32 in -1..1 at `sampling_rate` hertz.

    Channels are averaged. Resampled with the windowed-sinc kernel through which the models heard their clips.
    Raises AudioError as `read_audio`, OptionError for a rate that is not positive.
    """
    if sampling_rate <= 0:
        raise OptionError(f"sampling rate {sampling_rate} must be positive (hertz)")
    samples, rate = read_audio(path)
    return resample(samples.mean(0, keepdim=True), rate, sampling_rate, kernel="sinc").clamp(-1, 1)


def load_clip(path: str | os.PathLike[str], sampling_rate: int) -> Tensor:
    """Read a reference clip as `load_audio` does, and check it; a low original rate is logged. Raises AudioError."""
    samples, rate = read_audio(path)
    if rate < LOW_RATE:
        _log.warning(
            "%s has %d samples a second, so nothing above %d Hz: a clip of 22050 or more clones better",
            path, rate, rate // 2,
        )  # fmt: skip
    clip = resample(samples.mean(0, keepdim=True), rate, sampling_rate, kernel="sinc").clamp(-1, 1)
    check_clip(clip, sampling_rate, str(path))
    return clip


def check_clip(clip: Tensor, rate: int, name: str = "the clip") -> None:
    """Raise AudioError unless `clip` (1, N) at `rate` hertz is long and loud enough to make a voice from."""
    if clip.ndim != 2 or clip.shape[0] != 1:
        raise AudioError(f"{name} has shape {tuple(clip.shape)}, must be (1, samples): average its channels")
    seconds = clip.shape[-1] / rate
    if clip.shape[-1] == 0:
        raise AudioError(f"{name} is empty (0 samples): give a clip of at least {MIN_CLIP_SECONDS} s")
    if not bool(clip.isfinite().all()):
        raise AudioError(f"{name} holds samples that are not numbers (NaN or infinite): export it again")
    if seconds < MIN_CLIP_SECONDS:
        raise AudioError(f"{name} lasts {seconds:.2f} s, must be at least {MIN_CLIP_SECONDS} s: 6 to 10 s are best")
    peak = float(clip.abs().max())
    if peak < SILENT_PEAK:
        raise AudioError(f"{name} is silent (peak {peak:.5f}, must reach {SILENT_PEAK}): give a clip with speech")
    if peak > LOUDEST_PEAK:
        raise AudioError(f"{name} has samples up to {peak:g}, must be in -1..1: divide 16-bit samples by 32768")


def resample(wav: Tensor, source: int, target: int, *, kernel: str = "soxr") -> Tensor:
    """Resample `wav` (..., N) -> (..., M) float32. `kernel`: "soxr" (very high quality, on the CPU) or "sinc".

    "sinc" is `audio.resample.resample_sinc`; for ratios too odd for it soxr is used.
    """
    if kernel not in ("soxr", "sinc"):
        raise OptionError(f"unknown resampling kernel {kernel!r}: use 'soxr' or 'sinc'")
    if source <= 0 or target <= 0:
        raise OptionError(f"cannot resample from {source} to {target} Hz: both rates must be positive")
    if source == target:
        return wav.to(torch.float32)
    if kernel == "sinc" and target // math.gcd(source, target) <= MAX_PHASES:
        return resample_sinc(wav, source, target)
    import soxr

    flat = wav.detach().to("cpu", torch.float32).reshape(-1, wav.shape[-1])
    rows = [torch.from_numpy(soxr.resample(row.numpy(), source, target, "VHQ")) for row in flat]
    return torch.stack(rows).reshape(*wav.shape[:-1], -1).to(wav.device)


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
    part.touch(exist_ok=False)
    part.unlink()


def save_audio(path: str | os.PathLike[str], samples: Tensor, sample_rate: int = 24000) -> Path:
    """Write `samples` ((N,), (1, N) or (1, 1, N); (2, N) is stereo) in the format of the extension.

    Formats are 16-bit wav and flac, ogg and opus (Opus), mp3; values beyond -1..1 are clipped. The file is written
    under a temporary name and renamed, so that it is complete or absent.
    Raises OutputError if it cannot be written, AudioError for samples of another shape or not finite.
    """
    path = check_writable(path)
    device = _is_device(path)
    data = encode_audio(samples, sample_rate, ".wav" if device else path.suffix)
    try:
        if device:
            path.write_bytes(data)
        else:
            _replace(path.resolve(), data)
    except OSError as error:
        raise _output_error(path, error) from error
    return path


def encode_audio(samples: Tensor, sample_rate: int, suffix: str) -> bytes:
    """Encode `samples` as a sound file in memory; `suffix`: ".wav", ".flac", ".ogg", ".opus" or ".mp3".

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
            for start in range(0, len(data), BLOCK):  # libsndfile's Ogg writer overflows its stack on huge writes
                file.write(data[start : start + BLOCK])
    except soundfile.LibsndfileError as error:
        raise OutputError(f"{suffix} cannot hold {sample_rate} samples a second ({error}): use .wav") from error
    return buffer.getvalue()


def pcm16(samples: Tensor) -> bytes:
    """Convert (N,), (1, N) or (1, 1, N) float to little-endian 16-bit samples, clipped, to follow `wav_header`."""
    scaled = _channels_first(samples).clamp(-1, 1).mul(32767).round().to(torch.int16)
    return bytes(scaled.T.contiguous().numpy().astype("<i2").tobytes())


def wav_header(sample_rate: int, samples: int | None = None) -> bytes:
    """Return the 44 bytes before mono 16-bit samples; `samples` None if the length is not known yet (streams)."""
    size = 0xFFFFFFFF if samples is None else samples * 2
    riff = 0xFFFFFFFF if samples is None else 36 + size
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate, sample_rate * 2, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + form + struct.pack("<4sI", b"data", size)


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
