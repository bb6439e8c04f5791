"""benchmarks/gpu_check.py and gpu.sh without a GPU: steps do not stop each other, every command is understood, what is
compared is found right and found wrong, and all of it runs on a GPU without numbers."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import gpu_check
from fake_cuda import CUDA, FakeGpu, fake_gpu, there
from gpu_check import FAST, Recorder, Step, arguments, compile_blocks, correct, relative_error, run_all, steps
from gpu_profile import spoken_xtts
from tiny_xtts import GOLDEN, make_tiny_release
from tutortoietts.api import TextToSpeech
from tutortoietts.cli.main import app
from tutortoietts.core.config import kind_of
from tutortoietts.runtime.source import ModelSource
from tutortoietts.weights.load import model_class

ROOT = Path(__file__).parents[2]


def chosen(out: Path, model: object = "random-full", **changes: Any) -> argparse.Namespace:
    words = ["--out", str(out), "--model", str(model), "--device", "cpu", "--precision", "bf16", "--codes", "6"]
    found = arguments().parse_args([*words, "--runs", "1", "--backend", "eager"])
    vars(found).update(changes)
    return found


def results(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / gpu_check.RESULTS).read_text(encoding="utf-8").splitlines()]


# steps


def python(name: str, code: str, seconds: float = 60.0, **more: Any) -> Step:
    return Step(name=name, seconds=seconds, command=(sys.executable, "-c", code), **more)


MEASURED = {"total": {"seconds": {"median": 0.25}}, "stages": [], "peak_memory_bytes": 3_000_000_000}


def test_no_step_stops_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    todo = [
        python("reads", f"import sys; print({json.dumps(MEASURED)!r}); print('said', file=sys.stderr)", reads=True),
        python("fails", "import sys; sys.exit('broken')"),
        python("hangs", "import threading; print('before', flush=True); threading.Event().wait()", 2.0),
        python("garbles", "print('no JSON')", reads=True),
        python("sees", "import os, tutortoietts; assert os.environ['SEEN'] == 'yes'", environment={"SEEN": "yes"}),
    ]
    assert run_all(chosen(tmp_path), todo) == 1
    found = {one["step"]: one for one in results(tmp_path)}
    assert [one["ok"] for one in found.values()] == [True, False, False, False, True]
    assert found["reads"]["result"] == MEASURED
    assert found["fails"]["error"].splitlines() == ["ended with 1", "broken"]
    assert found["hangs"]["error"].splitlines() == ["stopped after 2 s", "before"]
    assert found["garbles"]["error"] == "printed no JSON"
    assert "said" in (tmp_path / gpu_check.LOG).read_text(encoding="utf-8")
    *lines, last = capsys.readouterr().out.splitlines()
    assert "total 250.0 ms, peak 3.00 GB" in lines[0] and json.loads(last)["failed"] == ["fails", "hangs", "garbles"]


def test_what_there_is_no_time_for_is_said(tmp_path: Path) -> None:
    assert run_all(chosen(tmp_path, limit=0.5), [python("late", "pass")]) == 1
    assert results(tmp_path) == [
        {"step": "late", "ok": False, "error": "no time left of 0.5 s", "seconds": 0.0},
    ]


def test_without_a_gpu_nothing_else_is_tried(tmp_path: Path) -> None:
    assert run_all(chosen(tmp_path), [python("gpu", "raise SystemExit(1)", needed=True), python("other", "pass")]) == 1
    assert [one["step"] for one in results(tmp_path)] == ["gpu"]
    assert [one.needed for one in steps(chosen(tmp_path))][:2] == [True, False]


def test_earlier_results_are_not_mixed_in(tmp_path: Path) -> None:
    for _ in range(2):
        assert run_all(chosen(tmp_path), [python("one", "pass")]) == 0
    assert len(results(tmp_path)) == 1


def test_right_before_fast_and_within_five_minutes(tmp_path: Path) -> None:
    given = arguments().parse_args([])
    names = [one.name for one in steps(given)]
    assert names[:4] == ["machine", "tests", "correct", "xtts"] and len(names) == len(set(names)) == 14
    assert given.limit < 300 and all(one.seconds < given.limit for one in steps(given))


def test_steps_run_in_the_order_of_the_patterns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_check, "run_step", lambda step, folder, seconds: {"ok": True, "seconds": 0.0})
    words = ["gpu_check.py", "--out", str(tmp_path), "--only", "xtts", "bench/[bi]*", "m*", "bench/int8"]
    monkeypatch.setattr(sys, "argv", words)
    assert gpu_check.main() == 0
    assert [one["step"] for one in results(tmp_path)] == ["xtts", "bench/bf16", "bench/int8", "machine"]


@pytest.mark.parametrize("name", [one.name for one in steps(arguments().parse_args([])) if one.reads])
def test_bench_understands_each_step(
    streaming_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("tutortoietts.bench.machine._CPU_BYTES", 1 << 16)
    monkeypatch.setattr("tutortoietts.bench.machine._CPU_WIDTH", 32)
    (step,) = (one for one in steps(chosen(tmp_path, streaming_model)) if one.name == name)
    for variable, value in step.environment.items():
        monkeypatch.setenv(variable, value)
    result = CliRunner().invoke(app, list(step.command[3:]))
    assert result.exit_code == 0, result.output
    line = gpu_check.line_of(name, {"ok": True, "seconds": 1.0, "result": json.loads(result.stdout)})
    assert "peak" in line and ("first sound" in line) is (name == f"bench/{FAST}")


def test_own_steps_are_known_by_their_names(tmp_path: Path) -> None:
    for step in steps(chosen(tmp_path)):
        if not step.reads:
            given = arguments().parse_args(list(step.command[2:]))
            assert given.step == step.name and given.step in gpu_check.OWN
            assert (given.model, given.codes, given.backend) == ("random-full", 6, "eager")


# what is compared


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step changes for its own process is put back."""
    monkeypatch.setenv("TUTORTOIETTS_NATIVE", "0")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)


def test_models_and_speech_are_compared(settings: None, streaming_model: Path, tmp_path: Path) -> None:
    assert correct(chosen(tmp_path, streaming_model))
    found = {one["name"]: one for one in results(tmp_path)}
    models = ("autoregressive", "steps", "diffusion", "clvp", "vocoder", "stream_decoder")
    expected = {f"{name}/{precision}" for name in models for precision in ("fp32", "bf16", "int8")}
    ways = {f"speech/{name}" for name in ("graphs", "no-graphs", "offload", "no-cache", "stream")}
    assert found.keys() == expected | ways | {"again/bf16"}
    assert all(one["ok"] and one["peak_memory_bytes"] > 0 for one in found.values())
    assert 1e-4 < found["autoregressive/bf16"]["error"] < 0.05 and found["speech/graphs"]["error"] == 0


def test_what_is_wrong_is_found(
    settings: None, streaming_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(chosen: argparse.Namespace, precision: str, device: str | None = None, **engine: Any) -> TextToSpeech:
        tts = TextToSpeech(streaming_model, device="cpu", precision=precision, **engine)
        if precision == "bf16":
            with torch.no_grad():
                tts.diffusion.out_conv.weight.mul_(1.2)
            tts.clvp = nn.Identity()
        return tts

    monkeypatch.setattr(gpu_check, "opened", other)
    assert not correct(chosen(tmp_path, streaming_model))
    wrong = {one["name"]: one for one in results(tmp_path) if not one["ok"]}
    assert wrong["diffusion/bf16"]["error"] == pytest.approx(0.2, abs=0.05)
    assert "StopIteration" in wrong["clvp/bf16"]["exception"]
    assert "AttributeError" in wrong["again/bf16"]["exception"]
    assert not any(name.endswith("fp32") or name.startswith("vocoder") for name in wrong)


def test_relative_errors() -> None:
    one = torch.tensor([3.0, 4.0])
    assert relative_error(one, one) == 0 and relative_error(one + torch.tensor([0.0, 0.5]), one) == pytest.approx(0.1)
    assert relative_error(one[:1], one) == relative_error(one * float("nan"), one) == float("inf")


def test_tests_are_recorded_one_by_one(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for when, outcome in (("setup", "passed"), ("call", "passed"), ("call", "failed"), ("setup", "skipped")):
        recorder.pytest_runtest_logreport(SimpleNamespace(when=when, outcome=outcome, nodeid="a", duration=0.5))
    assert [one["outcome"] for one in results(tmp_path)] == ["passed", "failed", "skipped"] and recorder.ran == 1


def test_blocks_are_compiled(settings: None, streaming_model: Path, tmp_path: Path) -> None:
    torch._dynamo.reset()
    assert compile_blocks(chosen(tmp_path, streaming_model))
    (found,) = results(tmp_path)
    assert found["backend"] == "eager" and found["total"] > 0 and found["stages"]["codes"] > 0
    compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert 0 < compiled < 30, "compiled again and again, as each layer has its number"


def test_where_the_time_goes(settings: None, streaming_model: Path, tmp_path: Path) -> None:
    assert gpu_check.profile(chosen(tmp_path, streaming_model))
    found = {one["name"]: one for one in results(tmp_path)}
    assert found["steps"]["torch_each"] > 0 and found["vocoder"]["kernels_first"] > 0
    counted, order = found["ranking/launches"], list(found)
    assert counted["count"] > 0 and 0 < len(counted["longest"]) <= 25
    assert order.index("steps/launches") > order.index("ranking"), "the profiler slows what is timed after it"
    assert found["steps/kernels"]["error"] == 0  # on a CPU both are torch


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the golden files of ../shared are absent")
def test_xtts_is_measured(tmp_path: Path) -> None:
    tts = TextToSpeech(make_tiny_release(tmp_path / "xtts"), device="cpu")
    found = spoken_xtts(tts, {"voice_samples": "Ana Example"}, 20, 1)
    assert gpu_check.recorded(chosen(tmp_path), "xtts", found, 1e-5)
    times, stream = results(tmp_path)
    assert times["first_sound"] > 0 and stream["ok"]


@pytest.fixture
def gpu(streaming_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGpu]:
    with fake_gpu(monkeypatch) as device:
        yield device


@pytest.fixture
def speech(gpu: FakeGpu, streaming_model: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TextToSpeech]:
    """A model on the GPU, whose weights have no numbers."""

    def load(source: ModelSource, part: str, device: torch.device, dtype: torch.dtype) -> nn.Module:
        config = source.config(part)
        return there(lambda: model_class(kind_of(config))(config), dtype, CUDA)

    monkeypatch.setattr(ModelSource, "load", load)
    return lambda **options: TextToSpeech(streaming_model, device="cuda:0", **options)


@pytest.mark.parametrize("precision", gpu_check.MOST)
def test_all_of_it_runs_on_a_gpu(speech: Callable[..., TextToSpeech], precision: str) -> None:
    tts = speech(precision=precision)
    given = gpu_check.inputs(tts.spec)
    outputs = {name: work() for name, work in gpu_check.module_outputs(tts, given)}
    assert len(outputs) == 6 and all(output.device == CUDA for output in outputs.values())
    assert gpu_check.speech(tts).device.type == gpu_check.streamed(tts).device.type == "cpu"


# the scripts


def fake_python(folder: Path, lacks: str = "-") -> Path:
    """A Python without the modules of the pattern `lacks`, which writes down what else it is asked."""
    path = folder / "python"
    path.write_text(
        f'#!/bin/bash\nif [ "$1" = -c ]; then case "$2" in {lacks}) exit 1;; esac; exit 0; fi\n'
        f'echo "$* PYTHONPATH=$PYTHONPATH" >>{folder}/asked\n'
    )
    path.chmod(0o755)
    return path


def run_script(script: str, folder: Path, *words: object, **environment: str) -> tuple[int, str, list[str]]:
    import os

    done = subprocess.run(
        ["bash", str(ROOT / script), *map(str, words)],
        env={**os.environ, "PYTHON": str(folder / "python"), **environment},
        capture_output=True,
        text=True,
        cwd=folder,
    )
    asked = folder / "asked"
    return done.returncode, done.stdout + done.stderr, asked.read_text().splitlines() if asked.exists() else []


def test_only_what_is_missing_is_installed(tmp_path: Path) -> None:
    fake_python(tmp_path, "*\\'soxr\\'*|*markdown_it*")
    code, said, (install, check) = run_script("benchmarks/gpu.sh", tmp_path, tmp_path, "--only", "x", OUT="there")
    assert code == 0, said
    assert f"--find-links {tmp_path}" in install and install.split(" PYTHONPATH")[0].endswith("soxr markdown-it-py")
    target = install.split("--target ")[1].split()[0]
    assert "--no-index" in install and "--no-deps" in install and f"PYTHONPATH={target}" in check
    assert check.startswith("benchmarks/gpu_check.py --out there --only x")
    assert not Path(target).exists()


def test_a_machine_that_lacks_nothing_needs_no_wheels(tmp_path: Path) -> None:
    fake_python(tmp_path)
    code, said, asked = run_script("benchmarks/gpu.sh", tmp_path, tmp_path / "none")
    assert code == 0 and len(asked) == 1, said


def test_what_no_wheel_replaces_is_named(tmp_path: Path) -> None:
    fake_python(tmp_path, "*tokenizers*")
    code, said, asked = run_script("benchmarks/gpu.sh", tmp_path, tmp_path)
    assert code == 2 and "no tokenizers" in said and not asked
    fake_python(tmp_path, "*soxr*")
    code, said, asked = run_script("benchmarks/gpu.sh", tmp_path, tmp_path / "none")
    assert code == 2 and "no soxr" in said and "gpu_wheels.sh" in said and not asked


def test_wheels_are_for_the_other_machine(tmp_path: Path) -> None:
    fake_python(tmp_path)
    code, said, (asked,) = run_script("scripts/gpu_wheels.sh", tmp_path, tmp_path / "wheels")
    assert code == 0, said
    words = asked.split(" PYTHONPATH")[0]
    assert "--only-binary :all: " in words and "--python-version 3.12 " in words and "--no-deps" in words
    assert {"soxr", "soundfile", "anyascii", "cffi", "pycparser", "pytest", "rich"} <= set(words.split())
    assert "torch" not in words.split() and "manylinux_2_28_x86_64" in words
