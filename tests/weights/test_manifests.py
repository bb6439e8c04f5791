"""Every public checkpoint loads strictly at full size: keys and shapes without memory, and some with real numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tutortoietts.core.config import CONFIGS, Config
from tutortoietts.core.errors import ModelError
from tutortoietts.weights import registry
from tutortoietts.weights.convert import convert
from tutortoietts.weights.load import build, load_model, model_class, shapes

MANIFESTS = Path(__file__).resolve().parents[2].parent / "shared" / "manifests"
KINDS = {
    "autoregressive": "autoregressive",
    "bigvgan_24khz_100band": "bigvgan",
    "bigvgan_base_24khz_100band": "bigvgan",
    "bigvgan_v2_24khz_100band_256x": "bigvgan",
    "classifier": "classifier",
    "clvp2": "clvp",
    "cvvp": "cvvp",
    "diffusion_decoder": "diffusion",
    "hifidecoder": "hifigan",
    "rlg_auto": "random_latent",
    "rlg_diffuser": "random_latent",
    "vocoder": "univnet",
    "xtts_v2_dvae": "dvae",
    "xtts_v2_gpt": "xtts",
}
NO_MODEL = {"xtts_v2_mel_stats", "xtts_v2_speakers"}
IN_PARTS = {"xtts_v2_decoder"}  # two models: see `test_the_decoder_of_xtts`
PUBLIC = {
    "autoregressive": "autoregressive",
    "bigvgan": "bigvgan_v2_24khz_100band_256x",
    "bigvgan_base": "bigvgan_base_24khz_100band",
    "bigvgan_large": "bigvgan_24khz_100band",
    "classifier": "classifier",
    "clvp": "clvp2",
    "cvvp": "cvvp",
    "diffusion": "diffusion_decoder",
    "hifigan": "hifidecoder",
    "random_latent_auto": "rlg_auto",
    "random_latent_diffusion": "rlg_diffuser",
    "univnet": "vocoder",
}


class Manifest:
    """Keys, shapes and configuration of one public checkpoint."""

    def __init__(self, name: str) -> None:
        path = MANIFESTS / f"{name}.json"
        if not path.is_file():
            pytest.skip(f"the manifests of the public checkpoints are not at {MANIFESTS}")
        self.content: dict[str, Any] = json.loads(path.read_text())
        self.kind = KINDS[name]
        self.config: Config = CONFIGS[self.kind].from_dict(self.content["config"])

    def module(self) -> nn.Module:
        return model_class(self.kind)(self.config)

    def expected(self) -> dict[str, torch.Size]:
        return shapes(self.module)

    def state(self, make: Callable[[list[int], torch.dtype], Tensor]) -> dict[str, Tensor]:
        entries = self.content["tensors"].items()
        return {key: make(entry["shape"], getattr(torch, entry["dtype"])) for key, entry in entries}


def meta(shape: list[int], dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


@pytest.mark.skipif(not MANIFESTS.is_dir(), reason=f"the manifests of the public checkpoints are not at {MANIFESTS}")
def test_no_manifest_is_forgotten() -> None:
    assert {path.stem for path in MANIFESTS.glob("*.json")} - set(KINDS) == NO_MODEL | IN_PARTS


@pytest.mark.parametrize("name", KINDS)
def test_loads_strictly_on_the_meta_device(name: str) -> None:
    manifest = Manifest(name)
    expected = manifest.expected()
    state = convert(manifest.kind, manifest.state(meta), expected=expected)
    module = build(manifest.module, state, device="meta")
    assert {key: tensor.shape for key, tensor in module.state_dict().items()} == expected


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"xtts_v2_dvae"}))  # some keys of a DVAE have two spellings
def test_every_single_key_is_needed_and_no_other_taken(name: str) -> None:
    manifest = Manifest(name)
    expected, state = manifest.expected(), manifest.state(meta)
    constants = ("filter", "inv_freq", "attn.bias", "masked_bias")
    keys = [key for key in state if not key.endswith(constants)]
    for key in {keys[0], keys[len(keys) // 3], keys[len(keys) // 2], keys[-1]}:
        without = {k: v for k, v in state.items() if k != key}
        with pytest.raises(ModelError) as caught:
            convert(manifest.kind, without, expected=expected, file="x.pth")
        assert caught.value.key == key
        with pytest.raises(ModelError) as caught:
            convert(manifest.kind, {**state, key: meta([3, 5, 2], torch.float32)}, expected=expected, file="x.pth")
        assert str(caught.value.key).split(".weight")[0] == key.split(".weight")[0]
        with pytest.raises(ModelError, match="unknown key") as caught:
            convert(manifest.kind, {**state, f"{key}.more": state[key]}, expected=expected, file="x.pth")
        assert caught.value.key == f"{key}.more"


@pytest.mark.parametrize("name", PUBLIC)
def test_the_registry_knows_the_configuration(name: str) -> None:
    manifest, file = Manifest(PUBLIC[name]), registry.lookup(name)
    assert file.kind == manifest.kind
    assert file.config() == manifest.config
    assert manifest.content["file"] in {Path(local).name for local in file.local_names}
    assert file.megabytes == pytest.approx(manifest.content["parameters"] * 4 / 1e6, rel=0.05)


def random_pool() -> Callable[[list[int], torch.dtype], Tensor]:
    """Tensors of random numbers at the price of copying: all are cut from one draw, each from another place."""
    pool = torch.randn(1 << 22, generator=torch.Generator().manual_seed(3)) * 0.02
    place = 0

    def make(shape: list[int], dtype: torch.dtype) -> Tensor:
        nonlocal place
        place = (place + 7919) % 1_000_000
        count = torch.Size(shape).numel()
        laps = -(-(place + count) // len(pool))
        return pool.repeat(laps)[place : place + count].view(shape).to(dtype).clone()

    return make


@pytest.mark.parametrize(("name", "nested"), [("vocoder", "model_g"), ("rlg_auto", None), ("hifidecoder", None)])
def test_loads_real_numbers_at_full_size(name: str, nested: str | None, tmp_path: Path) -> None:
    manifest = Manifest(name)
    state = manifest.state(random_pool())
    path = tmp_path / manifest.content["file"]
    torch.save({nested: state} if nested else state, path)
    for _ in ("converted", "from the cache"):
        module = load_model(manifest.kind, path, manifest.config)
        assert sum(p.numel() for p in module.parameters()) <= manifest.content["parameters"]
        want = convert(manifest.kind, state)
        assert all(torch.equal(tensor, want[key]) for key, tensor in module.state_dict().items())


def test_loads_a_large_one_at_full_size(tmp_path: Path) -> None:
    manifest = Manifest("clvp2")
    state = manifest.state(random_pool())
    rotary = 10000.0 ** (-torch.arange(16) / 16)
    state |= {key: rotary for key in state if key.endswith("inv_freq")}
    torch.save(state, tmp_path / "clvp2.pth")
    module = load_model("clvp", tmp_path / "clvp2.pth", manifest.config, cache=False)
    key = "speech_transformer.transformer.attn_layers.layers.38.1.wrap.to_k.weight"
    assert torch.equal(module.get_parameter("speech_encoder.layers.38.qkv.weight")[768:1536], state[key])
    assert not any(parameter.is_meta for parameter in module.parameters())
