"""`tutortoietts book` and `cache` from the command line, with a tiny model; and once with the bundled one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shell import Shell

pytest.importorskip("lxml")
pytest.importorskip("av")

TEXT = "Chapter 1\n\nThis is a line of text. It costs $5.\n\nAnother one here.\n\nChapter 2\n\nThe last one of all.\n"


@pytest.fixture
def book(shell: Shell, tmp_path: Path) -> list[str]:
    (tmp_path / "b.txt").write_text(TEXT)
    return ["b.txt", "--model", str(shell.model), "--no-cache", "--retries", "0"]


def test_help(shell: Shell) -> None:
    for words in (["book", "--help"], ["book", "make", "--help"], ["cache", "--help"]):
        assert "Usage:" in shell(*words).stdout
