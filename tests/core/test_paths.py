"""Paths as people type them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tutortoietts.core.errors import OptionError
from tutortoietts.core.paths import existing_folder, expanded


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
    for name, what in (("none", "is no folder"), ("file", "is a file"), ("a" * 5000, "is no folder")):
        with pytest.raises(OptionError, match=f"--here '.*{name[:9]}.*' {what}.*leave --here out"):
            existing_folder(tmp_path / name, "--here")
