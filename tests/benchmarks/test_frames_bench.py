"""The benchmark of the compiled chains runs, on a toy, and says at the end in JSON what it found."""

from __future__ import annotations

import shutil

import pytest
from test_decode_bench import report


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_frames() -> None:
    _, found = report("frames.py", "--tiny", "--runs", "1", "--frames", "24", "--codes", "9")
    whats = ("diffusion, rows: 1", "diffusion, rows: 2", "ranking, rows: 8")
    assert [(row["what"], row["way"]) for row in found["rows"]] == [
        (what, way) for what in whats for way in ("torch", "float32", "int8")
    ]
    assert all(row["seconds"] > 0 and row["times_limit"] > 0 for row in found["rows"])
    most = {"torch": 0.0, "float32": 1e-5, "int8": 0.05}
    assert all(row["error"] <= most[row["way"]] for row in found["rows"])
