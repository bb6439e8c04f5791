"""What players see: chapters, tags, cover, length, by PyAV; equal sound gives equal bytes."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from tutortoietts.audio.encode import BOOK_SUFFIXES, Mark, Tags, open_writer
from tutortoietts.core.errors import OutputError

av = pytest.importorskip("av")
RATE = 24000


def picture() -> bytes:
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 32, 48, "rgb24", Fraction(1, 1)
    frame = av.VideoFrame(32, 48, "rgb24")
    frame.planes[0].update(bytes(frame.planes[0].buffer_size))
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def write(path: Path, seconds: float = 3.3, marks: int = 2) -> None:
    wave = 0.1 * torch.sin(torch.arange(round(seconds * RATE)) * 0.05)
    step = len(wave) // marks
    places = [Mark(f"Ch’s {i} é", i * step, (i + 1) * step if i + 1 < marks else len(wave)) for i in range(marks)]
    tags = Tags(values={"title": 'T’s "x"', "artist": "Ann", "genre": "Audiobook", "comment": "AI"}, cover=picture())
    with open_writer(path, RATE, tags, marks=places, samples=len(wave)) as writer:
        for block in wave.split(4567):  # type: ignore[no-untyped-call]
            writer.write(block)


@pytest.mark.parametrize("suffix", BOOK_SUFFIXES)
def test_files(tmp_path: Path, suffix: str) -> None:
    path, again = tmp_path / f"x{suffix}", tmp_path / f"y{suffix}"
    write(path)
    write(again)
    assert path.read_bytes() == again.read_bytes()
    with av.open(str(path)) as file:
        assert file.duration / 1e6 == pytest.approx(3.3, abs=0.05)
        metadata = {**file.metadata, **file.streams.audio[0].metadata}
        samples = sum(frame.samples for frame in file.decode(file.streams.audio[0]))
        assert samples / file.streams.audio[0].rate == pytest.approx(3.3, abs=0.1)
        chapters = [chapter["metadata"]["title"] for chapter in file.chapters()]
        pictures = len(file.streams.video)
    if suffix != ".wav":
        assert (metadata["title"], metadata["artist"]) == ('T’s "x"', "Ann")
    if suffix in (".m4b", ".m4a", ".mp3", ".opus"):
        assert chapters == ["Ch’s 0 é", "Ch’s 1 é"]
    if suffix in (".m4b", ".m4a", ".mp3", ".flac"):
        assert pictures == 1


def test_four_hundred_chapters(tmp_path: Path) -> None:
    write(tmp_path / "x.m4b", 40, 400)
    with av.open(str(tmp_path / "x.m4b")) as file:
        assert len(file.chapters()) == 400


def test_unknown_formats(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.xyz"):
        open_writer(tmp_path / "x.xyz", RATE)


def test_large_wav_is_rf64(tmp_path: Path) -> None:
    with open_writer(tmp_path / "x.wav", RATE, samples=1 << 32) as writer:
        writer.write(torch.zeros(10))
    assert (tmp_path / "x.wav").read_bytes()[:4] == b"RF64"


def test_the_picture_is_one() -> None:
    with av.open(io.BytesIO(picture())) as file:
        assert file.streams.video[0].width == 32
