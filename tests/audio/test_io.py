"""Files in and out: formats, rates, and everything that can be wrong with a file or a place."""

from __future__ import annotations

import errno
import logging
import math
import os
import stat
import wave
from pathlib import Path

import pytest
import soundfile
import torch

from tutortoietts.audio import io
from tutortoietts.core.errors import AudioError, OptionError, OutputError


def tone(rate: int, seconds: float = 1.0, hertz: float = 440.0) -> torch.Tensor:
    return 0.5 * torch.sin(2 * math.pi * hertz * torch.arange(round(rate * seconds)) / rate)[None]


def pitch(wav: torch.Tensor, rate: int) -> float:
    """The strongest frequency of (1, N), in hertz."""
    spectrum = torch.fft.rfft(wav[0] * torch.hann_window(wav.shape[-1])).abs()
    return float(spectrum.argmax()) * rate / wav.shape[-1]


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
@pytest.mark.parametrize("rate", [24000, 22050])
def test_written_and_read_again(tmp_path: Path, suffix: str, rate: int) -> None:
    path = io.save_audio(tmp_path / f"tone{suffix}", tone(rate), rate)
    wav = io.load_audio(path, rate)
    assert wav.dtype == torch.float32 and wav.shape[0] == 1
    assert abs(wav.shape[1] - rate) <= 2
    assert abs(pitch(wav, rate) - 440) < 2
    assert 0.47 < float(wav[0, rate // 4 : rate // 2].abs().max()) < 0.54
    assert [file.name for file in tmp_path.iterdir()] == [path.name], "no temporary files are left"


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_every_sample_type_and_channel_count(tmp_path: Path, subtype: str, channels: int) -> None:
    wav = tone(44100, 0.3)[0].numpy()
    soundfile.write(tmp_path / "in.wav", wav[:, None].repeat(channels, 1), 44100, subtype=subtype)
    out = io.load_audio(tmp_path / "in.wav", 22050)
    assert out.shape == (1, 6615)
    assert abs(float(out[0, 1000:5000].abs().max()) - 0.5) < 0.02


def test_channels_are_averaged_unless_speech_is_lost(tmp_path: Path) -> None:
    left, right = tone(22050)[0], tone(22050, hertz=441.0)[0]
    near = left + 0.1 * right
    for number, channels in enumerate(([left, -left], [left, 0 * left], [0 * left] * 2 + [left] + [0 * left] * 3)):
        soundfile.write(tmp_path / f"{number}.wav", torch.stack(channels, 1).numpy(), 22050, subtype="FLOAT")
        assert torch.allclose(io.load_audio(tmp_path / f"{number}.wav", 22050)[0], left)
    soundfile.write(tmp_path / "in.wav", torch.stack([left, near], 1).numpy(), 22050, subtype="FLOAT")
    assert torch.allclose(io.load_audio(tmp_path / "in.wav", 22050)[0], (left + near) / 2)


def test_conditioning_clips_go_through_the_windowed_sinc(tmp_path: Path) -> None:
    noise = torch.randn(1, 24000, generator=torch.Generator().manual_seed(0)) * 0.1
    soundfile.write(tmp_path / "in.wav", noise[0].numpy(), 24000, subtype="FLOAT")
    loaded = io.load_audio(tmp_path / "in.wav", 22050)
    torch.testing.assert_close(loaded, io.resample(noise, 24000, 22050, kernel="sinc"))
    soxr = io.resample(noise, 24000, 22050)
    assert soxr.shape == loaded.shape and float((soxr - loaded).norm() / loaded.norm()) > 0.01


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.wav", None, "no audio file at .*missing.wav"),
        ("text.wav", b"not audio at all" * 100, r"text\.wav is not audio in a known format, or is damaged: convert"),
        ("text.mp3", b"not audio at all" * 100, "not audio in a known format"),
        ("empty.flac", b"", r"is empty \(0 bytes\)"),
        ("blank.raw", b"\0" * 100, "blank.raw cannot be read"),
    ],
)
def test_files_that_are_no_audio(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(AudioError, match=message):
        io.read_audio(tmp_path / name)


def test_a_folder_is_no_audio(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="is a folder"):
        io.read_audio(tmp_path)


def test_a_damaged_flac(tmp_path: Path) -> None:
    whole = io.encode_audio(torch.randn(1, 20000, generator=torch.Generator().manual_seed(0)) * 0.1, 22050, ".flac")
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AudioError, match="damaged"):
        io.read_audio(tmp_path / "cut.flac")


def test_no_samples_and_no_numbers(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "none.wav", torch.zeros(0).numpy(), 22050)
    with pytest.raises(AudioError, match=r"is empty \(0 samples\)"):
        io.read_audio(tmp_path / "none.wav")
    soundfile.write(tmp_path / "nan.wav", torch.full((9000,), math.nan).numpy(), 22050, subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN"):
        io.read_audio(tmp_path / "nan.wav")


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (tone(22050, 0.2), r"lasts 0.20 s, must be at least 0.5 s"),
        (torch.zeros(1, 22050), "is silent"),
        (torch.full((1, 22050), 16000.0), "up to 16000, must be in -1..1: divide 16-bit samples by 32768"),
        (torch.zeros(1, 0), "is empty"),
        (torch.full((1, 22050), math.inf), "NaN or infinite"),
        (torch.zeros(2, 22050), r"shape \(2, 22050\)"),
    ],
)
def test_clips_no_voice_can_be_learned_from(clip: torch.Tensor, message: str) -> None:
    with pytest.raises(AudioError, match=f"^my clip {message}|^my clip .*{message}"):
        io.check_clip(clip, 22050, "my clip")


def test_a_clip_of_telephone_quality_is_taken_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    io.save_audio(tmp_path / "phone.wav", tone(8000), 8000)
    with caplog.at_level(logging.WARNING):
        assert io.load_clip(tmp_path / "phone.wav", 22050).shape == (1, 22050)
    assert "nothing above 4000 Hz" in caplog.text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing/out.wav", "there is no folder"),
        ("out.txt", r"cannot tell the format .*'\.txt': end it in one of \.wav, \.flac"),
        ("out", "cannot tell the format"),
        ("a_folder", "is a folder: add a file name"),
        ("x" * 300 + ".wav", "name is too long"),
        ("a\0b.wav", "cannot be written"),
    ],
)
def test_places_that_cannot_be_written_are_known_before_work(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "a_folder").mkdir()
    with pytest.raises(OutputError, match=message):
        io.check_writable(tmp_path / name)
    with pytest.raises(OutputError, match=message):
        io.save_audio(tmp_path / name, tone(24000))


def test_a_closed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(OutputError, match="permission denied: choose another folder"):
        io.check_writable(tmp_path / "out.wav")


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    assert io.check_writable(str(tmp_path / "out.MP3")) == tmp_path / "out.MP3"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_or_ctrl_c_keeps_the_old_file_and_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = tmp_path / "out.wav"
    path.write_bytes(b"old")

    def stop(self: Path, data: bytes) -> int:
        with open(self, "wb") as file:
            file.write(data[:10])
        raise error

    monkeypatch.setattr(Path, "write_bytes", stop)
    expected = pytest.raises(OutputError, match="the disk is full") if isinstance(error, OSError) else None
    with expected or pytest.raises(KeyboardInterrupt):
        io.save_audio(path, tone(24000))
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_replacing_keeps_permissions_and_follows_links(tmp_path: Path) -> None:
    target = io.save_audio(tmp_path / "target.wav", tone(24000))
    target.chmod(0o600)
    link = tmp_path / "link.wav"
    link.symlink_to(target)
    io.save_audio(link, tone(24000, 2.0))
    assert link.is_symlink() and soundfile.info(target).frames == 48000
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_devices_are_written_into_not_renamed_over() -> None:
    before = os.stat(os.devnull)
    io.save_audio(os.devnull, tone(24000))
    assert os.stat(os.devnull).st_ino == before.st_ino
    if Path("/dev/full").exists():
        with pytest.raises(OutputError, match="the disk is full"):
            io.save_audio("/dev/full", tone(24000))


def test_what_cannot_be_written(tmp_path: Path) -> None:
    for samples, message in [
        (torch.zeros(1, 1, 0), "0 samples"),
        (torch.full((1, 9), math.nan), "NaN"),
        (torch.zeros(2, 1, 9), r"shape \(2, 1, 9\)"),
        (torch.zeros(3, 9), r"shape \(3, 9\)"),
    ]:
        with pytest.raises(AudioError, match=message):
            io.save_audio(tmp_path / "out.wav", samples)
    with pytest.raises(OptionError, match="sample rate 0"):
        io.save_audio(tmp_path / "out.wav", tone(24000), 0)
    with pytest.raises(OutputError, match="unknown audio format"):
        io.encode_audio(tone(24000), 24000, ".m4a")


def test_loud_samples_are_clipped_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        io.save_audio(tmp_path / "loud.wav", tone(24000) * 4)
    assert "reach 2.00" in caplog.text
    assert float(io.load_audio(tmp_path / "loud.wav", 24000).abs().max()) <= 1.0


@pytest.mark.parametrize("shape", [(24000,), (1, 24000), (1, 1, 24000)])
def test_the_shapes_that_tts_returns(tmp_path: Path, shape: tuple[int, ...]) -> None:
    io.save_audio(tmp_path / "out.wav", tone(24000).reshape(shape).requires_grad_())
    assert soundfile.info(tmp_path / "out.wav").frames == 24000


def test_a_streamed_wav_is_a_wav(tmp_path: Path) -> None:
    samples = tone(24000)
    path = tmp_path / "streamed.wav"
    chunks = io.pcm16(samples[:, :9000]) + io.pcm16(samples[:, 9000:])
    path.write_bytes(io.wav_header(24000, samples.shape[-1]) + chunks)
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnframes(), file.getnchannels()) == (24000, 24000, 1)
    assert float((io.load_audio(path, 24000) - samples).abs().max()) < 1e-4
    path.write_bytes(io.wav_header(24000) + io.pcm16(samples))
    assert io.load_audio(path, 24000).shape == (1, 24000), "also when the length was not known"


def test_resampling() -> None:
    wav = tone(44100)[None]
    assert io.resample(wav, 44100, 24000).shape == (1, 1, 24000)
    assert abs(pitch(io.resample(wav, 44100, 24000)[0], 24000) - 440) < 2
    assert io.resample(wav, 44101, 24001, kernel="sinc").shape[-1] in (24000, 24001), "odd ratios fall back to soxr"
    for bad in [(0, 24000, "soxr"), (24000, -1, "sinc")]:
        with pytest.raises(OptionError, match="must be positive"):
            io.resample(wav, bad[0], bad[1], kernel=bad[2])
    with pytest.raises(OptionError, match="kernel 'linear'"):
        io.resample(wav, 44100, 24000, kernel="linear")


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(AudioError, match="no audio file at aaa"):
        io.read_audio("a" * 5000 + ".wav")


def test_a_rate_that_a_format_cannot_hold() -> None:
    with pytest.raises(OutputError, match=r"\.flac cannot hold 1000000 samples a second"):
        io.encode_audio(tone(24000), 1_000_000, ".flac")
