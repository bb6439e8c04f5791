"""The phrase cache of `TextToSpeech`: what comes from it is what was spoken, bit for bit, and nothing else."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from tutortoietts import TextToSpeech
from tutortoietts.api.phrases import Phrases
from tutortoietts.cache.phrases import PhraseCache
from tutortoietts.core.types import Voice

TEXT = "The old clock is slow."
LONG = "The old clock on the wall is slow, and nobody winds it. He said [very softly] that it would rain all day long."


@pytest.fixture(scope="module")
def plain() -> TextToSpeech:
    return TextToSpeech()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("phrases")


@pytest.fixture
def tts(folder: Path) -> TextToSpeech:
    """A model that has loaded nothing yet, with the cache that all tests here share."""
    return TextToSpeech(phrase_cache=folder)


def key(tts: TextToSpeech, text: str = TEXT, **given: Any) -> str:
    request = tts._request(text, None, None, **{"preset": None, "given": {}, "seed": 1, **given})
    assert isinstance(tts._phrases, Phrases)
    return tts._phrases.key(tts._pipeline(request, None))


def test_a_hit_is_what_would_have_been_spoken(plain: TextToSpeech, folder: Path) -> None:
    spoken = plain.speak(LONG, voice="clara", seed=1)
    first = TextToSpeech(phrase_cache=folder).speak(LONG, voice="clara", seed=1)
    again = TextToSpeech(phrase_cache=str(folder))
    hit = again.speak(LONG, voice="clara", seed=1)
    assert (spoken.cached, first.cached, hit.cached) == (False, False, True)
    assert again._models._loaded == {}  # no model was needed
    assert torch.equal(spoken.samples, first.samples) and torch.equal(spoken.samples, hit.samples)
    assert spoken.words == first.words == hit.words
    assert hit.seed == 1 and hit.report.audio_seconds == spoken.report.audio_seconds
    assert list(hit.report.stages) == ["cache"] and again.last_report == hit.report


@pytest.mark.parametrize("decoder", ["stream", "diffusion"])
def test_streams_too(plain: TextToSpeech, folder: Path, decoder: str) -> None:
    def heard(tts: TextToSpeech) -> tuple[bool, torch.Tensor, Any]:
        with tts.stream(LONG, voice="clara", seed=1, decoder=decoder) as stream:
            samples = torch.cat(list(stream))
        return stream.cached, samples, stream.words

    spoken, first, hit = (heard(tts) for tts in (plain, *(TextToSpeech(phrase_cache=folder) for _ in range(2))))
    assert [one[0] for one in (spoken, first, hit)] == [False, False, True]
    assert torch.equal(spoken[1], first[1]) and torch.equal(spoken[1], hit[1])
    assert spoken[2] == first[2] == hit[2]


def test_a_stream_closed_early_is_not_kept(tts: TextToSpeech) -> None:
    for _ in range(2):
        with tts.stream(LONG, voice="clara", seed=77) as stream:
            next(stream)
        assert not stream.cached


def test_without_a_seed_nothing_is_kept(tmp_path: Path) -> None:
    tts = TextToSpeech(phrase_cache=tmp_path / "c")
    assert not tts.speak(TEXT).cached and not tts.speak(TEXT).cached
    assert not (tmp_path / "c").exists()


def test_several_results(tts: TextToSpeech, plain: TextToSpeech) -> None:
    given: dict[str, Any] = {"voice": "clara", "seed": 3, "num_autoregressive_samples": 4}
    spoken = plain.speak_candidates(TEXT, 2, **given)
    tts.speak_candidates(TEXT, 2, **given)
    hits = tts.speak_candidates(TEXT, 2, **given)
    assert all(hit.cached and torch.equal(hit.samples, one.samples) for hit, one in zip(hits, spoken, strict=True))


def test_speech_that_did_not_end_is_not_kept(tts: TextToSpeech, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        with caplog.at_level(logging.ERROR):
            assert not tts.speak(TEXT, seed=1, max_mel_tokens=8).cached


def test_damage_is_spoken_again(folder: Path, tts: TextToSpeech, caplog: pytest.LogCaptureFixture) -> None:
    whole = tts.speak("Damaged one.", seed=1).samples
    path = folder / (name := key(tts, "Damaged one."))[:2] / f"{name}.f32"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    again = tts.speak("Damaged one.", seed=1)
    assert not again.cached and torch.equal(again.samples, whole) and len(caplog.records) == 1
    assert tts.speak("Damaged one.", seed=1).cached
    note = path.with_suffix(".json")
    note.write_text(note.read_text().replace('".f32"', '".exe"'))
    assert not tts.speak("Damaged one.", seed=1).cached


def test_no_text_is_stored(tts: TextToSpeech, folder: Path) -> None:
    tts.speak("Elephants are secret.", seed=1)
    assert not any(b"lephant" in path.read_bytes() for path in folder.rglob("*.json"))


def test_everything_that_changes_the_sound_is_in_the_key(tts: TextToSpeech, tmp_path: Path) -> None:
    voice = tts.voices.get("clara", tts.model, None)
    changed = Voice(name=voice.name, model=voice.model, speaker=voice.speaker * 1.001, diffusion=voice.diffusion)
    keys = [
        key(tts), key(tts, "The old clock is fast."), key(tts, seed=2), key(tts, k=2), key(tts, preset="realtime"),
        key(tts, given={"temperature": 0.51}), key(tts, given={"diffusion_iterations": 3}),
        key(tts, "The [old] clock is slow."), key(tts, normalize=False),
        key(TextToSpeech(phrase_cache=tmp_path, kv_cache=False)),
        key(TextToSpeech(phrase_cache=tmp_path, precision="bf16")),
        *(tts._phrases.key(tts._pipeline(tts._request(
            TEXT, None, latents, preset=None, given={}, seed=1), None)) for latents in (voice, changed)),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert key(tts) == key(TextToSpeech(phrase_cache=tmp_path, autoregressive_batch_size=1))


def test_a_replaced_component_is_not_kept(tmp_path: Path) -> None:
    tts = TextToSpeech(phrase_cache=tmp_path)
    tts.vocoder = tts.vocoder
    assert not tts.speak(TEXT, seed=1).cached and not tts.speak(TEXT, seed=1).cached


def test_a_folder_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("x")
    tts = TextToSpeech(phrase_cache=tmp_path / "file" / "cache")
    assert len(tts.speak(TEXT, seed=1).samples) > 0 and len(tts.speak(TEXT, seed=1).samples) > 0
    assert sum("phrase cache" in record.message for record in caplog.records) == 1


def test_true_is_the_cache_that_all_share(plain: TextToSpeech) -> None:
    tts = TextToSpeech(phrase_cache=True)
    tts.speak(TEXT, seed=1)
    assert PhraseCache().status().phrases == 1
    assert PhraseCache().verify() == (1, []) and PhraseCache().clear()[0] == 1
    assert not tts.speak(TEXT, seed=1).cached
