"""Counting of files and of moves between them, on a package of three files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from moves import Moves, count
from tutortoietts.api import TextToSpeech

FILES = {
    "top": "def run(mid, tokens):\n    own()\n    mid(tokens)\n    tokens()\n    own()\n\ndef own(): pass\n",
    "middle": "def mid(tokens):\n    sorted([2, 1], key=helper)\n    tokens()\n\ndef helper(value): return value\n",
    "tokens": "def other(): pass\n\ndef draw(): other()\n",
}


def test_moves_end_with_the_first_code(tmp_path: Path) -> None:
    spaces = {}
    for name, text in FILES.items():
        spaces[name] = {}
        exec(compile(text, str(tmp_path / f"{name}.py"), "exec"), spaces[name])
    counted = Moves(str(tmp_path))
    sys.setprofile(counted)
    try:
        spaces["top"]["run"](spaces["middle"]["mid"], spaces["tokens"]["draw"])
    finally:
        sys.setprofile(None)
    assert counted.ended and dict(counted.calls) == {"top.py": 2, "middle.py": 3, "tokens.py": 1}
    assert dict(counted.moves) == {("top.py", "middle.py"): 1, ("middle.py", "tokens.py"): 1}


def test_a_request_is_followed_to_its_first_code(tiny_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    counted = count(TextToSpeech(tiny_model, device="cpu"))
    assert counted.ended and "api/original.py" in counted.calls and counted.moves.total() > len(counted.calls) / 2
