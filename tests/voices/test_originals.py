"""`load_voice` and `load_voices`: what scripts of the original get."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest
import torch

from tutortoietts.audio.io import save_audio
from tutortoietts.core.errors import VoiceError
from tutortoietts.core.types import Voice
from tutortoietts.voices import load_voice, load_voices, write_voice


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Voices anna (two clips), ben (one), carl and dora (latents), both (latents of two models)."""
    wave = 0.5 * torch.sin(2 * math.pi * 200 * torch.arange(24000) / 24000)
    for name in ("anna/1.wav", "anna/2.mp3", "ben/1.flac"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save_audio(tmp_path / name, wave, 24000)
    torch.save((torch.full((1, 4), 1.0), torch.full((1, 8), 1.0)), tmp_path / "carl.pth")
    dora = Voice(name="dora", model="m1", speaker=torch.full((1, 4), 3.0), diffusion=torch.full((1, 8), 3.0))
    write_voice(tmp_path / "dora.safetensors", dora)
    for model in ("m1", "m2"):
        voice = Voice(name="both", model=model, speaker=torch.full((1, 4), float(model[1])))
        write_voice(tmp_path / "both" / f"{model}.safetensors", voice)
    return tmp_path


def test_clips(folder: Path) -> None:
    clips, latents = load_voice("anna", [folder])
    assert latents is None and clips is not None and len(clips) == 2
    assert all(clip.dtype == torch.float32 and clip.shape == (1, 22050) for clip in clips[:1])
    assert load_voice(str(folder / "ben"))[0] is not None


def test_latents(folder: Path) -> None:
    for name, value in [("carl", 1.0), ("dora", 3.0)]:
        clips, latents = load_voice(name, extra_voice_dirs=[folder])
        assert clips is None and latents is not None
        assert [float(latent[0, 0]) for latent in latents if latent is not None] == [value, value]


def test_latents_of_several_models(folder: Path) -> None:
    with pytest.raises(VoiceError, match="latents for m1, m2: say which with model="):
        load_voice("both", [folder])
    _, latents = load_voice("both", [folder], model="m2")
    assert latents is not None and float(latents[0][0, 0]) == 2.0 and latents[1] is None
    with pytest.raises(VoiceError, match="made for m1, not for m9"):
        load_voice("dora", [folder], model="m9")


def test_random() -> None:
    assert load_voice("random") == (None, None)
    assert load_voices(["random"]) == (None, None)


def test_random_among_others(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert load_voices(["anna", "random"], [folder]) == (None, None)
    assert "only a random one is used" in caplog.text


def test_several_voices(folder: Path) -> None:
    clips, latents = load_voices(["anna", "ben"], [folder])
    assert clips is not None and len(clips) == 3 and latents is None
    clips, latents = load_voices(iter_names := ["carl", "dora"], (path for path in [folder]))
    assert clips is None and latents is not None and iter_names
    assert float(latents[0][0, 0]) == 2.0 and latents[1] is not None and latents[0].shape == (1, 4)
    assert float(load_voices(["dora", "both"], [folder], model="m1")[1][0][0, 0]) == 2.0  # type: ignore[index]


def test_a_mix_as_one_name(folder: Path) -> None:
    clips, _ = load_voice("anna+ben", [folder])
    assert clips is not None and len(clips) == 3
    with pytest.raises(VoiceError, match="weights"):
        load_voice("anna*2+ben", [folder])


def test_bad_combinations(folder: Path) -> None:
    with pytest.raises(VoiceError, match="mix only voices of one kind"):
        load_voices(["anna", "dora"], [folder])
    with pytest.raises(VoiceError, match="name at least one"):
        load_voices([])
    with pytest.raises(VoiceError, match="no voice named 'nobody'"):
        load_voice("nobody", [folder])
    torch.save((torch.ones(1, 9), torch.ones(1, 8)), folder / "big.pth")
    with pytest.raises(VoiceError, match="different size"):
        load_voices(["carl", "big"], [folder])
