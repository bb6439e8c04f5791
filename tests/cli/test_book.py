"""`tutortoietts book` and `cache` from the command line, with a tiny model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import tutortoietts.cli.book_run as runs
from shell import Shell, one_line
from tutortoietts.book.speaker import Spoken
from tutortoietts.engine.check import Limits

pytest.importorskip("lxml")
pytest.importorskip("av")

TEXT = "Chapter 1\n\nThis is a line of text. It costs $5.\n\nAnother one here.\n\nChapter 2\n\nThe last one of all.\n"


class Hum:
    """A speaker that hums."""

    sample_rate = 24000
    desired_length = 80
    limits = Limits()
    language, languages, terms = "en", ("en",), ""

    def identity(self) -> dict[str, str]:
        return {"engine": "hum"}

    def voice_digest(self, voice: str) -> str:
        return voice

    def pace(self, voice: str) -> float | None:
        return 0.05

    def readings(self, text: str, voice: str, seed: int, language: str = "") -> Iterator[Spoken]:
        hum = 0.1 * torch.sin(torch.arange(round(len(text) * 0.05 * 24000)) * (0.02 + seed % 7 * 0.001))
        yield Spoken(samples=torch.nn.functional.pad(hum, (2400, 2400)), sample_rate=24000)


@pytest.fixture
def hum(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    (shell.folder / "b.txt").write_text(TEXT)
    monkeypatch.setattr(runs, "factory_of", lambda options, language: Hum)
    return shell


def test_make_status_redo_export_check_clean(hum: Shell) -> None:
    made = hum("book", "make", "b.txt", "-o", "b.m4b", "-o", "b.srt")
    assert made.exit_code == 0, made.output
    assert made.stdout == "" and "5 made" in made.stderr and "b.m4b: " in made.stderr
    assert hum.files() == ["b.m4b", "b.srt", "b.txt"]
    status = json.loads(hum("book", "status", "b.tts", "--json").stdout)
    assert (status["segments"], status["done"], status["flagged"]) == (5, 5, [])
    assert "5 of 5 segments done" in hum("book", "status", "b.txt").stdout
    before = (hum.folder / "b.m4b").read_bytes()
    redone = hum("book", "redo", "b.tts", "c01-s0002", "--say", "Something else is said.")
    assert redone.exit_code == 0 and "1 made" in redone.stderr
    assert hum("book", "export", "b.tts", "-o", "b.m4b", "--loudness", "ebu").exit_code == 0
    assert (hum.folder / "b.m4b").read_bytes() != before
    check = hum("book", "check", "b.tts")
    assert check.exit_code == 0 and "the book is whole" in check.stdout
    assert json.loads(hum("book", "check", "b.tts", "--json").stdout)["whole"] is True
    assert "freed 0.0 MB" not in hum("book", "clean", "b.tts", "--all").stdout
    assert hum("book", "check", "b.tts").exit_code == 1
    again = hum("book", "make", "b.txt", "-o", "b.m4b", "--progress", "json")
    events = [json.loads(line) for line in again.stdout.splitlines()]
    assert [event["event"] for event in events] == ["planned"] + ["kept"] * 5 and events[-1]["id"] == "c02-s0002"
    assert "5 from the phrase cache" in again.stderr


def test_plan(hum: Shell) -> None:
    values = json.loads(hum("book", "plan", "b.txt", "--json").stdout)
    assert [chapter["title"] for chapter in values["chapters"]] == ["Chapter 1", "Chapter 2"]
    assert values["chapters"][0]["samples"][1] == "This is a line of text. It costs five dollars."
    assert hum.files() == ["b.txt"] and not (hum.folder / "b.tts").exists()
    assert "It costs five dollars." in hum("book", "plan", "b.txt").stdout


def test_stdin_and_ssml(hum: Shell) -> None:
    assert hum("book", "make", "-", "-o", "x.wav", stdin="Some words to say.").exit_code == 0
    marked = "<speak>Some <break time='1s'/> words.</speak>"
    assert hum("book", "make", "-", "--work", "y.tts", "-o", "y.wav", stdin=marked).exit_code == 0
    assert {"x.wav", "y.wav"} <= set(hum.files())


def test_refusals(hum: Shell) -> None:
    one_line(hum("book", "make", "none.epub"), 1, "none.epub", "check the path")
    one_line(hum("book", "make", "b.txt", "-o", "b.xyz"), 1, "b.xyz", "m4b")
    one_line(hum("book", "make", "b.txt", "--rate", "9"), 2, "--rate", "0.5..2")
    one_line(hum("book", "make", "b.txt", "--progress", "loud"), 2, "auto, json, none")
    one_line(hum("book", "make", "b.txt", "--workers", "0"), 2, "--workers is 0")
    one_line(hum("book", "status", "none.tts"), 1, "no folder of a book")
    one_line(hum("book", "export", "b.tts"), 2, "-o")
    assert hum("book", "make", "b.txt", "-o", "b.wav").exit_code == 0
    one_line(hum("book", "redo", "b.tts", "c99-s0001"), 1, "means no segment")
    one_line(hum("book", "redo", "b.tts", "c01", "--say", "x"), 2, "one segment")


def test_strict(hum: Shell) -> None:
    (hum.folder / "b.txt").write_text(TEXT + "\n&&&\n\n…\n")
    assert hum("book", "make", "b.txt", "-o", "b.wav").exit_code == 0
    (hum.folder / "b.html").write_text("<p>Some words.</p><p hidden>Secret ones.</p>")
    result = hum("book", "make", "b.html", "-o", "h.wav", "--strict")
    assert result.exit_code == 1 and "1 pieces of text were left out" in result.stderr


def test_cache(hum: Shell) -> None:
    assert hum("book", "make", "b.txt", "-o", "b.wav").exit_code == 0
    assert json.loads(hum("cache", "status", "--json").stdout)["phrases"] == 5
    assert "5 phrases are good" in hum("cache", "verify").stdout
    assert "removed" in hum("cache", "prune", "--to", "1k").stdout
    one_line(hum("cache", "prune", "--to", "much"), 2, "500M")
    assert hum("cache", "clear").exit_code == 0
    assert json.loads(hum("cache", "status", "--json").stdout)["phrases"] == 0


def test_a_tiny_model_makes_a_book(shell: Shell, tmp_path: Path) -> None:
    """The real engine end to end: its speech is noise, so it is flagged, kept, and the same when made again."""
    (tmp_path / "b.txt").write_text("Hello there.\n\nGoodbye now.\n")
    words = ["book", "make", "b.txt", "--model", str(shell.model), "--no-cache", "--retries", "0", "-o"]
    assert shell(*words, "a.wav", "--work", "a.tts").exit_code == 0
    assert shell(*words, "b.wav", "--work", "b.tts").exit_code == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    settings = json.loads((tmp_path / "a.tts" / "book.json").read_text())
    assert set(settings["identity"]) == {"model", "weights", "options", "precision", "language", "sample_rate"}
    assert settings["options"]["engine"]["load"] == {"model": str(shell.model)}


@pytest.mark.parametrize("more", [[], ["--streaming"]])
def test_times_of_what_is_generated(shell: Shell, tmp_path: Path, more: list[str]) -> None:
    text = "Hello there, it costs $5 today."
    for name in ("x.json", "x.srt", "x.vtt", "x.lrc"):
        result = shell("generate", text, "-o", "x.wav", "--seed", "1", "--times", name, *more)
        assert result.exit_code == 0, result.output
    values = json.loads((tmp_path / "x.json").read_text())
    assert [word["text"] for word in values["words"]] == text.split() and values["text"] == text
    edges = [edge for word in values["words"] for edge in (word["start"], word["end"])]
    assert edges == sorted(edges) and edges[-1] <= values["duration"]
    assert "it costs $5 today." in (tmp_path / "x.srt").read_text()


def test_wrong_times(shell: Shell) -> None:
    one_line(shell("generate", "Hi.", "--times", "x.txt"), 1, "x.txt", ".srt")
    one_line(shell("generate", "Hi.", "--times", "no/x.srt"), 1, "there is no folder")
    one_line(shell("generate", "Hi.", "--times", "x.srt", "--candidates", "2"), 2, "--times", "one result")
