"""The benchmarks of decoding run, on a toy, and say at the end in JSON what they found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def report(*command: str) -> tuple[list[str], dict[str, Any]]:
    result = subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / command[0]), *command[1:]],
        capture_output=True,
        text=True,
        check=True,
        cwd=FOLDER.parent,
    )
    lines = result.stdout.splitlines()
    return lines, json.loads(lines[-1])


def test_decode() -> None:
    _, found = report("decode.py", "--tiny", "--batches", "1,2", "--precisions", "fp32,int8", "--codes", "6")
    assert [(row["precision"], row["batch"]) for row in found["rows"]] == [
        ("fp32", 1),
        ("int8", 1),
        ("fp32", 2),
        ("int8", 2),
    ]
    exact, small, more, _ = found["rows"]
    assert small["limit_ms"] < 0.5 * exact["limit_ms"] < 0.5 * more["limit_ms"]
    assert all(row["step_ms"] > row["limit_ms"] * 0.1 and row["request_seconds"] > 0 for row in found["rows"])


def test_decode_by_torch_too() -> None:
    command = ("decode.py", "--tiny", "--batches", "2", "--precisions", "int8", "--codes", "4", "--compare")
    _, found = report(*command)
    assert [row["kernels"] for row in found["rows"]] == ["ours", "torch"]
    assert all(row["step_ms"] > 0 for row in found["rows"])


def test_precision(tiny_model: Path) -> None:
    command = ("precision.py", "--tiny", "--no-speech", "--codes", "8", "--model", str(tiny_model))
    _, found = report(*command, "--precisions", "fp32,int8,int4")
    for rows in (found["logits"][:3], found["logits"][3:]):
        exact, eight, four = (row["relative_error"] for row in rows)
        assert exact < 1e-5 < eight < four < 0.5


@pytest.mark.skipif(torch.cuda.is_available(), reason="there it would measure")
def test_deepspeed_says_what_is_lacking() -> None:
    lines, found = report("deepspeed.py")
    assert len(lines) == 2 and lines[0].startswith("DeepSpeed cannot be measured here: ")
    assert found["available"] is False and found["reason"] in lines[0]
