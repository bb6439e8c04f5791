"""The streaming decoder's stage: front and vocoder as the model reads them, the vocoder from when it joins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_crops import numbered

from tutortoietts.core.config import StreamVocosConfig, VocosConfig
from tutortoietts.models.stream_vocos import StreamFront
from tutortoietts.models.vocos import Vocos
from tutortoietts.train import streamer, vocoder
from tutortoietts.train.decoder import Pairs

FRONT = StreamVocosConfig(in_channels=4, cond_channels=4, dim=16, intermediate_dim=16, layers=1)
VOCODER = VocosConfig(n_mels=100, dim=8, intermediate_dim=8, layers=1)

pytestmark = pytest.mark.usefixtures("a_second_a_look")


def train(out: Path, minutes: float, **changes: Any) -> None:
    def silent(**values: float) -> None:
        pass

    pairs, speakers = Pairs([numbered(60)]), {"anna": torch.ones(3, 4)}
    streamer.train(pairs, speakers, out, minutes, silent, configs=(FRONT, VOCODER), **changes)  # type: ignore[arg-type]


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamer, "ROWS", 2)
    monkeypatch.setattr(streamer, "TRUE_ROWS", 1)


def test_training_writes_what_the_model_reads(tmp_path: Path) -> None:
    train(tmp_path / "stream.safetensors", 1 / 60, joint_after=2.0)
    front = StreamFront(FRONT)
    front.load_state_dict(load_file(tmp_path / "stream.safetensors"))
    assert front(torch.zeros(1, 9, 4), torch.zeros(1, 4)).isfinite().all()
    assert not (tmp_path / "vocoder.safetensors").exists()


@pytest.mark.usefixtures("few_rows")
def test_the_vocoder_changes_only_when_it_joins(tmp_path: Path) -> None:
    out, file = tmp_path / "stream.safetensors", tmp_path / "vocoder.safetensors"
    start = {name: value.clone() for name, value in Vocos(VOCODER).state_dict().items()}
    train(out, 4 / 60, joint_after=0.8, vocoder_start=start)  # steps at 0, 0.25, 0.5 and 0.75 of the time
    front, alone = load_file(out), load_file(file)
    assert alone.keys() == start.keys() and all(torch.equal(alone[name], start[name]) for name in start)
    train(out, 8 / 60, joint_after=0.8)  # at 0.5, 0.625, 0.75 and, jointly, 0.875
    assert torch.load(tmp_path / "stream.ckpt", weights_only=True)["steps"] == 8
    together = load_file(file)
    Vocos(VOCODER).load_state_dict(together)
    moved = [name for name in start if not torch.equal(together[name], start[name])]
    assert "embed.weight" in moved and len(moved) > len(start) // 2
    assert any(not torch.equal(value, front[name]) for name, value in load_file(out).items())


@pytest.mark.usefixtures("few_rows")
def test_the_adversary_goes_on_from_the_vocoders(tmp_path: Path) -> None:
    assert vocoder.adversary_of(tmp_path / "stream.ckpt") is None
    known = {name: value.clone() for name, value in vocoder.Adversary().state_dict().items()}
    train(tmp_path / "stream.safetensors", 1 / 60, joint_after=0.0, adversary=known)
    learned = vocoder.adversary_of(tmp_path / "stream.ckpt")
    assert learned is not None
    moved = max(float((learned[name] - known[name]).abs().max()) for name in known)
    assert 0 < moved < 1e-3  # one step away
