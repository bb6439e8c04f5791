"""A request is checked once, before any model runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tiny_model import make_tiny_model
from tutortoietts.core.errors import OptionError, TextError, VoiceError
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.core.streaming import Streaming
from tutortoietts.core.types import Voice
from tutortoietts.engine.pipeline import Pipeline
from tutortoietts.engine.progress import Progress
from tutortoietts.engine.request import Request, resolve_options, resolve_seed
from tutortoietts.engine.voice_resolver import VoiceResolver
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.runtime.source import open_source

OPTIONS = SpeechOptions(num_autoregressive_samples=3, max_mel_tokens=10)


@pytest.fixture(scope="module")
def models(tiny_model: Path) -> LoadedModels:
    return LoadedModels(open_source(tiny_model), device=torch.device("cpu"), dtype=torch.float32)


def build(models: LoadedModels, text: str = "One two.", **changes: Any) -> Request:
    return Request.build(models, VoiceResolver(models), text, **{"options": OPTIONS, **changes})


def test_a_request_holds_what_was_asked(models: LoadedModels) -> None:
    request = build(models, voice_samples="ben", seed=5, k=2, batch_size=4)
    assert request.voice.name == "ben" and (request.seed, request.k, request.batch_size) == (5, 2, 4)
    assert [passage.text for passage in request.passages] == ["One two."] and not request.from_latents
    assert not models._loaded  # checks need no model


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 0}, r"k is 0, outside 1\.\.3"),
        ({"k": 4}, r"k is 4, outside 1\.\.3: draw at least"),
        ({"k": "2"}, "k is '2', must be an integer"),
        ({"options": SpeechOptions(max_mel_tokens=61)}, r"max_mel_tokens is 61, outside 1\.\.60"),
        ({"options": SpeechOptions(min_mel_tokens=11, max_mel_tokens=10)}, r"min_mel_tokens is 11, outside 0\.\.10"),
    ],
)
def test_bad_options_are_refused(models: LoadedModels, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build(models, **changes)


def test_cvvp_needs_clips(models: LoadedModels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(models.source), "config", lambda *_: None)
    with pytest.raises(OptionError, match=r"cvvp_amount is 0\.5, but CVVP compares"):
        build(models, options=SpeechOptions(cvvp_amount=0.5, max_mel_tokens=10))


def test_a_streamed_start_needs_a_small_streaming_decoder(models: LoadedModels, tmp_path: Path) -> None:
    streamed = SpeechOptions(diffusion_start="streamed", max_mel_tokens=10)
    told = 'diffusion_start is "streamed", but the model \'tiny\' has no small streaming decoder: give "noise" or'
    with pytest.raises(OptionError, match=told):
        build(models, options=streamed)
    large = LoadedModels(
        open_source(make_tiny_model(tmp_path / "hifigan", streaming="hifigan")),
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    with pytest.raises(OptionError, match=told):
        build(large, options=streamed)


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        ({}, {"diffusion"}),
        ({"diffusion_start": "regressed", "diffusion_iterations": 0}, {"diffusion"}),
        ({"diffusion_start": "streamed"}, {"stream_decoder", "diffusion"}),
        ({"diffusion_start": "streamed", "diffusion_iterations": 0}, {"stream_decoder"}),
    ],
)
def test_what_makes_the_mel_is_loaded_before_the_work(
    streaming_model: Path, options: dict[str, Any], needed: set[str]
) -> None:
    models = LoadedModels(open_source(streaming_model), device=torch.device("cpu"), dtype=torch.float32)
    usual = {"num_autoregressive_samples": 1, "max_mel_tokens": 6, "diffusion_iterations": 2}
    pipeline = Pipeline(models, build(models, options=SpeechOptions(**{**usual, **options})), Progress())
    pipeline.load()
    loaded = set(models._loaded)
    assert loaded - {"autoregressive", "vocoder"} == needed
    (spoken,) = pipeline.speak(0)
    assert spoken.samples.isfinite().all() and set(models._loaded) == loaded


def test_text_must_be_text_with_something_to_say(models: LoadedModels) -> None:
    with pytest.raises(TextError, match="text is a int, must be a str"):
        build(models, 7)  # type: ignore[arg-type]
    with pytest.raises(TextError, match="nothing to say"):
        build(models, "?!")


def test_voices_of_other_sizes_are_refused(models: LoadedModels) -> None:
    small = Voice(name="small", model="tiny", speaker=torch.zeros(1, 32), diffusion=torch.zeros(1, 128))
    with pytest.raises(VoiceError, match="'small' has latents of 32 and 128 numbers, but the model 'tiny' needs 64"):
        build(models, latents=small)
    thin = Voice(name="thin", model="tiny", speaker=torch.zeros(1, 64))
    with pytest.raises(VoiceError, match="'thin' has no diffusion latent"):
        build(models, latents=thin)
    streaming = Streaming(decoder="stream")
    assert build(models, latents=thin, streaming=streaming).from_latents
    with pytest.raises(VoiceError, match="'small' has a speaker latent of 32 numbers"):
        build(models, latents=small, streaming=streaming)


def test_seeds() -> None:
    assert resolve_seed(3) == 3 and resolve_seed(None) != resolve_seed(None)
    with pytest.raises(OptionError, match=r"use_deterministic_seed is 1\.5, must be an integer"):
        resolve_seed(1.5)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="seed is True"):
        resolve_seed(True, "seed")


def test_options_of_a_stream_from_latents(models: LoadedModels) -> None:
    options = resolve_options(models.spec, "ultra_fast", {}, Streaming(decoder="stream"))
    assert options.num_autoregressive_samples == 1 and options.max_mel_tokens == 60
    with pytest.raises(OptionError, match="a stream from latents has no diffusion"):
        resolve_options(models.spec, None, {"diffusion_iterations": 9}, Streaming(decoder="stream"))
