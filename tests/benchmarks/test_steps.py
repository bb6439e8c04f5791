"""benchmarks/steps.py on a tiny model, and the chart it draws."""

from __future__ import annotations

import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import chart
import steps
from tutortoietts import TextToSpeech


def pixels(path: Path) -> np.ndarray:
    """(H, W, 3) of a PNG that picture.write_png wrote."""
    data, places = path.read_bytes(), {}
    at = 8
    while at < len(data):
        size = struct.unpack(">I", data[at : at + 4])[0]
        places[data[at + 4 : at + 8]] = data[at + 8 : at + 8 + size]
        at += 12 + size
    width, height = struct.unpack(">II", places[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(places[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    return rows[:, 1:].reshape(height, width, 3)


def test_the_table_the_picture_and_the_last_line(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sentences = tmp_path / "sentences.txt"
    sentences.write_text("one two\nthree four\n")
    given = f"--model {tiny_model} --voice anna --sentences {sentences} --steps 2,6 --starts 3 --reference 40"
    words = [*given.split(), "--solvers", "ddim,unipc", "--picture", str(tmp_path / "steps.png")]
    monkeypatch.setattr("sys.argv", ["steps.py", *words])
    steps.main()
    *lines, last = capsys.readouterr().out.splitlines()
    report = json.loads(last)
    assert report["sentences"] == 2 and report["reference"] == 40 and report["guidance"] == 2.0
    rows = report["rows"]
    assert list(rows) == ["other noise", "first mel", "ddim", "unipc", "regressed 3"]
    assert rows["unipc"]["nats"]["6"] < rows["unipc"]["nats"]["2"] and rows["ddim"]["relative"]["6"] > 0
    assert list(rows["regressed 3"]["nats"]) == ["2"]  # of 4 trained steps nobody can take 6
    assert lines[0] == "| steps | 2 | 6 |" and lines[-1].endswith("|  |")
    assert pixels(tmp_path / "steps.png").shape == (540, 960, 3)


def test_a_preset_without_steps_is_measured_too() -> None:
    options = steps.base_options(TextToSpeech(model="bundled"), None)
    assert options.diffusion_iterations == 1 and options.diffusion_start == "noise"


def test_a_chart_puts_higher_values_higher(tmp_path: Path) -> None:
    chart.curves(tmp_path / "a.png", "t", [1, 2, 3], {"up": [0.1, 1.0, float("nan")], "down": [1.0, 0.1, 0.01]})
    drawn = pixels(tmp_path / "a.png")
    plot = drawn[chart._TOP : -chart._BOTTOM, chart._LEFT : -chart._RIGHT]
    rows, columns = (plot == chart._COLOURS[0]).all(-1).nonzero()
    assert rows[columns.argmin()] > rows[columns.argmax()]
    assert columns.max() < plot.shape[1] // 2 + 10  # the third value is not there
    rows, columns = (plot == chart._COLOURS[1]).all(-1).nonzero()
    assert rows[columns.argmin()] < rows[columns.argmax()]
    with pytest.raises(ValueError, match="nothing to draw"):
        chart.curves(tmp_path / "b.png", "t", [1], {"none": [float("nan")]})
