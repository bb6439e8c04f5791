"""Stages go on where they were: steps, time, weights and whatever else moved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_streamer import train as train_stream

from tutortoietts.core.config import DvaeConfig, VocosConfig
from tutortoietts.core.errors import ModelError
from tutortoietts.train import dvae, vocoder
from tutortoietts.train.data import Clip, write_shard
from tutortoietts.train.optim import Keeper

pytestmark = pytest.mark.usefixtures("a_second_a_look")


@pytest.fixture
def speech(tmp_path: Path) -> list[Path]:
    noise = np.random.default_rng(0).normal(0, 3000, 96000).astype(np.int16)
    clip = Clip("alpha", "hi.", noise, np.array([0, 5], np.int8), np.array([1.0, 3.0], "f4"))
    write_shard(tmp_path / "alpha_000.npz", [clip, clip])
    return [tmp_path / "alpha_000.npz"]


def silent(**values: float) -> None:
    pass


def train_vocoder(speech: list[Path], out: Path, minutes: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocoder, "CONFIG", VocosConfig(n_mels=100, dim=8, intermediate_dim=8, layers=1))
    vocoder.train(speech, out, minutes, silent, adversary_after=2.0, limit=2)  # type: ignore[arg-type]


def train_dvae(speech: list[Path], out: Path, minutes: float, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DvaeConfig(
        channels=80,
        num_tokens=8,
        codebook_dim=4,
        hidden_dim=8,
        num_resnet_blocks=1,
        kernel_size=3,
        num_layers=2,
    )
    monkeypatch.setattr(dvae, "CONFIG", config)
    monkeypatch.setattr(dvae, "BATCH", 2)
    dvae.train(speech, torch.ones(80), out, minutes, silent)  # type: ignore[arg-type]


def train_front(speech: list[Path], out: Path, minutes: float, monkeypatch: pytest.MonkeyPatch) -> None:
    train_stream(out, minutes, joint_after=2.0)


Stage = Callable[[list[Path], Path, float, pytest.MonkeyPatch], None]


@pytest.mark.parametrize("stage", [train_vocoder, train_dvae, train_front])
def test_a_stage_goes_on(stage: Stage, speech: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.safetensors"
    stage(speech, out, 3 / 60, monkeypatch)
    first = load_file(out)
    assert torch.load(tmp_path / "out.ckpt", weights_only=True)["steps"] == 3
    out.unlink()
    stage(speech, out, 3 / 60, monkeypatch)  # its time is up: nothing moves, and what was lost is written again
    again = load_file(out)
    assert first.keys() == again.keys() and all(torch.equal(first[key], again[key]) for key in first)
    stage(speech, out, 5 / 60, monkeypatch)
    saved, last = torch.load(tmp_path / "out.ckpt", weights_only=True), load_file(out)
    assert (saved["steps"], saved["seconds"]) == (5, 5.0)
    assert {int(state["step"]) for state in saved["optimizer"]["state"].values()} == {5}  # Adam's own count
    assert any(not torch.equal(last[key], first[key]) for key in first)


def test_a_vocoder_starts_from_weights_without_a_checkpoint(
    speech: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.safetensors"
    train_vocoder(speech, out, 3 / 60, monkeypatch)
    trained = load_file(out)
    (tmp_path / "out.ckpt").unlink()
    train_vocoder(speech, out, 1 / 60, monkeypatch)
    moved = max(float((load_file(out)[key] - trained[key]).abs().max()) for key in trained)
    assert 0 < moved < 1e-3  # one warm-up step away


def test_new_speakers_leave_codes_their_meaning(
    speech: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.safetensors"
    train_dvae(speech, out, 3 / 60, monkeypatch)
    before = load_file(out)
    (tmp_path / "out.ckpt").unlink()  # another machine has the file alone
    dvae.adapt(speech, out, 5 / 60, silent)  # type: ignore[arg-type]
    after = load_file(out)
    assert before.keys() == after.keys()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved == {key for key in before if key.startswith("encoder.")}
    save_file({key: value for key, value in before.items() if not key.startswith("phones.")}, out)
    with pytest.raises(ModelError, match=r"out\.safetensors has no phones\.weight: train dvae writes it"):
        dvae.adapt(speech, out, 5 / 60, silent)  # type: ignore[arg-type]


def test_a_codebook_is_kept(tmp_path: Path) -> None:
    book, generator = dvae.Codebook(4, 2), torch.Generator().manual_seed(0)
    points = torch.randn(64, 2, generator=generator)
    book.start(points, generator)
    book.update(points, book.nearest(points), generator)
    keeper = Keeper(tmp_path / "book.ckpt", 1, {"book": book})
    keeper.tick()
    keeper.save()
    other = dvae.Codebook(4, 2)
    resumed = Keeper(tmp_path / "book.ckpt", 1, {"book": other})
    assert (resumed.steps, resumed.seconds) == (1, keeper.seconds) and resumed.seconds > 0
    for name in ("entries", "sums", "counts"):
        assert torch.equal(getattr(other, name), getattr(book, name))
