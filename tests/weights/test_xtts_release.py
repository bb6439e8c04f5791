"""A release of XTTS-v2: three models in one checkpoint, its pickled configuration, its voices; what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tutortoietts.core.config_xtts import XttsConfig, XttsModelConfigs, hifigan_of
from tutortoietts.core.errors import ModelError
from tutortoietts.weights.convert import convert
from tutortoietts.weights.load import build, load_model, model_class, shapes
from tutortoietts.weights.read import load_state
from tutortoietts.weights.xtts import built_in_voices, mel_stats, read_configs

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
GOLDEN, MANIFESTS = SHARED / "golden", SHARED / "manifests"
RELEASE = GOLDEN / "xtts_model_format.pth"
KINDS = ("xtts", "hifigan", "speaker_encoder")
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden files of ../shared are absent")
needs_manifests = pytest.mark.skipif(not MANIFESTS.is_dir(), reason="the manifests of ../shared are absent")


def configs_by_kind(configs: XttsModelConfigs) -> dict[str, Any]:
    return {"xtts": configs.gpt, "hifigan": configs.decoder, "speaker_encoder": configs.speaker_encoder}


def full_size() -> tuple[XttsModelConfigs, dict[str, Tensor]]:
    """The public release without memory: its sizes, and every key with its shape."""
    state: dict[str, Tensor] = {"mel_stats": torch.empty(80, device="meta")}
    for name in ("xtts_v2_gpt", "xtts_v2_decoder"):
        manifest = json.loads((MANIFESTS / f"{name}.json").read_text())
        for key, entry in manifest["tensors"].items():
            dtype = getattr(torch, entry["dtype"])
            state[manifest["prefix"] + key] = torch.empty(entry["shape"], dtype=dtype, device="meta")
    return XttsModelConfigs(), state


def converted(state: dict[str, Tensor], configs: XttsModelConfigs) -> dict[str, dict[str, Tensor]]:
    """The states of all three models, strictly."""
    result = {}
    for kind, config in configs_by_kind(configs).items():
        expected = shapes(lambda kind=kind, config=config: model_class(kind)(config))
        result[kind] = convert(kind, state, expected=expected)
    return result


@needs_manifests
def test_the_public_release_loads_strictly_on_the_meta_device() -> None:
    configs, state = full_size()
    states = converted(state, configs)
    for kind, config in configs_by_kind(configs).items():
        build(lambda kind=kind, config=config: model_class(kind)(config), states[kind], device="meta")
    assert sum(tensor.numel() for tensor in states["xtts"].values()) == 441_018_563


@needs_manifests
def test_a_fine_tuned_file_has_a_prefix_and_more() -> None:
    configs, state = full_size()
    extra = torch.empty(3, device="meta")
    tuned = {f"xtts.{key}": tensor for key, tensor in state.items()}
    tuned |= {"dvae.encoder.0.0.weight": extra, "torch_mel_spectrogram_dvae.mel_stft.window": extra}
    tuned |= {"xtts.gpt.gpt_inference.lm_head.weight": extra, "xtts.gpt.gpt.wte.weight": extra}
    ours, usual = converted(tuned, configs), converted(state, configs)
    assert all(ours[kind].keys() == usual[kind].keys() for kind in KINDS)


@needs_manifests
@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("gpt.more.weight", "gpt.more.weight|more.weight"),
        ("hifigan_decoder.other.weight", "hifigan_decoder.other.weight"),
        ("dvae.encoder.0.0.weight", "dvae"),
        ("gpt.prompt_embedding.weight", "XTTS v1"),
    ],
)
def test_anything_else_is_refused(key: str, named: str) -> None:
    configs, state = full_size()
    state[key] = torch.empty(3, device="meta")
    with pytest.raises(ModelError, match=named):
        converted(state, configs)


@needs_manifests
def test_an_older_release_has_fewer_text_tokens() -> None:
    _, state = full_size()
    for key in ("gpt.text_embedding.weight", "gpt.text_head.weight", "gpt.text_head.bias"):
        state[key] = state[key][:6153]
    args = {"gpt_layers": 30, "gpt_number_text_tokens": 6153, "gpt_use_perceiver_resampler": True}
    older = XttsModelConfigs.from_release({"model_args": args})
    converted(state, older)
    with pytest.raises(ModelError, match="6153"):
        converted(state, XttsModelConfigs())


def test_v1_is_refused_with_a_reason() -> None:
    with pytest.raises(ModelError, match="XTTS v1"):
        XttsModelConfigs.from_release({"model_args": {"gpt_layers": 30, "gpt_use_perceiver_resampler": False}})
    with pytest.raises(ModelError, match="XTTS v1"):
        XttsModelConfigs.from_release({"model_args": {"gpt_layers": 30}})


def test_start_and_stop_come_from_the_vocabulary_where_the_file_leaves_them() -> None:
    args = {"gpt_layers": 2, "gpt_use_perceiver_resampler": True, "gpt_start_text_token": None}
    configs = XttsModelConfigs.from_release({"model_args": args}, {"[START]": 7, "[STOP]": 3})
    assert (configs.gpt.start_text_token, configs.gpt.stop_text_token) == (7, 3)


def test_release_defaults_and_languages() -> None:
    args = {"gpt_layers": 2, "gpt_use_perceiver_resampler": True}
    values = {"model": "xtts", "model_args": args, "repetition_penalty": 10.0, "languages": ["en", "zh-cn"], "lr": 1}
    configs = XttsModelConfigs.from_release(values)
    assert configs.defaults.repetition_penalty == 10.0 and configs.defaults.temperature == 0.75
    assert configs.languages == ("en", "zh-cn")
    with pytest.raises(ModelError, match="'vits'"):
        XttsModelConfigs.from_release({**values, "model": "vits"})


@needs_golden
def test_the_pickled_configuration_is_read_by_empty_stand_ins() -> None:
    configs = read_configs(RELEASE)
    assert configs.gpt.layers >= 1 and configs.defaults.repetition_penalty > 1
    assert "en" in configs.languages
    assert load_state(RELEASE, "model")


@needs_golden
@pytest.mark.parametrize("kind", ["other.module.Thing", "TTS.tts.models.xtts.Xtts", "os.system"])
def test_no_other_class_is_let_in(kind: str, tmp_path: Path) -> None:
    module, name = kind.rsplit(".", 1)
    data = b"\x80\x02c" + module.encode() + b"\n" + name.encode() + b"\n)\x81."
    path = tmp_path / "model.pth"
    path.write_bytes(data)
    with pytest.raises(ModelError):
        read_configs(path)


@needs_golden
def test_built_in_voices() -> None:
    voices = built_in_voices(GOLDEN / "speakers_xtts_format.pth")
    assert set(voices) == {"Ana Example", "Bo Sample"}
    prompt, vector = voices["Ana Example"]
    assert prompt.shape[:2] == (1, 32) and vector.ndim == 2


def test_a_voice_of_another_form_is_named(tmp_path: Path) -> None:
    path = tmp_path / "speakers.pth"
    torch.save({"Al": {"gpt_cond_latent": torch.zeros(1, 32, 8)}}, path)
    with pytest.raises(ModelError, match="'Al' lacks"):
        built_in_voices(path)
    torch.save([1], path)
    with pytest.raises(ModelError, match="no voices"):
        built_in_voices(path)


@needs_golden
def test_a_checkpoint_file_loads_and_loads_again_from_the_cache(tmp_path: Path) -> None:
    """The tensors of the golden pipeline in the form of the public file, with a prefix as fine-tuned ones."""
    from conformance import read

    golden = read(GOLDEN / "xtts_pipeline.safetensors")
    configs = XttsModelConfigs.from_release(golden.config)
    path = tmp_path / "model.pth"
    torch.save({"model": {f"xtts.{key}": tensor for key, tensor in golden.weights.items()}, "step": 3}, path)
    for _ in ("converted", "from the cache"):
        for kind, config in configs_by_kind(configs).items():
            module = load_model(kind, path, config)
            want = convert(kind, golden.weights)
            assert all(torch.equal(tensor, want[key]) for key, tensor in module.state_dict().items())
    assert torch.equal(mel_stats(load_state(path, "model")), golden.weights["mel_stats"])


def test_decoder_sizes_and_limits() -> None:
    config = hifigan_of({"decoder_input_dim": 48, "d_vector_dim": 24})
    assert (config.in_channels, config.cond_channels) == (48, 24)
    assert config.cond_each_level and not config.final_bias
    with pytest.raises(ModelError, match="needs cond_channels"):
        hifigan_of({"d_vector_dim": 0})
    with pytest.raises(ModelError, match="below 1026"):
        XttsConfig(stop_mel_token=1026)
