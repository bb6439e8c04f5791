"""C that is compiled on first use, kept, and done without."""

from __future__ import annotations

import os
import shutil
import tempfile
from ctypes import c_int
from pathlib import Path

import pytest

from tutortoietts.core.paths import cache_dir
from tutortoietts.native import build

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(build.VARIABLE, raising=False)
    build._library.cache_clear()


def written(folder: Path, text: str) -> Path:
    source = folder / "sum.c"
    source.write_text(text)
    return source


def kept() -> list[Path]:
    return sorted((cache_dir() / "compiled").glob("*"))


@needs_compiler
def test_compiled_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(tmp_path, "int sum(int a, int b) { return a + b; }")
    made = build.library(source)
    assert made is not None and made.sum(c_int(3), c_int(4)) == 7
    (first,) = kept()
    build._library.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(build, "_compile", lambda *_: pytest.fail("compiled again"))
        assert build.library(source) is not None
    build._library.cache_clear()
    flagged = build.library(written(tmp_path, "int sum(int a, int b) { return a + b + MORE; }"), "-DMORE=10")
    assert flagged is not None and flagged.sum(c_int(3), c_int(4)) == 17
    assert len(kept()) == 2 and first in kept()


@needs_compiler
def test_a_cache_that_cannot_be_written_and_code_that_cannot_be_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TUTORTOIETTS_CACHE", str(tmp_path / "file"))
    made = build.library(written(tmp_path, "int sum(int a, int b) { return a + b; }"))
    assert made is not None and made.sum(c_int(3), c_int(4)) == 7
    build._library.cache_clear()
    assert build.library(written(tmp_path, "int sum(int a {")) is None
    assert "sum.c could not be compiled" in caplog.text


@needs_compiler
@pytest.mark.parametrize("open_to_all", ["folder", "file"])
def test_what_others_may_write_is_not_loaded(open_to_all: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(tmp_path, "int sum(int a, int b) { return a + b; }")
    assert build.library(source) is not None
    (first,) = kept()
    (first if open_to_all == "file" else first.parent).chmod(0o777)
    build._library.cache_clear()
    made, compile_again = [], build._compile
    monkeypatch.setattr(build, "_compile", lambda *given: made.append(given) or compile_again(*given))
    assert build.library(source) is not None and len(made) == 1


def test_without_a_compiler_and_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(tmp_path, "int sum(int a, int b) { return a + b; }")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "which", lambda _: None)
        assert build.library(source) is None
    monkeypatch.setenv(build.VARIABLE, "0")
    build._library.cache_clear()
    assert build.library(source) is None and kept() == []


@needs_compiler
@pytest.mark.parametrize("damage", ["cut", "emptied", "changed", "a folder"])
def test_a_damaged_library_is_never_loaded_and_is_replaced(tmp_path: Path, damage: str) -> None:
    source = written(tmp_path, "int sum(int a, int b) { return a + b; }")
    assert build.library(source) is not None
    (first,) = kept()
    content = first.read_bytes()
    first.unlink()
    if damage == "a folder":
        first.mkdir()
    else:
        changed = content[:-1] + bytes([content[-1] ^ 1])
        first.write_bytes({"cut": content[:900], "emptied": b"", "changed": changed}[damage])
    build._library.cache_clear()
    made = build.library(source)
    assert made is not None and made.sum(c_int(3), c_int(4)) == 7
    (again,) = kept()
    assert again.stem.endswith(build._digest(again.read_bytes()))


@pytest.mark.skipif(os.name != "posix", reason="process groups")
def test_a_compiler_that_hangs_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text(f"#!/bin/sh\nsleep 1000 & echo $! > {tmp_path}/child\nwait\n")
    compiler.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(compiler))
    monkeypatch.setattr(build, "_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(build, "_COMPILE_SECONDS", 0.5)
    assert build.library(written(tmp_path, "int x;")) is None
    assert "compiling sum.c" in caplog.text and "could not be compiled" in caplog.text
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    assert not child.exists() or child.read_text().split()[2] in "ZX"


@needs_compiler
def test_leftovers_of_killed_compilations_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    old, young = (tmp_path / "tmp" / f"{build._PREFIX}{name}" for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    assert build.library(written(tmp_path, "int sum(int a, int b) { return a + b; }")) is not None
    assert not old.exists() and young.exists()
