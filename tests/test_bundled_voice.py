"""The bundled model is understood: a recogniser that knows ten sentences hears the one that was to be said."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch

from tutortoietts import TextToSpeech

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import recognise

SENTENCES = recognise.load_sentences(Path(recognise.__file__).with_name("sentences_test.txt"))[:10]
SAID = (0, 2, 4, 7)


@pytest.fixture(scope="module")
def recogniser() -> recognise.Recogniser:
    pytest.importorskip("pocketsphinx")
    return recognise.Recogniser(SENTENCES)


@pytest.fixture(scope="module")
def tts() -> TextToSpeech:
    return TextToSpeech(model="bundled")


@pytest.mark.parametrize("index", SAID)
def test_the_default_voice_is_understood(index: int, tts: TextToSpeech, recogniser: recognise.Recogniser) -> None:
    wave = tts.tts_with_preset(SENTENCES[index], use_deterministic_seed=1000 + index, verbose=False)
    samples = soxr.resample(wave.reshape(-1).numpy(), 24000, recognise.RATE)
    assert recogniser.hear(recognise.read_16k(samples), index, dictation=False)["chosen"] == index


def test_one_candidate_of_the_default_preset_sounds_as_it_streams(tts: TextToSpeech) -> None:
    """Both make sound of the same latents by the streaming decoder: only windows and rounding differ."""
    given = {"preset": tts.default_preset, "use_deterministic_seed": 5, "num_autoregressive_samples": 1}
    first = {"diffusion_start": "streamed", "diffusion_iterations": 0}
    whole = tts.tts_with_preset(SENTENCES[0], verbose=False, **given, **first).flatten()
    streamed = torch.cat([chunk.flatten() for chunk in tts.tts_stream(SENTENCES[0], decoder="stream", **given)])
    assert whole.shape == streamed.shape
    assert (whole - streamed).norm() < 1e-3 * streamed.norm()


def test_the_recogniser_of_codes_knows_which_text_they_say(tts: TextToSpeech) -> None:
    readings = [tts.speak(SENTENCES[index], seed=7, num_autoregressive_samples=2).reading for index in SAID]
    spoken = [reading.passages[0] for reading in readings]
    scores = torch.stack([torch.cat([tts.ctc(encoded.text, codes) for _, codes in spoken]) for encoded, _ in spoken])
    right = scores.diagonal().clone()
    scores.fill_diagonal_(-torch.inf)
    assert (right > scores.amax(0) + 20).all() and (right > scores.amax(1) + 20).all()  # nats


def test_noise_is_not_understood(recogniser: recognise.Recogniser) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * recognise.RATE).astype(np.float32)
    heard = [recogniser.hear(recognise.read_16k(noise), index, dictation=False)["right"] for index in SAID]
    assert sum(heard) <= 1
