"""Read sound files that strangers made: in blocks to their end, within limits, no declared length believed.

samples, rate = read_audio("voice.mp3")       # (channels, N) float32
clip = load_clip("voice.mp3", 22050)          # (1, N) float32, checked as a reference clip
"""

from __future__ import annotations

import io
import logging
import math
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import torch
from torch import Tensor

from tutortoietts.audio.resample import MAX_PHASES, resample_sinc
from tutortoietts.audio.speech_level import MIN_SPEECH_SECONDS, SILENT_PEAK, speech_of
from tutortoietts.core.errors import AudioError, OptionError

if TYPE_CHECKING:
    import soundfile

__all__ = ["MIN_CLIP_SECONDS", "audio_seconds", "check_clip", "load_audio", "load_clip", "read_audio", "resample"]

_log = logging.getLogger(__name__)

MIN_CLIP_SECONDS = 0.5
LOUDEST_PEAK = 10.0  # float clips may be a little over 1; 16-bit integers are far over
LOW_RATE = 16000
RATES = (1000, 768_000)  # hertz
MOST_SECONDS = 180  # of a reference clip
MOST_SAMPLES = MOST_SECONDS * 48_000  # a channel
LONGEST_SECONDS = 3600  # of any other sound
BLOCK = 1 << 18  # samples over all channels
REMEDY = "convert it to wav, flac, ogg, opus or mp3"
_MOST_TAPS = 1 << 22  # of a sinc kernel, all phases together: 48 000 to 22 050 Hz has 2^16
_MIX_LOSS = 0.6  # of the loudest channel's level: a mix under it has lost speech

_CONTAINERS = (
    (4, b"ftyp", "m4a or mp4"),
    (0, b"\x1a\x45\xdf\xa3", "webm or mkv"),
    (0, b"\x30\x26\xb2\x75", "wma"),
    (0, b"#!AMR", "amr"),
    (0, b"\xff\xf1", "aac"),
    (0, b"\xff\xf9", "aac"),
)


def read_audio(path: str | os.PathLike[str]) -> tuple[Tensor, int]:
    """Read a sound file -> (samples (channels, N) float32, sample rate in hertz).

    Raises AudioError for a file that is missing, in a format unknown to libsndfile, broken, empty, not finite, or over
    the limits on rate and length.
    """
    path = Path(path)
    with _opened(path) as file:
        rate, most = file.samplerate, LONGEST_SECONDS * min(file.samplerate, 48_000) // file.channels
        blocks, count = [], 0
        for block in _blocks(file):
            blocks.append(block)
            count += len(block)
            if count > most:
                raise AudioError(
                    f"{path} lasts over {most // rate} s, the most that is read: cut it into shorter files"
                )
    if not blocks:
        raise AudioError(f"{path} is empty (0 samples): give a clip of at least {MIN_CLIP_SECONDS} s")
    return torch.from_numpy(numpy.concatenate(blocks)).T.contiguous(), rate


def audio_seconds(path: str | os.PathLike[str]) -> float:
    """Return how long a sound file lasts, read to its end. Raises AudioError as `read_audio`."""
    with _opened(Path(path)) as file:
        return float(sum(len(block) for block in _blocks(file)) / file.samplerate)


def load_audio(path: str | os.PathLike[str], sampling_rate: int) -> Tensor:
    """Read a sound file as one channel -> (1, N) float32 in -1..1 at `sampling_rate` hertz; at most its first 180 s.

    Channels are averaged; where they cancel each other or most are silent, the loudest is taken. Resampled with the
    windowed-sinc kernel through which the models heard their clips.
    Raises AudioError as `read_audio`, and for float samples of 16-bit size; OptionError for a rate not above 0.
    """
    if sampling_rate <= 0:
        raise OptionError(f"sampling rate {sampling_rate} must be positive (hertz)")
    samples, rate = _read_mono(Path(path))
    return resample(samples, rate, sampling_rate, kernel="sinc").clamp_(-1, 1)


def load_clip(path: str | os.PathLike[str], sampling_rate: int) -> Tensor:
    """Read a reference clip as `load_audio` does, and check it; a low original rate is logged. Raises AudioError."""
    samples, rate = _read_mono(Path(path))
    if rate < LOW_RATE:
        _log.warning(
            "%s has %d samples a second, so nothing above %d Hz: a clip of 22050 or more clones better",
            path, rate, rate // 2,
        )  # fmt: skip
    clip = resample(samples, rate, sampling_rate, kernel="sinc").clamp_(-1, 1)
    check_clip(clip, sampling_rate, str(path))
    return clip


def check_clip(clip: Tensor, rate: int, name: str = "the clip") -> None:
    """Raise AudioError unless `clip` (1, N) at `rate` hertz is long and loud enough to make a voice from.

    Loud enough: without its constant part and hum, enough of the six seconds that hold most speech is not silent.
    """
    if clip.ndim != 2 or clip.shape[0] != 1:
        raise AudioError(f"{name} has shape {tuple(clip.shape)}, must be (1, samples): average its channels")
    seconds = clip.shape[-1] / rate
    if clip.shape[-1] == 0:
        raise AudioError(f"{name} is empty (0 samples): give a clip of at least {MIN_CLIP_SECONDS} s")
    _check_finite(clip, name)
    if seconds < MIN_CLIP_SECONDS:
        raise AudioError(f"{name} lasts {seconds:.2f} s, must be at least {MIN_CLIP_SECONDS} s: 6 to 10 s are best")
    _check_scale(clip, name)
    speech = speech_of(clip, rate)
    if speech.peak < SILENT_PEAK:
        raise AudioError(
            f"{name} is silent (peak {speech.peak:.5f}, must reach {SILENT_PEAK}): give a clip with speech"
        )
    if speech.seconds < MIN_SPEECH_SECONDS:
        raise AudioError(
            f"{name} is silent but for {speech.seconds:.2f} s, must hold {MIN_SPEECH_SECONDS} s of sound: "
            "give a clip with speech"
        )


def resample(wav: Tensor, source: int, target: int, *, kernel: str = "soxr") -> Tensor:
    """Resample `wav` (..., N) from `source` to `target` hertz -> (..., M) float32.

    `kernel`: "soxr" (very high quality, on the CPU) or "sinc": `audio.resample.resample_sinc`; for ratios too odd for
    it soxr is used.
    """
    if kernel not in ("soxr", "sinc"):
        raise OptionError(f"unknown resampling kernel {kernel!r}: use 'soxr' or 'sinc'")
    if source <= 0 or target <= 0:
        raise OptionError(f"cannot resample from {source} to {target} Hz: both rates must be positive")
    if source == target:
        return wav.to(torch.float32)
    common = math.gcd(source, target)
    phases, stride = target // common, source // common
    if kernel == "sinc" and phases <= MAX_PHASES and phases * stride <= _MOST_TAPS:
        return resample_sinc(wav, source, target)
    import soxr

    flat = wav.detach().to("cpu", torch.float32).reshape(-1, wav.shape[-1])
    rows = [torch.from_numpy(soxr.resample(row.numpy(), source, target, "VHQ")) for row in flat]
    return torch.stack(rows).reshape(*wav.shape[:-1], -1).to(wav.device)


def _read_mono(path: Path) -> tuple[Tensor, int]:
    """Return one channel (1, N) float32 and its rate: the mean, or the loudest channel where the mean loses it."""
    energy: Any = 0.0
    with _opened(path) as file:
        rate, most = file.samplerate, min(MOST_SECONDS * file.samplerate, MOST_SAMPLES)

        def mean(block: Any) -> Any:
            nonlocal energy
            energy = energy + numpy.square(block, dtype=numpy.float64).sum(axis=0)
            return block.mean(axis=1)

        mono = _collected(file, most, mean, path)
        channels = file.channels
    wave = torch.from_numpy(mono)[None]
    if channels > 1:
        loudest = int(energy.argmax())
        if float(wave.square().sum()) < _MIX_LOSS**2 * float(energy[loudest]):
            _log.info("%s: channel %d is taken, the others would weaken it", path, loudest + 1)
            with _opened(path) as file:
                wave = torch.from_numpy(_collected(file, most, lambda block: block[:, loudest], path))[None]
    _check_scale(wave, str(path))
    return wave, rate


def _collected(file: soundfile.SoundFile, most: int, of: Callable[[Any], Any], path: Path) -> Any:
    """Return `of` (one value a frame) of all blocks, at most `most` frames; memory is used as far as it is filled."""
    whole, count = numpy.empty(most, dtype=numpy.float32), 0
    for block in _blocks(file):
        taken = min(len(block), most - count)
        whole[count : count + taken] = of(block)[:taken]
        count += taken
        if count == most:
            _log.warning("%s: only its first %.0f s are used", path, most / file.samplerate)
            break
    if count == 0:
        raise AudioError(f"{path} is empty (0 samples): give a clip of at least {MIN_CLIP_SECONDS} s")
    return whole[:count]


def _blocks(file: soundfile.SoundFile) -> Iterator[Any]:
    """Yield (frames, channels) float32 until the file ends, whatever length it declares."""
    frames = max(1, BLOCK // file.channels)
    while len(block := file.read(frames, dtype="float32", always_2d=True)):
        if not numpy.isfinite(block).all():
            raise AudioError(f"{file.name} holds samples that are not numbers (NaN or infinite): export it again")
        yield block


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a sound file for a block. Raises AudioError, also for what is found broken in the block."""
    import soundfile

    _check_path(path)
    try:
        with path.open("rb") as stream:
            raw: Any = _with_open_length(path, stream) or str(path)
            with _forward_only()(raw) as file:
                if not RATES[0] <= file.samplerate <= RATES[1]:
                    limits = f"must be {RATES[0]} to {RATES[1]}"
                    raise AudioError(f"{path} has {file.samplerate} samples a second, {limits}: export it again")
                yield file
    except soundfile.LibsndfileError as error:  # its own words mislead: any text called .mp3 "does not exist"
        known = _container(path)
        what = (
            f"in the format {known}, which is not read here" if known else "not audio in a known format, or is damaged"
        )
        remedy = f"{REMEDY}, for example with: ffmpeg -i {path.name} clip.wav" if known else REMEDY
        raise AudioError(f"{path} is {what}: {remedy}") from error
    except AudioError:
        raise
    except (OSError, TypeError, ValueError) as error:  # TypeError: headerless .raw files
        raise AudioError(f"{path} cannot be read: {error}") from error


@cache
def _forward_only() -> type[soundfile.SoundFile]:
    """Return the class of sound files that are never sought in: seeking needs the length that they declare."""
    import soundfile

    class Forward(soundfile.SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            return False

    return Forward


def _check_path(path: Path) -> None:
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


def _container(path: Path) -> str | None:
    """Return the name of a format that is known and not read, by a file's first bytes."""
    with path.open("rb") as file:
        head = file.read(16)
    return next((name for at, mark, name in _CONTAINERS if head[at : at + len(mark)] == mark), None)


class _Patched(io.RawIOBase):
    """A file some of whose bytes read as others; nothing is copied."""

    def __init__(self, stream: Any, at: int, other: bytes) -> None:
        self.stream, self.at, self.other = stream, at, other

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self.stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self.stream.tell())

    def readinto(self, buffer: Any) -> int:
        begin = self.stream.tell()
        data = bytearray(self.stream.read(len(buffer)))
        for place, byte in enumerate(self.other, self.at - begin):
            if 0 <= place < len(data):
                data[place] = byte
        buffer[: len(data)] = data
        return len(data)


def _with_open_length(path: Path, stream: Any) -> _Patched | None:
    """Return a WAV whose data chunk goes on to the file's end although its header says less; None for other files.

    A recorder that was stopped leaves such a header: what follows the declared data is no chunk.
    """
    if stream.read(4) != b"RIFF":
        return None
    stream.seek(12)
    end = path.stat().st_size
    while len(header := stream.read(8)) == 8:
        name, size = struct.unpack("<4sI", header)
        begin = stream.tell()
        if name == b"data":
            stream.seek(begin + size + size % 2)
            after = stream.read(8)
            stream.seek(0)
            if begin + size >= end or (len(after) == 8 and _is_chunk(after)) or len(after) < 8:
                return None
            return _Patched(stream, begin - 4, b"\xff\xff\xff\xff")
        stream.seek(begin + size + size % 2)
    return None


def _is_chunk(header: bytes) -> bool:
    return all(32 <= byte < 127 for byte in header[:4])


def _check_finite(samples: Tensor, name: str) -> None:
    if not bool(samples.isfinite().all()):
        raise AudioError(f"{name} holds samples that are not numbers (NaN or infinite): export it again")


def _check_scale(samples: Tensor, name: str) -> None:
    peak = float(samples.abs().max())
    if peak > LOUDEST_PEAK:
        raise AudioError(f"{name} has samples up to {peak:g}, must be in -1..1: divide 16-bit samples by 32768")
