"""Sound written as it is made, with tags, chapters and a cover: m4b, m4a, mp3, opus by PyAV; flac and wav too.

with open_writer(path, 24000, Tags(title="Alice"), marks=[Mark("One", 0, 240000)]) as writer:
    for block in blocks: writer.write(block)
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor

from tutortoietts.audio.io import pcm16, wav_header
from tutortoietts.core.errors import OutputError

__all__ = ["BOOK_SUFFIXES", "STREAM_FORMATS", "Mark", "SoundWriter", "StreamEncoder", "Tags", "open_writer"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A chapter: its title, first sample and the sample after its last."""

    title: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """Tags by FFmpeg's names ("title", "artist", "album" ...); `cover`: JPEG or PNG bytes."""

    values: dict[str, str] = field(default_factory=dict)
    cover: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    container: str
    codec: str
    rate: int | None = None
    bits: int | None = None
    options: dict[str, str] = field(default_factory=dict)
    cover: bool = False


_FORMATS = {
    ".m4b": _Format(container="mp4", codec="aac", bits=64_000, options={"brand": "M4B "}, cover=True),
    ".m4a": _Format(container="mp4", codec="aac", bits=64_000, options={"brand": "M4A "}, cover=True),
    ".mp3": _Format(container="mp3", codec="libmp3lame", bits=64_000, options={"id3v2_version": "3"}, cover=True),
    ".opus": _Format(container="ogg", codec="libopus", bits=32_000, rate=48_000),
    ".flac": _Format(container="flac", codec="flac", cover=True),
}
BOOK_SUFFIXES = (*_FORMATS, ".wav")
_STREAMED = {
    "mp3": replace(_FORMATS[".mp3"], options={"write_xing": "0", "id3v2_version": "0"}),
    "opus": replace(_FORMATS[".opus"], rate=None, options={"page_duration": "100000"}),
    "aac": _Format(container="adts", codec="aac", bits=64_000),
    "flac": _FORMATS[".flac"],
}
STREAM_FORMATS = ("pcm", "wav", *_STREAMED)
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_LAYOUTS = {"aac": "fltp", "libmp3lame": "fltp", "libopus": "flt", "flac": "s16"}
LARGEST_WAV = (1 << 32) - (1 << 20)


class SoundWriter(Protocol):
    """Takes blocks of mono samples; complete once it is closed."""

    def write(self, block: Tensor) -> None:
        """Write the next samples (N,) float32 in -1..1."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...

    def __enter__(self) -> SoundWriter: ...

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None: ...


def open_writer(
    path: Path, sample_rate: int, tags: Tags | None = None, *, marks: Sequence[Mark] = (), samples: int = 0,
    form: str = "", bits: int | None = None, rate: int | None = None,
) -> SoundWriter:  # fmt: skip
    """Return a writer of the format that `form` (".m4b"), or else the ending of `path`, names.

    marks: chapters; samples: length of all if known, which decides about RF64; bits, rate: bits and samples a second
    in place of the format's own. Raises OutputError for an unknown format, or when PyAV is missing.
    """
    suffix = (form or path.suffix).lower()
    if suffix == ".wav":
        return _WavWriter(path, sample_rate, samples, (tags or Tags()).values.get("comment", ""))
    if suffix not in _FORMATS:
        raise OutputError(f"cannot tell the format of {path}: end it in one of {', '.join(BOOK_SUFFIXES)}")
    try:
        av = importlib.import_module("av")
    except ImportError as error:
        raise OutputError(f"writing {suffix} needs the package av: pip install 'tutortoietts[book]'") from error
    return _AvWriter(av, str(path), _FORMATS[suffix], sample_rate, tags or Tags(), marks, bits, rate)


class _Context:
    def close(self) -> None:
        raise NotImplementedError

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


class _WavWriter(_Context):
    """WAV of 16 bits, RF64 above 4 GB; its comment, the one tag that it has a place for, stands behind the samples."""

    def __init__(self, path: Path, sample_rate: int, samples: int, comment: str) -> None:
        import soundfile

        self._comment = comment
        form = "RF64" if samples * 2 > LARGEST_WAV else "WAV"
        self._file = soundfile.SoundFile(str(path), "w", sample_rate, 1, "PCM_16", format=form)

    def __enter__(self) -> _WavWriter:
        return self

    def write(self, block: Tensor) -> None:
        self._file.write(block.clamp(-1, 1).numpy())

    def close(self) -> None:
        if self._comment and not self._file.closed:
            self._file.comment = self._comment
        self._file.close()


class _AvWriter(_Context):
    def __init__(
        self, av: Any, target: Any, form: _Format, sample_rate: int, tags: Tags, marks: Sequence[Mark],
        bits: int | None, rate: int | None,
    ) -> None:  # fmt: skip
        self._av, self._form, self._source_rate = av, form, sample_rate
        self._rate = rate or form.rate or sample_rate
        options = {**form.options, "fflags": "+bitexact"}
        self._container = av.open(target, "w", format=form.container, container_options=options)
        self._container.metadata.update({key: value for key, value in tags.values.items() if value})
        self._stream = self._container.add_stream(form.codec, rate=self._rate, layout="mono")
        self._stream.codec_context.flags |= 1 << 23  # bit exact: no version of the encoder in the file
        if bits or form.bits:
            self._stream.bit_rate = bits or form.bits
        self._stream.codec_context.format = _LAYOUTS[form.codec]
        cover = self._cover_stream(tags.cover) if tags.cover and form.cover else None
        if marks:
            self._container.set_chapters(_chapters(marks, sample_rate))
        self._resampler = _Resampler(sample_rate, self._rate)
        self._rest, self._written = torch.zeros(0), 0
        self._container.start_encoding()
        if cover is not None:
            self._mux_cover(cover, tags.cover)

    def __enter__(self) -> _AvWriter:
        return self

    def write(self, block: Tensor) -> None:
        self._feed(self._resampler.push(block))

    def close(self) -> None:
        if self._container is None:
            return
        container, self._container = self._container, None
        try:
            self._feed(self._resampler.flush(), container, last=True)
            container.mux(self._stream.encode(None))
        finally:
            container.close()

    def _feed(self, samples: Tensor, container: Any = None, *, last: bool = False) -> None:
        container = container or self._container
        samples = torch.cat([self._rest, samples])
        size = self._stream.codec_context.frame_size or 4096
        whole = len(samples) if last else len(samples) // size * size
        self._rest = samples[whole:]
        for start in range(0, whole, size):
            container.mux(self._stream.encode(self._frame(samples[start : min(start + size, whole)])))

    def _frame(self, samples: Tensor) -> Any:
        samples = samples.clamp(-1, 1)
        if _LAYOUTS[self._form.codec] == "s16":
            data = samples.mul(32767).round().to(torch.int16)
        else:
            data = samples.contiguous()
        frame = self._av.AudioFrame.from_ndarray(data.numpy()[None], format=_LAYOUTS[self._form.codec], layout="mono")
        frame.sample_rate = self._rate
        frame.pts = self._written
        frame.time_base = Fraction(1, self._rate)
        self._written += len(samples)
        return frame

    def _cover_stream(self, cover: bytes) -> Any:
        codec = "png" if cover.startswith(b"\x89PNG") else "mjpeg"
        stream = self._container.add_stream(codec, rate=1)
        width, height = picture_size(self._av, cover)
        stream.width, stream.height = width, height
        stream.pix_fmt = "rgb24" if codec == "png" else "yuvj420p"
        stream.disposition = self._av.stream.Disposition.attached_pic
        return stream

    def _mux_cover(self, stream: Any, cover: bytes) -> None:
        packet = self._av.Packet(cover)
        packet.stream = stream
        packet.pts = packet.dts = 0
        packet.time_base = Fraction(1, 1)
        packet.is_keyframe = True
        self._container.mux(packet)


def picture_size(av: Any, data: bytes) -> tuple[int, int]:
    """Return (width, height) of a JPEG or PNG."""
    import io

    with av.open(io.BytesIO(data)) as picture:
        stream = picture.streams.video[0]
        return int(stream.width), int(stream.height)


def _chapters(marks: Sequence[Mark], sample_rate: int) -> list[dict[str, Any]]:
    base = Fraction(1, sample_rate)
    return [
        {"id": i + 1, "start": mark.start, "end": mark.end, "time_base": base, "metadata": {"title": mark.title}}
        for i, mark in enumerate(marks)
    ]


class _Resampler:
    """A stream of blocks at another rate, by soxr."""

    def __init__(self, source: int, target: int) -> None:
        self._stream: Any = None
        if source != target:
            soxr = importlib.import_module("soxr")
            self._stream = soxr.ResampleStream(source, target, 1, dtype="float32", quality="HQ")

    def push(self, block: Tensor) -> Tensor:
        if self._stream is None:
            return block
        return torch.from_numpy(self._stream.resample_chunk(block.contiguous().numpy())).flatten()

    def flush(self) -> Tensor:
        if self._stream is None:
            return torch.zeros(0)
        return torch.from_numpy(self._stream.resample_chunk(torch.zeros(0).numpy(), last=True)).flatten()


class StreamEncoder:
    """Encode sound as it is made, for readers that begin before its end: one stream of bytes, with one header.

        encoder = StreamEncoder("mp3", 24000)
        for chunk in chunks: send(encoder.push(chunk))
        send(encoder.finish())

    form: one of STREAM_FORMATS. "pcm" is 16-bit little-endian; a WAV header has no length. The others need PyAV.
    comment: at the start of all formats but pcm and aac, which have no place for it.
    Raises OutputError for an unknown format, a rate that it cannot have, or when PyAV is missing.
    """

    def __init__(self, form: str, sample_rate: int, comment: str = "") -> None:
        if form not in STREAM_FORMATS:
            raise OutputError(f"unknown format {form!r}: use one of {', '.join(STREAM_FORMATS)}")
        if form == "opus" and sample_rate not in OPUS_RATES:
            raise OutputError(f"opus cannot hold {sample_rate} samples a second: use one of {OPUS_RATES}, or flac")
        self._bytes = _Bytes()
        self._writer: _AvWriter | None = None
        if form == "wav":
            self._bytes.write(wav_header(sample_rate, comment=comment))
        if form not in _STREAMED:
            return
        try:
            av = importlib.import_module("av")
        except ImportError as error:
            raise OutputError(f"streaming {form} needs the package av: pip install 'tutortoietts[audio]'") from error
        options = {**_STREAMED[form].options, "flush_packets": "1"}
        if comment and form == "mp3":
            options["id3v2_version"] = "3"
        streamed, tags = replace(_STREAMED[form], options=options), Tags(values={"comment": comment})
        try:
            self._writer = _AvWriter(av, self._bytes, streamed, sample_rate, tags, (), None, None)
        except av.error.FFmpegError as error:
            raise OutputError(f"{form} cannot hold {sample_rate} samples a second: use 24000, or flac") from error

    def push(self, block: Tensor) -> bytes:
        """Return the bytes that the next samples (N,) float32 complete, perhaps none."""
        if self._writer is not None:
            self._writer.write(block)
        elif len(block):
            self._bytes.write(pcm16(block))
        return self._bytes.take()

    def finish(self) -> bytes:
        """Return the last bytes."""
        if self._writer is not None:
            self._writer.close()
        return self._bytes.take()


class _Bytes:
    """A sink that cannot seek, as a socket cannot."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: Any) -> int:
        self._held += bytes(data)
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._held)
        self._held.clear()
        return taken
