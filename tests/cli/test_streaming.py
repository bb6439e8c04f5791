"""`generate --streaming`: what is written as it comes, in which form, and what is refused."""

from __future__ import annotations

import io
import json
import os
import select
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import soundfile
import torch
from typer.testing import CliRunner, Result

from tiny_xtts import make_tiny_release
from tutortoietts.cli.main import app
from tutortoietts.cli.playback import PLAYERS
from tutortoietts.engine.families.xtts import XTTS_FAMILY
from tutortoietts.engine.speech import SpeechStream

TEXT = "The first sentence is about this long, is it not. The second one comes after it and is as long."


@pytest.fixture
def generate(tmp_path: Path, streaming_model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        own = [] if "--model" in arguments else ["--model", streaming_model, "-v", "anna"]
        words = ["generate", *own, "--seed", 5, *arguments]
        return CliRunner().invoke(app, [str(word) for word in words])

    return run


def stdout_of(result: Result) -> bytes:
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


def test_the_same_samples_in_every_form(generate) -> None:
    wav = stdout_of(generate(TEXT, "--streaming", "-o", "-"))
    short = stdout_of(generate(TEXT, "--streaming", "-o", "-", "--format", "s16le"))
    exact = stdout_of(generate(TEXT, "--streaming", "-o", "-", "--format", "f32le"))
    assert wav[:4] == b"RIFF" and wav[44:] == short
    assert soundfile.read(io.BytesIO(wav))[1] == 24000
    floats = numpy.frombuffer(exact, "<f4")
    numbers = numpy.frombuffer(short, "<i2")
    assert len(floats) == len(numbers) > 24000
    assert numpy.abs(floats * 32767 - numbers).max() <= 0.5001
    result = generate(TEXT, "--streaming", "-o", "out.wav")
    assert result.exit_code == 0 and os.listdir() == ["out.wav"]
    assert abs(soundfile.read("out.wav", dtype="int16")[0].astype(int) - numbers).max() <= 1
    assert "first sound after" in result.stderr and "decoder" in result.stderr and "diffusion" not in result.stderr


def test_the_whole_pipeline_streams_too(generate) -> None:
    result = generate(TEXT, "--streaming", "--decoder", "diffusion", "--json", "--diffusion-iterations", 3)
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert "diffusion" in values["stages"] and 0 < values["first_audio_seconds"] <= values["seconds"]
    result = generate(TEXT, "--streaming", "--json")
    assert "diffusion" not in json.loads(result.stdout)["stages"]


def test_the_sizes_of_chunks_reach_the_engine(generate) -> None:
    one = stdout_of(generate(TEXT, "--streaming", "-o", "-"))
    other = stdout_of(generate(TEXT, "--streaming", "-o", "-", "--stream-chunk-size", 3, "--stream-chunk-max", 5))
    difference = numpy.frombuffer(one[44:], "<i2").astype(int) - numpy.frombuffer(other[44:], "<i2")
    assert abs(difference).max() <= 1


def test_raw_samples_without_streaming(generate) -> None:
    wav = stdout_of(generate("Hello.", "-o", "-"))
    raw = stdout_of(generate("Hello.", "-o", "-", "--format", "s16le"))
    difference = numpy.frombuffer(raw, "<i2").astype(int) - numpy.frombuffer(wav[44:], "<i2")
    assert abs(difference).max() <= 1  # rounded by us and by libsndfile


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--decoder", "stream"], ["--decoder", "--streaming"]),
        (["--stream-chunk-size", 4], ["--stream-chunk-size", "--streaming"]),
        (["--streaming", "--decoder", "radio"], ["radio", "'stream'"]),
        (["--streaming", "--stream-chunk-size", 0], ["stream_chunk_size is 0"]),
        (["--streaming", "--decoder", "diffusion", "--stream-chunk-max", 9], ["stream_chunk_max", "remove them"]),
        (["--streaming", "--num-autoregressive-samples", 4], ["4", 'decoder="diffusion"']),
        (["--streaming", "--sampler", "ddim"], ["sampler", 'decoder="diffusion"']),
        (["--streaming", "--format", "s16le", "-o", "x.wav"], ["--format", "x.wav"]),
        (["--streaming", "--format", "mp3", "-o", "-"], ["mp3", "f32le"]),
        (["--streaming", "--candidates", 2], ["--candidates"]),
    ],
)
def test_bad_usage(generate, arguments: list[object], words: list[str]) -> None:
    result = generate("Hi.", *arguments)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error")]
    assert result.exit_code == 2 and all(word in line for word in words), line
    assert os.listdir() == [] and result.stdout_bytes == b""


@pytest.mark.skipif(os.name != "posix", reason="needs a pipe that can be closed")
def test_a_reader_that_has_heard_enough(streaming_model: Path, tmp_path: Path) -> None:
    """As `... -o - | head -c 100`: the work ends, quietly."""
    words = ["generate", TEXT * 20, "--model", str(streaming_model), "-v", "anna", "--streaming", "-o", "-"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tutortoietts", *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    with process, process.stdout, process.stderr:
        assert process.stdout.read(100)[:4] == b"RIFF"
        process.stdout.close()
        assert b"error" not in process.stderr.read()
    assert process.returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="needs a pipe with a name")
def test_a_stream_is_played_from_its_first_chunk_on(
    generate, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second chunk is made only when the player has told that it has something of the first."""
    there = tmp_path_factory.mktemp("player")
    os.mkfifo(there / "began")
    (there / "aplay").write_text(f"#!/bin/sh\nhead -c 2 > {there}/a; echo > {there}/began; cat > {there}/b\n")
    (there / "aplay").chmod(0o755)
    monkeypatch.setenv("PATH", f"{there}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("tutortoietts.cli.playback.PLAYERS", [p for p in PLAYERS if p.program == "aplay"])
    began = os.open(there / "began", os.O_RDONLY | os.O_NONBLOCK)
    chunks = SpeechStream.__next__
    taken: list[torch.Tensor] = []

    def waiting(stream: SpeechStream) -> torch.Tensor:
        if len(taken) == 1:
            assert select.select([began], [], [], 60)[0], "the player has heard nothing of the first chunk"
        taken.append(chunks(stream))
        return taken[-1]

    monkeypatch.setattr(SpeechStream, "__next__", waiting)
    result = generate(TEXT, "--streaming", "--play", "-o", "out.wav")
    os.close(began)
    assert result.exit_code == 0, result.output
    heard = numpy.frombuffer((there / "a").read_bytes() + (there / "b").read_bytes(), "<i2")
    written = soundfile.read("out.wav", dtype="int16")[0]
    assert len(heard) == len(written) > 24000 and abs(heard.astype(int) - written).max() <= 1


def test_the_terms_of_a_licence_go_into_a_pipe(tmp_path: Path, generate) -> None:
    model = make_tiny_release(tmp_path / "licensed")
    whole = stdout_of(generate("Hi you.", "-o", "-", "--model", model, "-v", "Ana Example"))
    streamed = stdout_of(generate("Hi you.", "--streaming", "-o", "-", "--model", model, "-v", "Ana Example"))
    marked_up = stdout_of(generate("<speak>Hi.</speak>", "--ssml", "-o", "-", "--model", model, "-v", "Ana Example"))
    for data in (whole, streamed, marked_up):
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            assert file.comment == XTTS_FAMILY.terms and file.samplerate == 24000
            assert len(file.read()) > 1000
    short = stdout_of(generate("Hi you.", "-o", "-", "--model", model, "-v", "Ana Example", "--format", "s16le"))
    numbers = soundfile.read(io.BytesIO(whole), dtype="int16")[0].astype(int)
    assert abs(numbers - numpy.frombuffer(short, "<i2")).max() <= 1
