"""benchmarks/offload.py where there is no CUDA: it says so; its measuring runs on any device."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import offload


def run(words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[list[str], dict]:
    monkeypatch.setattr("sys.argv", ["offload.py", *words.split()])
    offload.main()
    *lines, last = capsys.readouterr().out.splitlines()
    return lines, json.loads(last)


def test_without_cuda_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    lines, report = run("", monkeypatch, capsys)
    assert lines[0].startswith("There is no CUDA GPU here") and report == {"cuda": False, "rows": {}}


def test_both_rows_are_measured(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"--model {tiny_model} --device cpu --preset tiny --precision fp32 --runs 1 --candidates 1"
    lines, report = run(words, monkeypatch, capsys)
    assert len(lines) == 4 and list(report["rows"]) == ["False", "True"]
    for row in report["rows"].values():
        assert row["peak"] > 0 and row["seconds"] > 0 and {"codes", "diffusion", "vocoder"} <= set(row["stages"])
