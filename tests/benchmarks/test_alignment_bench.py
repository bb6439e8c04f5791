"""The calibration of word times finds the heads that follow the text and the bias, and writes them down."""

from __future__ import annotations

import json
import shutil
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import alignment
from tutortoietts.core.config import AlignmentSpec
from tutortoietts.engine.align import CODE_SECONDS
from tutortoietts.text.words import WordTokens

LATE = 0.04  # seconds by which the made-up model looks late


def made_up(number: int, words: int = 12) -> tuple[alignment.Spoken, Tensor]:
    """A sentence of words of three tokens, and the attention of four heads, of which 2 follows the text."""
    chance = np.random.default_rng(number)
    lengths = chance.integers(2, 6, 3 * words)
    edges = np.concatenate(([0], np.cumsum(lengths)))
    true = torch.eye(3 * words).repeat_interleave(torch.from_numpy(lengths), dim=0)
    spread = torch.rand(4, *true.shape, generator=torch.Generator().manual_seed(number))
    spread[2] += 50 * true
    tokens = [WordTokens("word", (0, 4), (3 * i, 3 * i + 3)) for i in range(words)]
    heard = [(edges[first] * CODE_SECONDS - LATE, edges[last] * CODE_SECONDS) for _, _, (first, last) in tokens]
    none = torch.zeros(1, 1)
    return alignment.Spoken(speaker=none, text=none, codes=none, words=tokens, heard=heard), spread


def test_calibration(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoken, spreads = zip(*map(made_up, range(4)), strict=True)
    left = iter(spreads)
    monkeypatch.setattr(alignment, "gazes", lambda *_: next(left))
    spec = alignment.calibrate(alignment.Reader(str(tiny_model)), spoken)
    assert spec.heads[0] == (1, 0), "the third of heads in two layers of two"
    assert spec.bias_seconds == pytest.approx(LATE, abs=0.005)


def test_speaks_calibrates_stores_and_measures(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    before = json.loads((folder / "model.json").read_text())

    def heard(samples: Tensor, sentence: str, rate: int) -> list[tuple[float, float]]:
        """Words as long as each other; nothing of the second sentence."""
        if sentence.startswith(("Please", "She")):
            return []
        edges = np.linspace(0, len(samples) / rate, len(sentence.split()) + 1).tolist()
        return list(pairwise(edges))

    monkeypatch.setattr(alignment, "forced", heard)
    alignment.main(["--store", str(folder), "--limit", "4"])
    after = json.loads((folder / "model.json").read_text())
    spec = AlignmentSpec.from_dict(after.pop("alignment"))
    assert len(spec.heads) >= 1 and after == {key: value for key, value in before.items() if key != "alignment"}
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["alignment"] == spec.to_dict() and set(report["voices"]) == {"anna", "ben"}
    for figures in report["voices"].values():
        assert 1 <= figures["sentences"] < 4
        assert 0 < figures["start_median_ms"] <= figures["start_p90_ms"] <= figures["start_worst_ms"]
    assert not list(folder.glob("*.part"))
