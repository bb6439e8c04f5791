"""The commands as a person types them, with a tiny model: results, exit codes, one clear line for bad input."""

from __future__ import annotations

import io
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import soundfile
import torch
import typer

from shell import Shell, one_line, write_clip
from tutortoietts.api import TextToSpeech
from tutortoietts.cli.doctor import NEEDED
from tutortoietts.cli.speak import _say_report
from tutortoietts.engine.pipeline import Pipeline, SpokenPassage
from tutortoietts.engine.speech import SpeechStream

# generate


def test_generate_writes_a_wav_and_reports(shell: Shell) -> None:
    result = shell("generate", "Hello there.", "-v", "anna", "--seed", 3)
    assert result.exit_code == 0, result.output
    samples, rate = soundfile.read("output.wav")
    assert rate == 24000 and samples.ndim == 1 and len(samples) > 2000
    assert result.stdout == ""
    for word in ("output.wav:", "total", "real-time factor", "seed 3"):
        assert word in result.stderr
    assert shell.files() == ["output.wav"]


def test_stages_that_took_no_time_are_not_reported(capsys: pytest.CaptureFixture[str]) -> None:
    stages = {"start": 0.2, "codes": 1.5, "latents": 0.004, "vocoder": 0.1, "other": 0.3}
    values = {"files": ["a.wav"], "audio_seconds": 2.0, "preset": "p", "seed": 1, "stages": stages, "seconds": 2.1}
    _say_report({**values, "first_audio_seconds": None, "real_time_factor": 1.0})
    shown = [line.split()[0] for line in capsys.readouterr().err.splitlines()]
    assert shown == ["a.wav:", "start", "codes", "vocoder", "total"]


def test_a_seed_and_json(shell: Shell) -> None:
    first = shell("generate", "Hello.", "-o", "a.flac", "--seed", 5, "--json", "-q")
    assert first.exit_code == 0, first.output
    values = json.loads(first.stdout)
    assert values["files"] == ["a.flac"] and values["seed"] == 5 and values["preset"] == "tiny"
    assert values["audio_seconds"] > 0 and {"start", "load", "codes", "vocoder"} <= values["stages"].keys()
    assert "total" not in first.stderr
    assert shell("generate", "-", "-o", "b.flac", "--seed", 5, stdin="Hello.").exit_code == 0
    assert shell("generate", "Hello.", "-o", "c.flac", "--seed", 6).exit_code == 0
    a, b, c = (Path(f"{name}.flac").read_bytes() for name in "abc")
    assert a == b != c


def test_several_candidates(shell: Shell) -> None:
    assert shell("generate", "Hello.", "-o", "x.ogg", "--candidates", 2).exit_code == 0
    assert shell.files() == ["x_1.ogg", "x_2.ogg"]


def test_stdout(shell: Shell) -> None:
    result = shell("generate", "Hello.", "-o", "-", "--seed", 5)
    assert result.exit_code == 0, result.output
    piped, rate = soundfile.read(io.BytesIO(result.stdout_bytes))
    shell("generate", "Hello.", "--seed", 5)
    assert rate == 24000 and numpy.array_equal(piped, soundfile.read("output.wav")[0])


def test_streaming_to_a_file_and_to_stdout(shell: Shell) -> None:
    text = "The first sentence is about this long, is it not. The second one comes after it and is as long."
    result = shell("generate", text, "--streaming", "--seed", 5)
    assert result.exit_code == 0, result.output
    assert "first sound after" in result.stderr and shell.files() == ["output.wav"]
    samples, _ = soundfile.read("output.wav", dtype="int16")
    stdout = shell("generate", text, "--streaming", "--seed", 5, "-o", "-").stdout_bytes
    assert stdout[:4] == b"RIFF"
    difference = numpy.frombuffer(stdout[44:], "<i2").astype(int) - samples
    assert abs(difference).max() <= 1  # rounded by us and by libsndfile


def test_every_option_reaches_the_engine(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def spy(self: TextToSpeech, text: str, k: int, **options: Any) -> torch.Tensor:
        seen.update(options, text=text, k=k)
        raise KeyboardInterrupt

    monkeypatch.setattr(TextToSpeech, "speak_candidates", spy)
    words = "--top-k 7 --cond-free --cond-free-k 1.5 --sampler ddim --calm-rule anywhere -p ultra_fast -v a+b"
    assert shell("generate", "Hi.", *words.split(), "--max-mel-tokens", 9).exit_code == 130
    assert seen["top_k"] == 7 and seen["cond_free"] is True and seen["cond_free_k"] == 1.5
    assert seen["sampler"] == "ddim" and seen["calm_rule"] == "anywhere" and seen["max_mel_tokens"] == 9
    assert seen["preset"] == "ultra_fast" and seen["voice"] == "a+b" and seen["text"] == "Hi."
    assert "temperature" not in seen


def test_a_reference_clip_as_the_voice(shell: Shell) -> None:
    write_clip(shell.folder / "me.wav", rate=8000, channels=2)
    result = shell("generate", "Hello.", "-v", "me.wav")
    assert result.exit_code == 0, result.output
    assert "8000" in result.stderr


# bad input


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([""], 2, ["empty"]),
        (["  \n"], 2, ["empty"]),
        (["?!..."], 2, ["nothing to say"]),
        (["Hi.", "-p", "ultra_fats"], 2, ["ultra_fats", "did you mean 'ultra_fast'"]),
        (["Hi.", "--sampler", "dpm"], 2, ["dpm", "dpm++2m"]),
        (["Hi.", "--top-p", 2], 2, ["top_p", "1"]),
        (["Hi.", "--temperature", "nan"], 2, ["temperature"]),
        (["Hi.", "--temperature", "hot"], 2, ["--temperature", "hot"]),
        (["Hi.", "--num-autoregressive-samples", 0], 2, ["num_autoregressive_samples", "0"]),
        (["Hi.", "--max-mel-tokens", 100000], 2, ["max_mel_tokens", "60"]),
        (["Hi.", "--candidates", 0], 2, ["--candidates", "0"]),
        (["Hi.", "--seed", 1.5], 2, ["--seed", "1.5"]),
        (["Hi.", "--candidates", 3], 2, ["3", "2"]),
        (["Hi.", "--candidates", 2, "--streaming"], 2, ["--candidates"]),
        (["Hi.", "-v", "ana"], 2, ["ana", "did you mean 'anna'"]),
        (["Hi.", "-v", "none/such.wav"], 2, ["none/such.wav"]),
        (["Hi.", "--device", "abacus"], 2, ["abacus"]),
        (["Hi.", "--vocoder", "flute"], 2, ["flute", "univnet"]),
        (["Hi.", "--autoregressive-batch-size", 0], 2, ["autoregressive_batch_size"]),
        (["Hi.", "-o", "x.txt"], 2, [".txt", ".wav"]),
        (["Hi.", "-o", "none/x.wav"], 1, ["none", "create"]),
        (["Hi.", "-o", "-", "--json"], 2, ["--json"]),
        (["Hi.", "--loudness", 3], 2, ["--loudness"]),
        (["Hi.", "--cvvp-amount", 0.5], 2, ["cvvp"]),
        (["[Hi.]"], 2, []),
    ],
)
def test_bad_usage(shell: Shell, arguments: list[object], code: int, words: list[str]) -> None:
    result = shell("generate", *arguments)
    if "Usage:" in result.stderr:  # the parser's own message
        assert result.exit_code == code == 2 and all(str(word) in result.stderr for word in words)
    else:
        one_line(result, code, *words)
    assert shell.files() == []


def test_bad_output_is_known_before_any_work(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TextToSpeech, "__init__", lambda *_, **__: pytest.fail("the engine was started"))
    one_line(shell("generate", "Hi.", "-o", "none/x.wav"), 1, "none")
    one_line(shell("generate", "", "-o", "x.wav"), 2, "empty")


def test_missing_model(shell: Shell) -> None:
    one_line(Shell(shell.folder, Path("no/model"))("generate", "Hi."), 1, "no/model", "bundled")
    result = Shell(shell.folder, Path("tortoise-v2"))("generate", "Hi.", "--models-dir", shell.folder)
    one_line(result, 1, "HF_HUB_OFFLINE", str(shell.folder))


@pytest.mark.parametrize(
    "text", ["Zwölf Ⓑoxkämpfer 東京!", "an [unpaired bracket", "paired] wrongly [here", "a\0b\x07c", "x" * 350]
)
def test_odd_text_is_spoken(shell: Shell, text: str) -> None:
    result = shell("generate", stdin=text)
    assert result.exit_code == 0, result.output
    assert soundfile.info("output.wav").frames > 0


def test_a_very_long_text_is_split_and_joined(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    spoken: list[str] = []

    def speak(pipeline: Pipeline, number: int) -> list[SpokenPassage]:
        encoded = pipeline.encode(number)
        spoken.append(encoded.passage.text)
        samples, codes = 0.1 * torch.ones(1, 1, 2400), torch.ones(1, 2, dtype=torch.int64)
        return [SpokenPassage(encoded=encoded, samples=samples, codes=codes)]

    monkeypatch.setattr(Pipeline, "speak", speak)
    text = "The quick brown fox jumps over the lazy dog. " * 2223
    assert len(text) > 100_000
    result = shell("generate", "-o", "long.wav", "--json", "-q", stdin=text)
    assert result.exit_code == 0, result.output
    assert " ".join(spoken) == text.strip()
    assert json.loads(result.stdout)["passages"] == len(spoken) > 500
    assert soundfile.info("long.wav").duration >= 0.1 * len(spoken)


def test_bad_clips(shell: Shell) -> None:
    clips = {
        "missing.wav": ("no sound files",),
        "nothing.wav": ("nothing.wav",),
        "text.wav": ("text.wav", "audio"),
        "empty.wav": ("empty.wav", "empty"),
        "silent.wav": ("silent.wav", "silent"),
        "short.wav": ("short.wav", "0.20", "0.5"),
    }
    (shell.folder / "nothing.wav").touch()
    (shell.folder / "text.wav").write_text("not a sound")
    write_clip(shell.folder / "empty.wav", seconds=0)
    write_clip(shell.folder / "silent.wav", level=0)
    write_clip(shell.folder / "short.wav", seconds=0.2)
    for name, words in clips.items():
        one_line(shell("clone", "--name", "eve", "--samples", name, "--text", "Hi."), 1, *words)
    assert "output.wav" not in shell.files()
    assert json.loads(shell("voices", "list", "--model", shell.model, "--json").stdout)[0]["name"] == "anna"
    one_line(shell("voices", "show", "eve"), 2, "eve")


def interrupted(*_: object, **__: object) -> Iterator[torch.Tensor]:
    yield torch.zeros(2400)
    raise KeyboardInterrupt


def stopped_stream(*_: object, **__: object) -> SpeechStream:
    return SpeechStream(interrupted(), 24000, 0, threading.Event(), lambda: None, tuple)


@pytest.mark.parametrize("method", ["speak_candidates", "stream"])
def test_ctrl_c_leaves_nothing(shell: Shell, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    stop = stopped_stream if method == "stream" else lambda *_, **__: list(interrupted())
    monkeypatch.setattr(TextToSpeech, method, stop)
    streaming = ["--streaming"] if method == "stream" else []
    one_line(shell("generate", "Hi.", *streaming), 130, "interrupted")
    assert shell.files() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("streaming", [[], ["--streaming"]])
def test_a_full_disk(shell: Shell, streaming: list[str]) -> None:
    Path("full.wav").symlink_to("/dev/full")
    one_line(shell("generate", "Hi.", "-o", "full.wav", *streaming), 1, "full.wav", "disk")
    assert Path("full.wav").is_symlink()


def test_a_closed_pipe(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(TextToSpeech, "speak_candidates", closed)
    monkeypatch.setattr("tutortoietts.cli.common.hush", lambda _: None)
    result = shell("generate", "Hi.", "-o", "-")
    assert (result.exit_code, result.output) == (0, "")


# clone and voices


def test_a_voice_from_clips_to_removal(shell: Shell, own_folders: Path) -> None:
    write_clip(shell.folder / "one.wav")
    write_clip(shell.folder / "two.flac", seconds=1.5)
    made = shell("clone", "-n", "eve", "-s", "*.wav", "-s", "two.flac", "-t", "Hello.", "-o", "eve.wav", "--seed", 1)
    assert made.exit_code == 0, made.output
    assert Path("eve.wav").exists() and "2 clips" in made.stderr
    again = shell("clone", "-n", "eve", "-s", "one.wav", "-s", "two.flac", "--json")
    assert again.exit_code == 0 and json.loads(again.stdout)["name"] == "eve", again.output
    assert shell("generate", "Hello.", "-v", "eve", "--seed", 1).exit_code == 0
    assert Path("eve.wav").read_bytes() == Path("output.wav").read_bytes()

    one_line(shell("clone", "-n", "eve", "-s", "one.wav"), 2, "already", "eve")
    assert shell("clone", "-n", "eve", "-s", "one.wav", "--replace").exit_code == 0
    rows = json.loads(shell("voices", "list", "-m", shell.model, "--json").stdout)
    assert [(row["name"], row["owner"]) for row in rows] == [("anna", "model"), ("ben", "model"), ("eve", "you")]
    assert rows[2]["models"] == ["tiny"] and len(rows[2]["clips"]) == 1
    assert "eve" in shell("voices", "list").stdout
    shown = shell("voices", "show", "eve")
    assert shown.exit_code == 0 and "tiny" in shown.stdout and "(1.0 s)" in shown.stdout

    one_line(shell("voices", "remove", "eve"), 2, "--yes")
    assert shell("voices", "remove", "eve", "--yes").exit_code == 0
    one_line(shell("voices", "remove", "eve", "--yes"), 2, "eve")
    assert not (own_folders / "voices" / "eve").exists()


def test_a_voice_is_kept_only_when_it_has_spoken(
    shell: Shell, own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(shell.folder / "one.wav")
    write_clip(shell.folder / "two.wav", seconds=1.5)
    assert shell("clone", "-n", "eve", "-s", "one.wav", "-q").exit_code == 0
    kept = sorted(own_folders.glob("voices/eve/*"))

    with monkeypatch.context() as patch:
        patch.setattr(TextToSpeech, "speak_candidates", lambda *_, **__: list(interrupted()))
        command = ("-s", "two.wav", "-t", "Hi.", "--replace")
        one_line(shell("clone", "-n", "eve", *command), 130, "interrupted")
        one_line(shell("clone", "-n", "ben", *command), 130, "interrupted")
    assert sorted(own_folders.glob("voices/eve/*")) == kept and len(kept) == 2
    assert [path.name for path in (own_folders / "voices").iterdir()] == ["eve"]

    result = shell("clone", "-n", "eve", *command, "--json", "-q")
    assert result.exit_code == 0 and json.loads(result.stdout)["voice"] == "eve", result.output
    assert json.loads(shell("voices", "show", "eve", "--json").stdout)["seconds"] == [1.5]


def test_voices_of_another_model_are_not_listed(shell: Shell) -> None:
    names = {row["name"] for row in json.loads(shell("voices", "list", "--json").stdout)}
    assert "joe" in names
    assert json.loads(shell("voices", "list", "-m", "tortoise-v2", "--json").stdout) == []
    one_line(shell("voices", "show", "joe", "-m", "tortoise-v2"), 2, "no voice named 'joe'")


def test_clone_needs_its_options(shell: Shell) -> None:
    assert "--samples" in shell("clone", "--name", "eve").stderr
    assert shell("clone", "--name", "eve").exit_code == 2
    write_clip(shell.folder / "one.wav")
    one_line(shell("clone", "--name", "a/b", "--samples", "one.wav"), 2, "a/b")


# models, doctor, train


def test_models_offline(shell: Shell) -> None:
    rows = json.loads(shell("models", "list", "--json").stdout)
    assert {"autoregressive", "diffusion", "clvp", "tokenizer"} <= {row["name"] for row in rows}
    assert {"xtts", "xtts_voices"} <= {row["name"] for row in rows if row["licence"] == "CPML 1.0.0"}
    assert all(row["licence_address"].startswith("https://") for row in rows)
    listed = shell("models", "list").stdout
    assert "not here" in listed and "CPML 1.0.0" in listed
    one_line(shell("models", "fetch", "tokenizer"), 1, "tokenizer.json", "HF_HUB_OFFLINE")
    one_line(shell("models", "fetch", "tokeniser"), 2, "did you mean 'tokenizer'")
    one_line(shell("models", "verify", "tokenizer"), 1, "tokenizer")
    assert shell("models", "verify").exit_code == 0


def test_models_in_a_folder(shell: Shell) -> None:
    (shell.folder / "tokenizer.json").write_text("{}")
    (shell.folder / "vocoder.pth").write_bytes(b"PK\x03\x04 truncated")
    rows = json.loads(shell("models", "list", "--json", "--models-dir", shell.folder).stdout)
    assert {row["name"] for row in rows if row["path"]} == {"tokenizer", "univnet"}
    result = shell("models", "verify", "--json", "--models-dir", shell.folder)
    problems = {row["name"]: row["problem"] for row in json.loads(result.stdout)}
    assert "sha256" in problems["tokenizer"] and "vocoder.pth" in problems["univnet"]
    one_line(result, 1, "2 of 2", "tokenizer", "univnet")


def test_convert(shell: Shell, tiny_model: Path) -> None:
    sizes = json.loads((tiny_model / "model.json").read_text())["vocoder"]
    del sizes["kind"]
    Path("sizes.json").write_text(json.dumps(sizes))
    source = tiny_model / "vocoder.safetensors"
    command = ["models", "convert", source, "-o", "out.safetensors", "--kind", "vocos", "--config", "sizes.json"]
    result = shell(*command, "--half")
    assert result.exit_code == 0, result.output
    assert Path("out.safetensors").stat().st_size == source.stat().st_size
    one_line(shell(*command[:-2]), 1, "vocoder.safetensors")
    one_line(shell("models", "convert", source, "-o", "out.safetensors"), 2, "--kind", "vocos")
    one_line(shell("models", "convert", "univnet", "-o", "out.pth"), 2, ".safetensors")


def test_doctor(shell: Shell) -> None:
    result = shell("doctor", "--json")
    findings = json.loads(result.stdout)
    assert result.exit_code == 0, result.output
    assert {"version", "packages", "processor", "gpu", "sound", "cache", "model", "speedups"} <= {
        f["subject"] for f in findings
    }
    assert Shell(shell.folder, Path("no/model"))("doctor").exit_code == 1


def test_doctor_asks_for_what_an_installation_has() -> None:
    project = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^dependencies = \[\n(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert listed is not None
    assert re.findall(r'^ +"(\w+)', listed[1], re.MULTILINE) == list(NEEDED)


def test_doctor_reads_the_weights(shell: Shell, tiny_model: Path) -> None:
    broken = shell.folder / "broken"
    shutil.copytree(tiny_model, broken)
    (broken / "diffusion.safetensors").write_bytes(b"short")
    result = Shell(shell.folder, broken)("doctor", "--json")
    finding = next(one for one in json.loads(result.stdout) if one["subject"] == "model")
    assert result.exit_code == 1 and finding["level"] == "bad" and "diffusion.safetensors" in finding["detail"]


def test_train_is_handed_on(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    training, seen = typer.Typer(), []

    @training.command()
    def stage(hours: int) -> None:
        seen.append(hours)

    monkeypatch.setattr("importlib.import_module", lambda name: SimpleNamespace(app=training))
    assert shell("train", "7").exit_code == 0
    assert seen == [7]


def test_the_phrase_cache(shell: Shell) -> None:
    one_line(shell("generate", "Hi.", "--cache"), 2, "--cache", "--seed")
    given = ("generate", "The old clock is slow.", "--cache", "--seed", 1, "--json", "-q", "--model", "bundled")
    made, again = (json.loads(shell(*given, "-o", name).stdout) for name in ("a.wav", "b.wav"))
    assert "codes" in made["stages"] and "cache" in again["stages"] and "codes" not in again["stages"]
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()
    assert json.loads(shell("cache", "status", "--json").stdout)["phrases"] == 1
    assert shell("cache", "verify").exit_code == 0
    assert json.loads(shell("cache", "status", "--json", "--folder", "elsewhere").stdout)["phrases"] == 0
    assert "removed 1 phrases" in shell("cache", "clear").stdout


def test_check(shell: Shell) -> None:
    text, given = "The old clock is slow.", ("--check", "--seed", 1, "--json", "--model", "bundled")
    good = shell("generate", text, *given, "-o", "a.wav")
    assert good.exit_code == 0 and json.loads(good.stdout)["checks"] == [{"good": True, "faults": []}]
    bad = shell("generate", text, *given, "-o", "b.wav", "--max-mel-tokens", 8)
    assert bad.exit_code == 1 and Path("b.wav").exists() and "never came to an end" in bad.stderr
    assert not json.loads(bad.stdout)["checks"][0]["good"]
    one_line(shell("generate", text, "--check", "--streaming"), 2, "--check", "--streaming")


def test_ssml(shell: Shell) -> None:
    pytest.importorskip("lxml")
    given = ("--ssml", "--seed", 1, "--json", "--model", "bundled", "--times", "t.json")
    text = '<speak>The old <mark name="m"/>clock [here] is slow. <break time="1s"/> Wind it.</speak>'
    done = json.loads(shell("generate", text, *given, "-o", "a.wav", "--check").stdout)
    assert done["seed"] == 1 and done["audio_seconds"] == pytest.approx(soundfile.info("a.wav").duration, abs=0.01)
    times = json.loads(Path("t.json").read_text())
    assert times["text"] == "The old clock [here] is slow. Wind it." and times["marks"][0]["name"] == "m"
    assert [word["text"] for word in times["words"]] == times["text"].split()
    shell("generate", text, *given, "-o", "b.wav")
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()
    one_line(shell("generate", "<speak>One <p>two.</speak>", "--ssml"), 1, "line 1, column")
    one_line(shell("generate", "<speak>One.</speak>", "--ssml", "--streaming"), 2, "--streaming", "--ssml")
    one_line(shell("generate", "<speak>One.</speak>", "--ssml", "--no-normalize"), 2, "--no-normalize")
    one_line(shell("generate", "One.", "--audio-dir", "."), 2, "--audio-dir", "--ssml")
    one_line(
        shell("generate", '<speak><voice name="nobody">Hi.</voice></speak>', "--ssml", "--model", "bundled"),
        2,
        "nobody",
    )
