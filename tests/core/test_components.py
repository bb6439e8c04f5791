"""Models declared once: every dotted name leads somewhere, and one entry is all that a new vocoder takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tutortoietts.bench.limits_vocoder import vocoder_macs
from tutortoietts.core.components import COMPONENTS, Component, component, kind_of, kinds_of, public_vocoders, resolve
from tutortoietts.core.config import CONFIGS, ModelSpec
from tutortoietts.core.config_base import Config, check
from tutortoietts.core.errors import ModelError
from tutortoietts.weights.convert import Rule, Table
from tutortoietts.weights.load import load_model, save_state
from tutortoietts.weights.registry import REGISTRY


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatConfig(Config):
    hop: int = 4

    def __post_init__(self) -> None:
        check(self)


class Repeat(nn.Module):
    """A vocoder that holds each frame's mean for `hop` samples."""

    def __init__(self, cfg: RepeatConfig) -> None:
        super().__init__()
        self.hop = cfg.hop
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, mel: Tensor) -> Tensor:
        return (self.scale * mel.mean(1, keepdim=True)).repeat_interleave(self.hop, -1)


REPEAT_KEYS = Table(rules=(Rule("gain", "scale"),))


def repeat_macs(cfg: RepeatConfig, frames: int) -> int:
    return frames * cfg.hop


@pytest.mark.parametrize("kind", COMPONENTS)
def test_what_an_entry_names_exists(kind: str) -> None:
    one = component(kind)
    assert one.kind == kind and kind_of(one.config()) == kind
    assert CONFIGS[kind] is one.config
    assert issubclass(resolve(one.cls), nn.Module)
    assert one.key_table is None or isinstance(resolve(one.key_table), Table)
    assert one.macs is None or vocoder_macs(one.config(), 5) > 0
    assert all(REGISTRY[name].kind == kind for name in one.public)


def test_public_models_can_be_converted() -> None:
    assert all(component(file.kind).key_table for file in REGISTRY.values() if file.kind in COMPONENTS)


def test_kinds_by_role() -> None:
    assert kinds_of("vocoder") == ("bigvgan", "univnet", "vocos")
    assert kinds_of("stream_decoder") == ("hifigan", "stream_vocos")
    assert public_vocoders() == ("bigvgan_base", "bigvgan", "univnet")
    with pytest.raises(ModelError, match="no model of kind 'flute'; there are autoregressive"):
        component("flute")


def test_a_vocoder_is_one_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is read from model.json, loaded from a model directory and from a public checkpoint, and measured."""
    entry = Component(
        kind="repeat",
        role="vocoder",
        config=RepeatConfig,
        cls=f"{__name__}:Repeat",
        key_table=f"{__name__}:REPEAT_KEYS",
        macs=f"{__name__}:repeat_macs",
    )
    monkeypatch.setitem(COMPONENTS, "repeat", entry)  # type: ignore[arg-type]
    spec = ModelSpec.from_dict(
        {"name": "small", "autoregressive": {}, "diffusion": {}, "vocoder": {"kind": "repeat", "hop": 3}}
    )
    assert spec.vocoder == RepeatConfig(hop=3) and spec.to_dict()["vocoder"] == {"kind": "repeat", "hop": 3}
    save_state(tmp_path / "vocoder.safetensors", {"scale": torch.full((1,), 2.0)})
    torch.save({"gain": torch.full((1,), 2.0)}, tmp_path / "public.pth")
    mel = torch.ones(1, 100, 2)
    for path in (tmp_path, tmp_path / "public.pth"):
        wave = load_model("repeat", path, spec.vocoder, cache=False)(mel)
        assert wave.shape == (1, 1, 6) and wave.eq(2.0).all()
    assert vocoder_macs(spec.vocoder, 5) == 15
