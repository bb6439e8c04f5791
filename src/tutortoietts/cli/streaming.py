"""Sound that is written as it comes: the options of a stream, and the places it goes to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutortoietts.cli.options import whole
from tutortoietts.cli.output import STDOUT, whole_file
from tutortoietts.core.errors import OutputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["FORMATS", "StreamOptions", "raw", "sink"]

FORMATS = ("wav", "s16le", "f32le")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """How a stream is made: arguments of `TextToSpeech.tts_stream`; None leaves its default."""

    decoder: Annotated[
        str | None,
        typer.Option(
            help="With --streaming: stream (from latents, while codes are drawn), diffusion (the whole pipeline, "
            "clause by clause) or auto [default: auto]."
        ),
    ] = None
    stream_chunk_size: Annotated[
        int | None, typer.Option(parser=whole, help="Codes of 1/21.5 s before the first sound [default: 8].")
    ] = None
    stream_chunk_max: Annotated[
        int | None, typer.Option(parser=whole, help="Codes of the largest chunks [default: 32].")
    ] = None

    def given(self) -> dict[str, Any]:
        """Only what was set on the command line."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def raw(samples: Tensor, form: str) -> bytes:
    """(..., N) as headerless samples: little-endian, 16-bit (also of a "wav") or for "f32le" 32-bit float."""
    from tutortoietts.audio.io import pcm16

    if form == "f32le":
        return bytes(samples.flatten().clamp(-1, 1).numpy().astype("<f4").tobytes())
    return pcm16(samples.flatten())


@contextmanager
def sink(path: Path, rate: int, form: str) -> Iterator[Callable[[Tensor], None]]:
    """A function that writes (samples,) chunks to `path`: as they come to stdout, into a file that is whole at the end.

    `form`: one of FORMATS, of stdout; a wav's length is left open.
    """
    if path == STDOUT:
        yield _pipe(rate, form)
        return
    import soundfile

    from tutortoietts.audio.io import OUTPUT_SUFFIXES

    container, subtype = OUTPUT_SUFFIXES[path.suffix.lower()]
    with whole_file(path) as part:
        try:
            with soundfile.SoundFile(str(part), "w", rate, 1, subtype, format=container) as file:
                yield lambda chunk: file.write(chunk.clamp(-1, 1).numpy())
        except soundfile.LibsndfileError as error:
            raise OutputError(f"{path} cannot be written ({error.error_string}): is the disk full?") from error


def _pipe(rate: int, form: str) -> Callable[[Tensor], None]:
    from tutortoietts.audio.io import wav_header

    out = sys.stdout.buffer

    def write(chunk: Tensor) -> None:
        out.write(raw(chunk, form))
        out.flush()

    if form == "wav":
        out.write(wav_header(rate))
        out.flush()
    return write
