"""Sound encoded and stretched while it is made."""

from __future__ import annotations

import io
import wave

import pytest
import torch

from tutortoietts.audio.encode import STREAM_FORMATS, StreamEncoder
from tutortoietts.audio.io import pcm16
from tutortoietts.audio.stretch import Stretcher, stretch
from tutortoietts.core.errors import OptionError, OutputError

RATE = 24000
CHUNKS = (1, 700, 8928, 8928, 17856, 333)


def tone(samples: int) -> torch.Tensor:
    time = torch.arange(samples) / RATE
    return 0.4 * torch.sin(2 * torch.pi * 220 * time) * (1 + 0.5 * torch.sin(2 * torch.pi * 3 * time)) / 1.5


def chunks() -> list[torch.Tensor]:
    return list(tone(sum(CHUNKS)).split(list(CHUNKS)))


def decoded(data: bytes) -> torch.Tensor:
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(data)) as file:
        frames = [torch.from_numpy(frame.to_ndarray()).flatten() for frame in file.decode(audio=0)]
        rate = file.streams.audio[0].rate
    sound = torch.cat(frames).float()
    return sound[:: rate // RATE]


def test_pcm_is_the_16_bit_samples() -> None:
    encoder = StreamEncoder("pcm", RATE)
    pieces = [encoder.push(chunk) for chunk in chunks()]
    assert all(len(piece) % 2 == 0 for piece in pieces)
    assert b"".join([*pieces, encoder.finish()]) == pcm16(tone(sum(CHUNKS)))


def test_wav_has_one_header_without_a_length() -> None:
    encoder = StreamEncoder("wav", RATE)
    data = b"".join([*map(encoder.push, chunks()), encoder.finish()])
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
    assert data[44:] == pcm16(tone(sum(CHUNKS)))


@pytest.mark.parametrize(("form", "longer"), [("mp3", 0.1), ("opus", 0.0005), ("aac", 0.1), ("flac", 0.0)])
def test_compressed_formats_have_the_length_of_the_sound(form: str, longer: float) -> None:
    pytest.importorskip("av")
    encoder = StreamEncoder(form, RATE)
    pieces = [encoder.push(chunk) for chunk in chunks()]
    sound = decoded(b"".join([*pieces, encoder.finish()]))
    extra = len(sound) - sum(CHUNKS)
    assert 0 <= extra <= longer * RATE
    assert len(b"".join(pieces[:3])) > 500, "sound comes while more is being made"
    assert float(sound.abs().max()) > 0.1


def test_what_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(OutputError, match="wma"):
        StreamEncoder("wma", RATE)
    with pytest.raises(OutputError, match="22050"):
        StreamEncoder("opus", 22050)
    assert "pcm" in STREAM_FORMATS


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.9, 1.0, 1.3, 2.0, 4.0])
@pytest.mark.parametrize("sizes", [CHUNKS, (36746,), (100,) * 40, (9,)])
def test_stretching_blocks_is_stretching_the_whole(rate: float, sizes: tuple[int, ...]) -> None:
    sound = tone(sum(sizes)) + 0.01 * torch.randn(sum(sizes), generator=torch.Generator().manual_seed(1))
    stretcher = Stretcher(RATE, rate)
    made = torch.cat([*map(stretcher.push, sound.split(list(sizes))), stretcher.finish()])
    reference = stretch(sound, RATE, rate)
    assert len(made) == len(reference)
    assert torch.equal(made, reference)


def test_stretched_sound_comes_before_the_end() -> None:
    stretcher = Stretcher(RATE, 1.25)
    assert len(stretcher.push(tone(RATE))) > 0.6 * RATE


def test_a_rate_outside_the_limits_is_refused() -> None:
    with pytest.raises(OptionError, match="5"):
        Stretcher(RATE, 5)
