"""The real engine as a speaker: who it is, its voices, words and evidence; both families of models."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_xtts import make_tiny_release
from tutortoietts.api import TextToSpeech
from tutortoietts.book.engine import EngineFactory, EngineSpeaker
from tutortoietts.core.errors import VoiceError


@pytest.fixture(scope="module")
def speaker() -> EngineSpeaker:
    return EngineSpeaker(TextToSpeech(enable_redaction=False))


def test_bundled_speech(speaker: EngineSpeaker) -> None:
    text = "The old clock on the wall is slow."
    first, again, other = (speaker.speak(text, "slt", seed) for seed in (1, 1, 2))
    assert bool((first.samples == again.samples).all())
    assert first.samples.shape != other.samples.shape or not bool((first.samples == other.samples).all())
    assert [word.word for word in first.words] == "The old clock on the wall is slow".split()
    assert all(text[slice(*word.chars)].startswith(word.word) for word in first.words)
    assert first.evidence["finished"] == 1 and 0.5 < first.evidence["loss"] < 6
    assert speaker.loss_limit is None or first.evidence["loss"] < speaker.loss_limit


def test_brackets_are_text(speaker: EngineSpeaker) -> None:
    shown = speaker.speak("He said [the king] was there.", "slt", 1)
    assert "king" in [word.word.strip("[]") for word in shown.words]


def test_identity_and_voices(speaker: EngineSpeaker) -> None:
    identity = speaker.identity()
    assert EngineFactory()().identity() == identity
    assert EngineFactory(options={"temperature": 0.9})().identity() != identity
    assert EngineFactory(preset="high_quality")().identity() != identity
    assert len({speaker.voice_digest(voice) for voice in ("slt", "rms", "random")}) == 3
    assert speaker.voice_digest("random") == EngineFactory()().voice_digest("random")
    assert speaker.voice_digest("random") != EngineFactory(seed=1)().voice_digest("random")
    with pytest.raises(VoiceError):
        speaker.voice_digest("nobody")


def test_languages(speaker: EngineSpeaker) -> None:
    assert speaker.language == "en"
    assert EngineSpeaker(speaker.tts, language="en-GB").language == "en-GB"
    assert EngineSpeaker(speaker.tts, language="xx").language.startswith("en")


def test_xtts(tmp_path: Path) -> None:
    tts = TextToSpeech(make_tiny_release(tmp_path / "model"), enable_redaction=False)
    speaker = EngineSpeaker(tts, language="de-DE")
    assert speaker.language.startswith("de") and set(speaker.identity()["weights"]) == {
        "autoregressive", "stream_decoder", "tokenizer",
    }  # fmt: skip
    spoken = speaker.speak("Hallo, da ist ein Satz.", "Ana Example", 1)
    assert len(spoken.samples) > 0 and spoken.sample_rate == 24000 and "loss" in spoken.evidence
