"""Configurations: the public ones are the defaults, mistakes are named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conformance import SHARED
from tutortoietts.core.config import (
    CONFIGS,
    AlignmentSpec,
    AutoregressiveConfig,
    BigVGANConfig,
    ClvpConfig,
    DiffusionConfig,
    DvaeConfig,
    ModelSpec,
    RandomLatentConfig,
    VocosConfig,
)
from tutortoietts.core.errors import ModelError

PUBLIC = {
    "autoregressive": "autoregressive",
    "bigvgan_base_24khz_100band": "bigvgan",
    "classifier": "classifier",
    "clvp2": "clvp",
    "cvvp": "cvvp",
    "diffusion_decoder": "diffusion",
    "hifidecoder": "hifigan",
    "rlg_auto": "random_latent",
    "vocoder": "univnet",
}


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is absent")
@pytest.mark.parametrize("name", PUBLIC)
def test_defaults_are_the_public_models(name: str) -> None:
    manifest = json.loads((SHARED / "manifests" / f"{name}.json").read_text())
    config = CONFIGS[PUBLIC[name]]
    assert config.from_dict(manifest["config"]) == config()


@pytest.mark.parametrize("kind", CONFIGS)
def test_round_trip(kind: str) -> None:
    config = CONFIGS[kind]()
    assert CONFIGS[kind].from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("cls", "values", "message"),
    [
        (AutoregressiveConfig, {"layer": 2}, "unknown key 'layer'; did you mean 'layers'"),
        (AutoregressiveConfig, {"layers": 0}, "layers is 0: must be an integer of at least 1"),
        (AutoregressiveConfig, {"layers": "2"}, "layers is '2'"),
        (AutoregressiveConfig, {"heads": 7}, "model_dim is 1024: must be a multiple of heads"),
        (AutoregressiveConfig, {"stop_mel_token": 9000}, "stop_mel_token is 9000: must be below 8194"),
        (ClvpConfig, {"rotary_dim": 66}, "rotary_dim is 66"),
        (DiffusionConfig, {"out_channels": 100}, "out_channels is 100: must be twice in_channels"),
        (DvaeConfig, {"use_transposed_convs": True}, "only False is supported"),
        (DvaeConfig, {"kernel_size": 4}, "kernel_size is 4: must be odd"),
        (BigVGANConfig, {"upsample_rates": [8, 8]}, "upsample_kernel_sizes"),
        (VocosConfig, {"hop": 300}, "n_fft is 1024: must be a multiple of hop"),
        (RandomLatentConfig, {"channels": 1.5}, "channels is 1.5"),
    ],
)
def test_mistakes_are_named(cls: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        cls.from_dict(values)
    assert message in str(caught.value)
    assert caught.value.key is not None


def test_training_keys_are_ignored() -> None:
    assert DiffusionConfig.from_dict({"dropout": 0.1, "layer_drop": 0.2}) == DiffusionConfig()


SPEC: dict[str, Any] = {
    "format": 1,
    "name": "small",
    "default_preset": "quick",
    "tokenizer": {"file": "tokenizer.json", "cleaner": "basic"},
    "autoregressive": {"layers": 2, "model_dim": 64, "heads": 4},
    "diffusion": {"model_channels": 64, "num_heads": 4},
    "clvp": None,
    "vocoder": {"kind": "vocos", "dim": 64},
    "stream_decoder": {"kind": "hifigan", "in_channels": 64},
    "calm_token": None,
    "presets": {"quick": {"diffusion_iterations": 4}},
}


def test_model_spec() -> None:
    spec = ModelSpec.from_dict(SPEC)
    assert spec.vocoder == VocosConfig(dim=64)
    assert spec.clvp is None and spec.calm_token is None
    assert spec.autoregressive.model_dim == 64
    assert spec.alignment == AlignmentSpec()
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    calibrated = ModelSpec.from_dict(SPEC | {"alignment": {"bias_seconds": -0.03, "heads": [[1, 0], [0, 1]]}})
    assert calibrated.alignment.heads == ((1, 0), (0, 1))
    assert ModelSpec.from_dict(json.loads(json.dumps(calibrated.to_dict()))) == calibrated


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "reads format 1"),
        ({"vocodr": {}}, "did you mean 'vocoder'"),
        ({"vocoder": {"kind": "wavenet"}}, "kind is 'wavenet'"),
        ({"autoregressive": {"layrs": 1}}, "did you mean 'layers'"),
        ({"autoregressive": 5}, "AutoregressiveConfig is 5: must be an object"),
        ({"vocoder": "vocos"}, "vocoder is 'vocos': must be an object"),
        ({"vocoder": {"kind": "clvp"}}, "kind is 'clvp', must be one of bigvgan"),
        ({"calm_token": "83"}, "calm_token is '83': must be null or an integer below 8194"),
        ({"calm_token": 9000}, "calm_token is 9000"),
        ({"default_preset": 3}, "default_preset is 3: must be text"),
        ({"presets": {"quick": 1}}, "must be an object of objects"),
        ({"alignment": {"bias": 0.1}}, "unknown key 'bias'"),
        ({"alignment": {"bias_seconds": 5}}, "bias_seconds is 5: must be a number of seconds from -1 to 1"),
        ({"alignment": {"heads": [[1, 2, 3]]}}, "must be a list of pairs of integers"),
        ({"alignment": {"heads": [[99, 0]]}}, "heads is .* has 2 layers of 4 heads"),
        ({"alignment": None}, "alignment is None: must be an object"),
    ],
)
def test_model_spec_mistakes(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ModelSpec.from_dict(SPEC | change)


def test_model_spec_needs_its_parts() -> None:
    with pytest.raises(ModelError, match="'diffusion' is missing"):
        ModelSpec.from_dict({key: value for key, value in SPEC.items() if key != "diffusion"})
