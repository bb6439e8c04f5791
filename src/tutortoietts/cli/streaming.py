"""Write audio while it is made: raw samples, stdout, files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tutortoietts.cli.output import STDOUT, atomic_file
from tutortoietts.core.errors import OutputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["FORMATS", "encoded", "raw", "sink"]

FORMATS = ("wav", "s16le", "f32le")


def raw(samples: Tensor, form: str) -> bytes:
    """Return samples (..., N) as headerless little-endian bytes: 32-bit float for "f32le", else 16-bit integers."""
    from tutortoietts.audio.io import pcm16

    if form == "f32le":
        return bytes(samples.flatten().clamp(-1, 1).numpy().astype("<f4").tobytes())
    return pcm16(samples.flatten())


def encoded(samples: Tensor, rate: int, form: str, *, terms: str = "") -> bytes:
    """Return samples (..., N) for stdout in one of FORMATS; the `terms` are the comment of a WAV."""
    from tutortoietts.audio.io import encode_audio

    return encode_audio(samples, rate, ".wav", comment=terms) if form == "wav" else raw(samples, form)


@contextmanager
def sink(path: Path, rate: int, form: str, *, comment: str = "", terms: str = "") -> Iterator[Callable[[Tensor], None]]:
    """Yield a function that writes (samples,) chunks to `path`: stdout at once, a file that appears when complete.

    `form`: the format of stdout, one of FORMATS; the length in a WAV header is left open. `comment`: of a
    file; `terms`: in the WAV header of a pipe. Raises OutputError.
    """
    if path == STDOUT:
        yield _pipe(sys.stdout.buffer, rate, form, terms)
        return
    if path.exists() and not path.is_file():  # a pipe or device: WAV, as it comes
        try:
            with path.open("wb") as pipe:
                yield _pipe(pipe, rate, "wav", terms)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        return
    import soundfile

    from tutortoietts.audio.io import OUTPUT_SUFFIXES

    container, subtype = OUTPUT_SUFFIXES[path.suffix.lower()]
    with atomic_file(path) as part:
        try:
            with soundfile.SoundFile(str(part), "w", rate, 1, subtype, format=container) as file:
                if comment and container != "WAV":  # in a WAV it stands behind the samples
                    file.comment = comment
                yield lambda chunk: file.write(chunk.clamp(-1, 1).numpy())
                if comment and container == "WAV":
                    file.comment = comment
        except soundfile.LibsndfileError as error:
            raise OutputError(f"{path} cannot be written ({error.error_string}): is the disk full?") from error


def _pipe(out: BinaryIO, rate: int, form: str, terms: str) -> Callable[[Tensor], None]:
    from tutortoietts.audio.io import wav_header

    def write(chunk: Tensor) -> None:
        out.write(raw(chunk, form))
        out.flush()

    if form == "wav":
        out.write(wav_header(rate, comment=terms))
        out.flush()
    return write
