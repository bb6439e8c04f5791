"""Sound files of strangers: headers that lie, containers that are not read, speech in odd places, bounded memory."""

from __future__ import annotations

import logging
import math
import struct
import tracemalloc
from pathlib import Path

import pytest
import soundfile
import torch

from tutortoietts.audio import read
from tutortoietts.audio.speech_level import speech_crop
from tutortoietts.core.errors import AudioError

RATE = 22050


def noise(seconds: float, level: float = 0.1) -> torch.Tensor:
    return level * torch.randn(round(RATE * seconds), generator=torch.Generator().manual_seed(1))


def written(path: Path, samples: torch.Tensor, rate: int = RATE, subtype: str | None = "FLOAT") -> Path:
    soundfile.write(path, samples.numpy(), rate, subtype=subtype)
    return path


def altered(path: Path, at: int, data: bytes) -> Path:
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("declared", [0, 1000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_wav_is_read_to_its_end_whatever_its_header_says(tmp_path: Path, declared: int) -> None:
    path = written(tmp_path / "a.wav", noise(3), subtype="PCM_16")
    altered(path, path.read_bytes().index(b"data") + 4, struct.pack("<I", declared))
    assert read.load_clip(path, RATE).shape == (1, 3 * RATE)


def test_chunks_behind_the_samples_are_not_sound(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", noise(1), subtype="PCM_16")
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 400) + b"INFO" + b"x" * 396)
    assert read.load_clip(path, RATE).shape == (1, RATE)


def test_a_flac_of_unknown_length(tmp_path: Path) -> None:
    path = written(tmp_path / "a.flac", noise(13), subtype=None)
    altered(path, 21, bytes([path.read_bytes()[21] & 0xF0, 0, 0, 0, 0]))
    assert read.load_clip(path, RATE).shape == (1, 13 * RATE)
    assert read.audio_seconds(path) == 13


@pytest.mark.parametrize("rate", [1, 5, 999, 768_001, 2**31 - 1])
def test_rates_have_limits(tmp_path: Path, rate: int) -> None:
    path = altered(written(tmp_path / "a.wav", noise(1), subtype="PCM_16"), 24, struct.pack("<I", rate))
    with pytest.raises(AudioError, match=f"{rate} samples a second, must be 1000 to 768000"):
        read.load_audio(path, RATE)
    with pytest.raises(AudioError, match="samples a second"):
        read.read_audio(path)


def test_memory_is_bounded_by_what_is_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "hours.flac"
    silence = torch.zeros(1 << 20).numpy()
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        file.write(noise(2).numpy())
        for _ in range(30):
            file.write(silence)
    tracemalloc.start()  # counts the arrays of numpy
    with caplog.at_level(logging.WARNING):
        clip = read.load_clip(path, RATE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert clip.shape == (1, read.MOST_SECONDS * RATE) and "only its first 180 s" in caplog.text
    assert peak < 50e6
    with pytest.raises(AudioError, match="lasts over 3600 s"):
        read.read_audio(path)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (noise(3) * 32767, r"samples up to \d+.*, must be in -1..1: divide 16-bit samples by 32768"),
        (torch.full((6 * RATE,), 0.02), "is silent"),
        (0.002 * torch.sin(2 * math.pi * 50 * torch.arange(6 * RATE) / RATE), "is silent"),
        (torch.cat([torch.zeros(3 * RATE), torch.ones(1), torch.zeros(3 * RATE)]), "silent but for"),
        (noise(3) * float("nan"), "NaN"),
    ],
)
def test_what_no_voice_can_be_made_from(tmp_path: Path, samples: torch.Tensor, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        read.load_clip(written(tmp_path / "a.wav", samples), RATE)


@pytest.mark.parametrize(
    ("name", "head", "known"),
    [("a.m4a", b"\0\0\0\x20ftypM4A ", "m4a"), ("a.wav", b"\x1a\x45\xdf\xa3", "webm"), ("a.wma", b"0&\xb2u", "wma")],
)
def test_containers_that_are_not_read_are_named(tmp_path: Path, name: str, head: bytes, known: str) -> None:
    (tmp_path / name).write_bytes(head + bytes(500))
    with pytest.raises(AudioError, match=f"in the format {known}.*ffmpeg -i {name}"):
        read.load_clip(tmp_path / name, RATE)


def test_the_crop_is_where_speech_is() -> None:
    silence = torch.zeros(20 * RATE)
    late = torch.cat([silence, noise(6)])[None]
    for usual in (0, 10 * RATE):
        assert float(speech_crop(late, 6 * RATE, RATE, usual).square().mean()) > 0.9 * 0.01
    speech = noise(26)[None]
    assert torch.equal(speech_crop(speech, 6 * RATE, RATE, 10 * RATE), speech[:, 10 * RATE : 16 * RATE])
    assert torch.equal(speech_crop(speech[:, :10], 12, RATE, 0), torch.nn.functional.pad(speech[:, :10], (0, 2)))
