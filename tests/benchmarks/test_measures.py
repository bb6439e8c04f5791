"""The measures of benchmarks/ find what is put before them."""

from __future__ import annotations

import math
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(FOLDER))

import acoustics  # noqa: E402
import picture  # noqa: E402
import raters  # noqa: E402
import recognise  # noqa: E402
import sources  # noqa: E402

RATE = 16000


def pulses(hertz: float, seconds: float, tilt: float = 0.0) -> np.ndarray:
    """A buzz of this pitch: harmonics falling by ``tilt`` dB each."""
    t = np.arange(round(seconds * RATE)) / RATE
    parts = [10 ** (-tilt * k / 20) * np.cos(2 * np.pi * hertz * k * t) for k in range(1, int(7000 / hertz))]
    wave = np.sum(parts, 0)
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)


def test_sentence_sets() -> None:
    sets = [recognise.load_sentences(FOLDER / f"sentences_{name}.txt") for name in ("test", "dev")]
    assert [len(s) for s in sets] == [50, 50]
    assert not {recognise.plain(s) for s in sets[0]} & {recognise.plain(s) for s in sets[1]}
    assert sets[0][0] == "The quick brown fox jumps over the lazy dog."
    for sentence in [*sets[0], *sets[1]]:
        assert 5 <= len(sentence.split()) <= 14 and sentence.isascii()
        assert not any(c.isdigit() for c in sentence)


def test_equal_sounding_sentences_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("Hello there.\nhello, there!\n")
    with pytest.raises(ValueError, match="distinct"):
        recognise.load_sentences(tmp_path / "s.txt")


@pytest.mark.parametrize(
    ("heard", "errors", "missing", "extra"),
    [
        ("the cat sat on the mat", 0, 0, 0),
        ("the cat sat on", 2, 2, 0),
        ("the cat sat on the hat", 1, 0, 0),
        ("the cat sat on the mat and then again", 3, 0, 3),
        ("a the cat on the mat", 2, 0, 0),
        ("", 6, 6, 0),
    ],
)
def test_word_errors(heard: str, errors: int, missing: int, extra: int) -> None:
    found = recognise.word_errors("The cat sat on the mat.", heard)
    assert found == {"errors": errors, "words": 6, "missing": missing, "extra": extra}


def test_level_finds_silences_and_loudness() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)
    clip = np.concatenate((np.zeros(RATE // 2), tone, np.zeros(RATE // 4))).astype(np.float32)
    found = acoustics.level(clip, RATE)
    assert found.leading == pytest.approx(0.5, abs=0.03)
    assert found.trailing == pytest.approx(0.25, abs=0.03)
    assert found.speech == pytest.approx(1.0, abs=0.06)
    assert found.peak_dbfs == pytest.approx(-6.02, abs=0.1)
    assert found.rms_dbfs == pytest.approx(-9.03, abs=0.3)
    assert found.final_db < -60
    assert acoustics.level(clip[: -RATE // 4], RATE).final_db == pytest.approx(0, abs=0.5)
    assert acoustics.level(np.zeros(RATE, np.float32), RATE).speech == 0


@pytest.mark.parametrize("hertz", [90, 120, 210, 300])
def test_pitch(hertz: int) -> None:
    assert 2 ** acoustics.log_pitch(pulses(hertz, 0.5).astype(float), RATE) == pytest.approx(hertz, rel=0.02)


def test_no_pitch_in_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE)
    assert math.isnan(acoustics.log_pitch(noise, RATE))


def test_mel_powers_find_a_tone() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    mel = raters.power_mel(tone, 400, 40)
    assert mel.shape == (101, 40)
    filters = raters.mel_filters(400, 40)
    assert set(mel[10:90].argmax(1)) == {int(filters[:, 25].argmax())}  # bin 25 of 400 samples is 1 kHz
    assert filters.shape == (40, 201) and np.all(filters.sum(1) > 0)


def test_similarity_is_the_cosine() -> None:
    assert raters.similarity(np.array([2.0, 0.0]), np.array([1.0, 1.0])) == pytest.approx(0.5**0.5)


def test_words_are_as_they_are_spoken() -> None:
    assert raters.words("It costs 25 dollars, Mr. Smith!") == raters.words("it costs twenty-five dollars mister smith")


def test_sources_of_voices() -> None:
    assert sources.source_of("clara") == "heart" and sources.source_of("alpha40tebukuro60p090")
    assert sources.source_of("slt") == "slt" and sources.source_of("espeak+f3")
    assert sources.source_of("nobody") is None and sources.source_of("tom") is None


def test_spectrogram_is_a_png(tmp_path: Path) -> None:
    picture.spectrograms(tmp_path / "p.png", [(pulses(100, 0.5), RATE), (pulses(200, 0.3), RATE)])
    data = (tmp_path / "p.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    body = data[data.index(b"IDAT") + 4 :]
    assert len(zlib.decompressobj().decompress(body)) == height * (1 + 3 * width)


def test_score_hears_nothing_in_silence() -> None:
    pytest.importorskip("pocketsphinx")
    found = recognise.score(
        [(np.zeros(RATE, np.float32), 1), (np.zeros(RATE // 2), 0)], ["Good morning.", "Stop here."]
    )
    assert found["forced_choice"] == 0
    assert [clip["index"] for clip in found["clips"]] == [1, 0]
    assert found["word_error_rate"] >= 1


def test_score_refuses_an_index_outside_the_sentences() -> None:
    with pytest.raises(ValueError, match=r"sentence 2 outside 0\.\.1"):
        recognise.score([(np.zeros(RATE, np.float32), 2)], ["Good morning.", "Stop here."])
