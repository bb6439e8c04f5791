"""Weights, voices and configurations that strangers made or a disk damaged: one clear error, at once."""

from __future__ import annotations

import json
import math
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tiny_model import letter_tokenizer
from tutortoietts import TextToSpeech
from tutortoietts.core.errors import ModelError, OptionError, VoiceError
from tutortoietts.core.types import Voice
from tutortoietts.text.tokenizer import Tokenizer
from tutortoietts.voices.files import read_original, read_voice
from tutortoietts.weights.read import load_state

PAIR = (torch.ones(1, 8), torch.ones(1, 16))


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def speak(model: Path, **options: Any) -> torch.Tensor:
    given = {"num_autoregressive_samples": 1, "diffusion_iterations": 2, "max_mel_tokens": 6, "voice": "anna"}
    return TextToSpeech(model=model).speak("Hi.", seed=1, **{**given, **options}).samples


@pytest.mark.parametrize("value", [math.nan, math.inf, 3e38])
@pytest.mark.parametrize("part", ["autoregressive", "diffusion", "vocoder", "mel_norms"])
def test_a_weight_that_is_no_number_is_found_when_it_is_loaded(model: Path, part: str, value: float) -> None:
    path = model / f"{part}.safetensors"
    tensors = {key: tensor.float() for key, tensor in load_file(path).items()}
    key = sorted(tensors)[0]
    tensors[key].view(-1)[0] = value
    save_file(tensors, path, {"tutortoietts": "1"})
    with pytest.raises(
        ModelError, match=f"{part}.safetensors: {key} holds values that are not numbers or beyond"
    ) as caught:
        if part == "mel_norms":
            _ = TextToSpeech(model=model)._models.mel_norms
        else:
            speak(model)
    assert caught.value.key == key


def test_sound_that_is_no_numbers_is_never_returned(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tts = TextToSpeech(model=model)
    broken = Voice(name="x", model=tts.model, speaker=torch.full((1, 64), math.nan), diffusion=torch.zeros(1, 128))
    options = {"num_autoregressive_samples": 1, "diffusion_iterations": 2, "max_mel_tokens": 6}
    monkeypatch.setattr("tutortoietts.engine.voice_resolver.is_sound", lambda _: True)
    with pytest.raises(ModelError, match="made sound that is no numbers"):
        tts.speak("Hi.", voice=broken, seed=1, **options)
    with pytest.raises(ModelError, match="made sound that is no numbers"):
        list(tts.stream("Hi.", voice=broken, seed=1, decoder="diffusion", **options))


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ((torch.zeros(1).expand(1, 10**9), PAIR[1]), "no plain numbers"),
        ((PAIR[0].to_sparse(), PAIR[1]), "no plain numbers"),
        ((PAIR[0].to(torch.float8_e5m2), PAIR[1]), "no plain numbers"),
        ((PAIR[0].double() * 1e300, PAIR[1]), "not numbers, or beyond"),
        ((PAIR[0] * 3e38, PAIR[1]), "not numbers, or beyond"),
        ((PAIR[0] * math.nan, PAIR[1]), "not numbers, or beyond"),
    ],
)
def test_latents_no_model_can_work_with(tmp_path: Path, pair: Any, message: str) -> None:
    torch.save(pair, tmp_path / "a.pth")
    with pytest.raises(VoiceError, match=message):
        read_original(tmp_path / "a.pth", "tortoise-v2")


def test_a_voice_in_a_type_that_is_not_read(tmp_path: Path) -> None:
    tags = {"format": "tutortoietts-voice-1", "name": "a", "model": "m"}
    save_file({"speaker": PAIR[0].to(torch.float8_e4m3fn)}, tmp_path / "a.safetensors", tags)
    with pytest.raises(VoiceError, match="no plain numbers"):
        read_voice(tmp_path / "a.safetensors")


def test_an_archive_that_inflates_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(100_000_000))
        archive.writestr("a/version", b"3\n")
    with pytest.raises(ModelError, match="unpacks to 100000002 bytes, far more than it has"):
        load_state(path)
    with pytest.raises(VoiceError, match="cannot be read as saved latents"):
        read_original(path, "tortoise-v2")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 200_000, "not JSON"),
        ({"layers": 10**7}, "autoregressive.layers|layers is 10000000: must be at most"),
        ({"model_dim": 2**63}, "must be at most 1000000"),
        ({"k" * 100_000: 1}, "unknown key"),
    ],
)
def test_specifications(model: Path, content: Any, message: str) -> None:
    path = model / "model.json"
    if isinstance(content, dict):
        values = json.loads(path.read_text())
        values["autoregressive"].update(content)
        content = json.dumps(values)
    path.write_text(content)
    with pytest.raises(ModelError, match=message) as caught:
        TextToSpeech(model=model)
    assert len(str(caught.value)) < 1000 and "model.json" in str(caught.value)


def test_a_preset_with_an_option_that_no_model_has(model: Path) -> None:
    values = json.loads((model / "model.json").read_text())
    values["presets"] = {"own": {"loudness": 3}}
    (model / "model.json").write_text(json.dumps(values))
    with pytest.raises(ModelError, match="loudness"):
        TextToSpeech(model=model)


def test_tokenizers(tmp_path: Path, model: Path) -> None:
    path = tmp_path / "tokenizer.json"
    content = letter_tokenizer()
    usual = {"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0}
    path.write_text(json.dumps({**content, "padding": {**usual, "pad_type_id": 0, "pad_token": "[STOP]"}}))
    assert Tokenizer(path).encode("ab").ids.shape == (1, 2)
    path.write_text(json.dumps({**content, "model": {**content["model"], "vocab": {}, "unk_token": None}}))
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        Tokenizer(path)
    content["model"]["vocab"]["z"] = 5000
    (model / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="token ids reach 5000, but the model knows"):
        speak(model)


def test_a_voice_too_large_for_the_models(model: Path) -> None:
    tts = TextToSpeech(model=model)
    with pytest.raises(OptionError, match="not finite numbers of usual size"):
        tts.tts("Hi.", conditioning_latents=(torch.full((1, 64), 1e30), torch.zeros(1, 128)), verbose=False)
