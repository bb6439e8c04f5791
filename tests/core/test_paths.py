"""Paths as people type them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tutortoietts.core.errors import OptionError
from tutortoietts.core.paths import ENVIRONMENT, existing_folder, expanded

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "tutortoietts"


def test_home_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/x") == tmp_path / "x" and expanded("x/~y") == Path("x/~y") and expanded("") == Path()
    with pytest.raises(OptionError, match=r"'~nobody-here/x': the home folder '~nobody-here' is not known"):
        expanded("~nobody-here/x")
    monkeypatch.chdir(tmp_path)
    Path("~odd").mkdir()
    assert expanded("~odd") == Path("~odd")  # a real folder of that name is what is meant


def test_folders_must_be_there(tmp_path: Path) -> None:
    assert existing_folder(tmp_path, "--here") == tmp_path
    (tmp_path / "file").touch()
    for name, what in (("none", "does not exist"), ("file", "is a file"), ("a" * 5000, "does not exist")):
        with pytest.raises(OptionError, match=f"--here '.*{name[:9]}.*' {what}.*remove --here"):
            existing_folder(tmp_path / name, "--here")


def test_every_environment_variable_is_documented() -> None:
    """Every name of our kind that the source holds as a string, whether it is read there or passed on."""
    named = re.compile(r"(TUTORTOIETTS|TORTOISE|XDG|HF)_[A-Z_]+")
    found = {
        node.value
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and named.fullmatch(node.value)
    }
    found = {name for name in found if not name.endswith("_")}  # a prefix: the help of `serve` lists its variables
    assert found == set(ENVIRONMENT)
