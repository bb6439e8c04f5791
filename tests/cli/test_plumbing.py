"""The parts under the commands: text, clips, outputs, error lines, shared options."""

from __future__ import annotations

import errno
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from tutortoietts.audio.io import wav_header
from tutortoietts.cli.common import explain, guarded, new_app
from tutortoietts.cli.inputs import read_text, read_text_file
from tutortoietts.cli.options import flatten
from tutortoietts.cli.output import atomic_file, plan_outputs
from tutortoietts.cli.playback import PLAYERS, Player, find_player, play, played
from tutortoietts.core.errors import (
    AudioError,
    Cancelled,
    FetchError,
    ModelError,
    OptionError,
    OutputError,
    TextError,
    VoiceError,
)


def feed_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False))


def test_text_from_argument_and_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_text("Hello.") == "Hello."
    feed_stdin(monkeypatch, "\ufeffZwölf Boxkämpfer\n".encode())
    assert read_text("-") == "Zwölf Boxkämpfer\n"
    feed_stdin(monkeypatch, b"Hi")
    assert read_text(None) == "Hi"


def test_no_text_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    with pytest.raises(OptionError, match="no text"):
        read_text(None)


@pytest.mark.parametrize(("data", "message"), [(b"ab\x81", "byte 0x81 at offset 2"), (b" \n", "empty")])
def test_bad_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes, message: str) -> None:
    feed_stdin(monkeypatch, data)
    with pytest.raises(TextError, match=message):
        read_text(None)


@pytest.mark.parametrize(
    "data",
    [
        "It\u2019s \u201cso\u201d.".encode("cp1252"),
        *(
            "It\u2019s \u201cso\u201d.".encode(name)
            for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig")
        ),
    ],
)
def test_other_encodings(monkeypatch: pytest.MonkeyPatch, data: bytes, tmp_path: Path) -> None:
    feed_stdin(monkeypatch, data)
    assert read_text("-") == "It\u2019s \u201cso\u201d."
    (tmp_path / "text.txt").write_bytes(data)
    assert read_text_file(tmp_path / "text.txt") == "It\u2019s \u201cso\u201d."


def test_a_file_named_as_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "book.txt").write_text("Once upon a time.")
    assert read_text(str(tmp_path / "book.txt")).endswith("book.txt")
    assert "its name is spoken" in caplog.text and "< " in caplog.text
    with pytest.raises(TextError, match="cannot be read"):
        read_text_file(tmp_path / "none.txt")


def test_outputs_are_planned(tmp_path: Path) -> None:
    assert plan_outputs(tmp_path / "x.wav", 1) == [tmp_path / "x.wav"]
    assert plan_outputs(tmp_path / "x.MP3", 2) == [tmp_path / "x_1.MP3", tmp_path / "x_2.MP3"]
    assert plan_outputs(Path("-"), 1) == [Path("-")]
    with pytest.raises(OptionError, match="stdout"):
        plan_outputs(Path("-"), 2)
    with pytest.raises(OptionError, match=r"\.wav, \.flac"):
        plan_outputs(tmp_path / "x.txt", 1)


def test_unwritable_outputs(tmp_path: Path) -> None:
    (tmp_path / "d.wav").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        plan_outputs(tmp_path / "d.wav", 1)
    with pytest.raises(OutputError, match="no folder"):
        plan_outputs(tmp_path / "none" / "x.wav", 2)
    assert [p.name for p in tmp_path.iterdir()] == ["d.wav"]


def test_a_file_is_whole_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "x.wav"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_file(target) as part:
        part.write_bytes(b"ne")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    with atomic_file(target) as part:
        assert part.suffix == ".wav" and part != target
        part.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_device_is_written_not_replaced(tmp_path: Path) -> None:
    link = tmp_path / "full.wav"
    link.symlink_to("/dev/full")
    assert plan_outputs(link, 1) == [link]
    with pytest.raises(OSError) as caught, atomic_file(link) as path, path.open("wb", buffering=0) as file:
        file.write(b"x")
    assert caught.value.errno == errno.ENOSPC
    assert link.is_symlink() and Path("/dev/full").is_char_device()


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OptionError("top_p 2 outside 0..1"), 2, "top_p 2"),
        (TextError("nothing to say"), 2, "nothing"),
        (VoiceError("no voice 'x'"), 2, "no voice"),
        (AudioError("clip is silent"), 1, "silent"),
        (ModelError("unknown key"), 1, "unknown key"),
        (FetchError("no network"), 1, "no network"),
        (OutputError("folder missing"), 1, "missing"),
        (OSError(errno.ENOSPC, "No space left on device", "x.wav"), 1, "disk full while writing x.wav"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 1, "Permission denied: x"),
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("a bug"), 1, "unexpected RuntimeError: a bug"),
    ],
)
def test_errors_are_explained(error: Exception, code: int, words: str) -> None:
    line, given = explain(error)
    assert given == code and words in line


def failing(error: BaseException) -> typer.Typer:
    app = new_app("Fails.")

    @app.command()
    @guarded
    def fail(debug: bool = False) -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "code"),
    [(ValueError("one\ntwo"), 1), (OptionError("x"), 2), (KeyboardInterrupt(), 130), (Cancelled(), 130)],
)
def test_one_line_and_an_exit_code(error: BaseException, code: int) -> None:
    result = CliRunner().invoke(failing(error), [])
    assert result.exit_code == code
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" in CliRunner().invoke(failing(OptionError("x")), ["--debug"]).stderr
    monkeypatch.setenv("TUTORTOIETTS_DEBUG", "1")
    assert "Traceback" in CliRunner().invoke(failing(OptionError("x")), []).stderr


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    width: Annotated[int, typer.Option("--width", "-w", help="Across.")] = 2
    name: str | None = None


def test_flatten_gives_a_dataclass_its_options() -> None:
    seen: list[object] = []
    app = new_app("Shapes.")

    @app.command()
    @flatten
    def draw(word: str, shape: Shape = Shape()) -> None:
        seen.append((word, shape))

    assert CliRunner().invoke(app, ["hi", "-w", "5", "--name", "box"]).exit_code == 0
    assert CliRunner().invoke(app, ["hi"]).exit_code == 0
    assert seen == [("hi", Shape(width=5, name="box")), ("hi", Shape())]
    assert CliRunner().invoke(app, ["hi", "--width", "wide"]).exit_code == 2


def fake_player(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    (folder / "aplay").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "aplay").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin")
    monkeypatch.setattr("tutortoietts.cli.playback.PLAYERS", tuple(p for p in PLAYERS if p.program == "aplay"))


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
def test_playing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OptionError, match=r"no player: install one of ffplay, .* or remove --play"):
        find_player()
    fake_player(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/played')
    play(find_player(), Path("x.wav"))
    assert (tmp_path / "played").read_text() == "-q x.wav\n"
    fake_player(tmp_path, monkeypatch, "echo no card >&2; exit 1")
    with pytest.raises(OutputError, match="no card"):
        play(find_player(), Path("x.wav"))


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
def test_players_of_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("afplay", "paplay"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    assert (find_player().program, find_player(streaming=True).program) == ("afplay", "paplay")
    (tmp_path / "paplay").unlink()
    with pytest.raises(OptionError, match=r"no player for a stream: .*aplay, or remove --play or --streaming"):
        find_player(streaming=True)
    fake_player(tmp_path, monkeypatch, f"cat > {tmp_path}/heard; echo the card is gone >&2; exit 3")
    with (
        pytest.raises(OutputError, match=r"aplay could not play x\.wav: the card is gone; the file is complete"),
        played(find_player(streaming=True), Path("x.wav")) as hear,
    ):
        for piece in (b"ab", b"", b"cd"):
            hear(piece)
    assert (tmp_path / "heard").read_bytes() == b"abcd"


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
def test_an_error_silences_the_player(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_player(tmp_path, monkeypatch, "exec cat /dev/zero > /dev/null")  # plays for ever
    with pytest.raises(KeyboardInterrupt), played(find_player(streaming=True), Path("x.wav")):
        raise KeyboardInterrupt


def test_players_that_find_the_format_get_a_header(tmp_path: Path) -> None:
    player = Player(program="tee", pipe=(str(tmp_path / "heard"),))
    with played(player, Path("x.wav")) as hear:
        hear(b"abcd")
    assert (tmp_path / "heard").read_bytes() == wav_header(24000) + b"abcd"
