"""`tutortoietts bench` with a tiny model: the shape of its JSON, its tables, its traces, one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tutortoietts.bench.workload import Workload
from tutortoietts.cli.bench_table import print_tables, table
from tutortoietts.cli.main import app

STAGES = ["condition", "tokenize", "codes", "ranking", "latents", "diffusion", "vocoder"]


@pytest.fixture(autouse=True)
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutortoietts.bench.machine._CPU_BYTES", 1 << 16)
    monkeypatch.setattr("tutortoietts.bench.machine._CPU_WIDTH", 256)  # a rate that no tiny model beats


def bench(model: object, *arguments: object) -> Result:
    words = ["bench", "--model", str(model), "--text", "Hello there.", "--runs", "2", "--warmup", "0"]
    return CliRunner().invoke(app, [*words, *map(str, arguments)])


def test_json(tiny_model: Path) -> None:
    result = bench(tiny_model, "--codes", 6, "--candidates", 3, "--threads", 1, "--json")
    assert result.exit_code == 0, result.output
    values: dict[str, Any] = json.loads(result.stdout)
    assert "run 2 of 2" in result.stderr
    settings = values["settings"]
    assert settings["precision"] == "fp32" and settings["model"] == "tiny"
    assert (settings["codes"], settings["codes_forced"], settings["candidates"], settings["frames"]) == (6, True, 3, 26)
    assert values["audio_seconds"] == pytest.approx(26 * 256 / 24000)
    assert values["machine"]["threads"] == 1 and values["machine"]["bandwidth"] > 0
    assert [stage["name"] for stage in values["stages"]] == STAGES
    for stage in [*values["stages"], values["total"]]:
        figures = stage["seconds"]
        assert 0 <= figures["least"] <= figures["median"] <= figures["most"]
        limited = stage["name"] not in ("tokenize", "latents")
        assert (stage["limit_seconds"] is not None) is limited
        if limited:
            assert stage["ratio"] == pytest.approx(figures["median"] / stage["limit_seconds"])
    aside = sum(stage["limit_seconds"] for stage in values["stages"][2:] if stage["limit_seconds"])
    assert values["total"]["limit_seconds"] == pytest.approx(aside)
    assert 0 < values["first_audio_seconds"]["median"] and values["stream_real_time_factor"] > 0
    assert values["peak_memory_bytes"] > 1 << 20 and values["peak_memory_kind"].startswith("resident")
    assert {"date", "version", "torch", "python"} <= values.keys()


def test_tables(tiny_model: Path) -> None:
    result = bench(tiny_model, "--no-stream", "--candidates", 1)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    shown = [line.split()[0] for line in lines if line]
    for name in ("condition", "codes", "diffusion", "vocoder", "total", "peak"):
        assert name in shown
    assert "streamed:" not in result.stdout and "about" in result.stdout and "run 1" not in result.stdout


def test_rows_of_no_time_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    long, none = ({"median": value, "least": value, "most": value} for value in (0.25, 0.00002))
    limits = {"real_time_factor": 0.1, "limit_seconds": None, "ratio": None}
    settings = {"model": "m", "preset": "p", "device": "cpu", "candidates": 1, "codes": 5, "codes_forced": True}
    settings |= {"forwards": 2, "sampler": "ddim", "guided": 0, "runs": 1}
    values = {
        "date": "today",
        "torch": "2",
        "machine": {"device": "cpu", "threads": 1, "bandwidth": 1e9, "rates": {}},
        "settings": settings,
        "stages": [{"name": "codes", "seconds": long, **limits}, {"name": "latents", "seconds": none, **limits}],
        "total": {"name": "total", "seconds": long, **limits},
        "audio_seconds": 1.0,
        "first_audio_seconds": None,
        "peak_memory_bytes": 1 << 30,
        "peak_memory_kind": "resident",
    }
    print_tables(values)
    sides = {"settings": {}, "slow": {"codes": long, "latents": none}, "fast": {"codes": long, "latents": none}}
    print_tables({**values, "compare": {**sides, "ratios": {"codes": 1.0, "latents": 1.0}}})
    shown = capsys.readouterr().out
    assert "latents" not in shown and shown.count("codes  ") == 2


def test_columns_line_up() -> None:
    assert table([["a", "long"], ["name", "1"]]) == "a     long\nname     1"


def test_profile(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    result = bench(tiny_model, "--codes", 4, "--no-stream", "--profile", path, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    operations = json.loads(result.stdout)["profile"]["operations"]
    shares = [one["share"] for one in operations]
    assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1.0001
    assert any(one["name"].startswith("aten::") and one["calls"] > 0 for one in operations)


def test_compare(tiny_model: Path) -> None:
    result = bench(tiny_model, "--codes", 4, "--compare", "--sampler", "dpm++2m", "--json")
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)["compare"]
    assert values["settings"]["kv_cache"] == [False, True] and values["settings"]["sampler"] == ["ancestral", "dpm++2m"]
    assert values["settings"]["diffusion_iterations"] == [30, 2]
    ratio = values["slow"]["total"]["median"] / values["fast"]["total"]["median"]
    assert values["ratios"]["total"] == pytest.approx(ratio)
    assert result.stderr.index("run 1 of 2, slow") < result.stderr.index("run 1 of 2, fast")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--model", "no-such-model"], 2, ["no-such-model", "random-full"]),
        (["--codes", 0], 2, ["codes is 0", "at least 1"]),
        (["--codes", 61], 2, ["codes is 61", "1..60"]),
        (["--codes", "many"], 2, ["--codes", "many"]),
        (["--runs", 0], 2, ["runs is 0"]),
        (["--threads", 0], 2, ["threads is 0"]),
        (["--codes", 5, "--max-mel-tokens", 9], 2, ["max_mel_tokens"]),
        (["--candidates", 2, "--num-autoregressive-samples", 3], 2, ["--candidates 2", "3"]),
        (["--preset", "tini"], 2, ["tini", "tiny"]),
        (["--voice", "nobody"], 2, ["nobody"]),
        (["--compare", "--profile", "x.json"], 2, ["--compare", "--profile"]),
        (["--profile", "no/such/folder/x.json"], 1, ["no/such/folder/x.json"]),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tiny_model: Path, arguments: list[object], code: int, words: list[str]
) -> None:
    result = bench(tiny_model, *arguments)
    errors = [line for line in result.stderr.splitlines() if line.lower().startswith("error")]
    assert (result.exit_code, len(errors)) == (code, 1), result.output
    assert all(word.lower() in errors[0].lower() for word in words), errors[0]
    assert result.stdout == "" and ("measuring the machine" in result.stderr) is ("nobody" in arguments)


def test_ctrl_c_leaves_nothing(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, runs = Workload.run, []

    def interrupted(self: Workload) -> Any:
        runs.append(1)
        if len(runs) == 3:  # the one under the profiler
            raise KeyboardInterrupt
        return real(self)

    monkeypatch.setattr(Workload, "run", interrupted)
    result = bench(tiny_model, "--codes", 4, "--no-stream", "--profile", tmp_path / "trace.json")
    assert result.exit_code == 130 and result.stdout == "" and list(tmp_path.iterdir()) == []
