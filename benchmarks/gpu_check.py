"""Check the package on a CUDA GPU, then measure it, in steps of which none stops the others; under five minutes.

    benchmarks/gpu.sh WHEELS                                  # on a bare machine: installs what is missing, then this
    python benchmarks/gpu_check.py [--out DIR] [--only PATTERN ...] [--limit 290]

The steps: the tests that need a GPU; models and speech at full size against float32 on the CPU; XTTS; `tutortoietts
bench` of three presets and the stream; then the fastest of them with one thing changed at a time; where the time of
each stage goes (gpu_profile.py). Each step is a process with a time limit of its own. What it finds goes at once to
DIR/results.jsonl, a line of JSON each, with its peak memory; what it prints goes to DIR/log.txt. The exit status is 1
if a step failed or there was no time for it. When time is short, the last ones lack it: --only runs steps in the order
of its patterns.

A step's name as the first argument runs that step alone, in this process. --model and --device cpu try all of it
where there is no GPU.
"""

from __future__ import annotations

import argparse
import fnmatch
import gc
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from gpu_models import CODES, inputs, module_outputs

if TYPE_CHECKING:
    from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
RESULTS, LOG = "results.jsonl", "log.txt"
GRAPHS, TRITON = "TUTORTOIETTS_CUDA_GRAPHS", "TUTORTOIETTS_TRITON"
FAST = "ultra_fast_optimized"
PRESETS = (FAST, "fast_optimized", "standard_optimized")
TEXT = "A steady hand and a clear voice are worth more than a clever machine."
# relative errors against float32 on the CPU: of one model (a CPU has 0.02 in bf16, 0.04 in int8), and of speech in fp32
MOST = {"fp32": 1e-3, "fp16": 1e-2, "bf16": 5e-2, "int8": 0.1}
MOST_SPEECH = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command and how many seconds it may take. `reads`: its standard output is one result, as JSON. `needed`: if it
    fails, the others are not tried."""

    name: str
    seconds: float
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    reads: bool = False
    needed: bool = False


def steps(chosen: argparse.Namespace) -> list[Step]:
    """Return all steps in order: what is right before what is fast."""
    python = sys.executable
    options = ("out", "model", "device", "precision", "codes", "runs", "backend")
    passed = [word for name in options for word in (f"--{name}", str(getattr(chosen, name)))]

    def own(name: str, seconds: float, needed: bool = False, **env: str) -> Step:
        command = (python, str(Path(__file__).resolve()), name, *passed)
        return Step(name=name, seconds=seconds, command=command, environment=env, needed=needed)

    def bench(name: str, preset: str, seconds: float, *more: str, precision: str | None = None, **env: str) -> Step:
        given = ("--model", chosen.model, "--device", chosen.device, "--precision", precision or chosen.precision)
        words = (*given, "--preset", preset, "--codes", chosen.codes, "--runs", chosen.runs, "--json", *more)
        command = (python, "-m", "tutortoietts", "bench", *map(str, words))
        return Step(name=f"bench/{name}", seconds=seconds, command=command, environment=env, reads=True)

    alone = "--no-stream"
    return [
        own("machine", 40, needed=True),
        own("tests", 75),
        own("correct", 75),
        own("xtts", 75),
        bench(FAST, FAST, 45),
        bench("fast_optimized", "fast_optimized", 40, alone),
        bench("standard_optimized", "standard_optimized", 45, alone),
        bench("bf16", FAST, 30, alone, precision="bf16"),
        bench("int8", FAST, 30, alone, precision="int8"),
        bench("offload", FAST, 35, alone, "--cpu-offload"),
        own("profile", 60),
        bench("no-triton", FAST, 30, alone, **{TRITON: "0"}),
        bench("no-graphs", FAST, 35, alone, **{GRAPHS: "0"}),
        own("compile", 80, **{TRITON: "0"}),
    ]


def picked(todo: list[Step], patterns: list[str]) -> list[Step]:
    """Return the steps whose names fit, in the order of the patterns."""
    return list({one.name: one for some in patterns for one in todo if fnmatch.fnmatch(one.name, some)}.values())


# running steps


def record(folder: Path, step: str, **values: Any) -> None:
    """Append one result to results.jsonl, so that it is there whatever happens next."""
    with open(folder / RESULTS, "a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, **values}, default=str) + "\n")


def run_all(chosen: argparse.Namespace, todo: list[Step]) -> int:
    """Run the steps while there is time. Return 0 if all went well."""
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name in (RESULTS, LOG):
        (chosen.out / name).unlink(missing_ok=True)
    began, failed = time.monotonic(), []
    for step in todo:
        left = chosen.limit - (time.monotonic() - began)
        if left < 1:
            done = {"ok": False, "error": f"no time left of {chosen.limit:g} s", "seconds": 0.0}
        else:
            done = run_step(step, chosen.out, min(step.seconds, left))
        record(chosen.out, step.name, **done)
        print(line_of(step.name, done), flush=True)
        failed += [] if done["ok"] else [step.name]
        if failed and step.needed:
            break
    seconds = time.monotonic() - began
    print(json.dumps({"steps": len(todo), "failed": failed, "seconds": round(seconds, 1), "out": str(chosen.out)}))
    return 1 if failed else 0


def run_step(step: Step, folder: Path, seconds: float) -> dict[str, Any]:
    """Run one step in a session of its own, which ends with it, and return how it went and its result."""
    began = time.monotonic()
    paths = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", **step.environment}
    with open(folder / LOG, "ab") as log:
        log.write(f"\n== {step.name}: {' '.join(step.command)}\n".encode())
        log.flush()
        start = log.tell()
        output = subprocess.PIPE if step.reads else log
        process = subprocess.Popen(
            step.command, stdout=output, stderr=log, env=environment, cwd=ROOT, start_new_session=True
        )
        try:
            text, _ = process.communicate(timeout=seconds)
            error = "" if process.returncode == 0 else f"ended with {process.returncode}"
        except BaseException as problem:
            os.killpg(process.pid, signal.SIGKILL)
            text, _ = process.communicate()
            error = f"stopped after {seconds:.0f} s"
            if not isinstance(problem, subprocess.TimeoutExpired):
                raise
    done: dict[str, Any] = {"ok": not error, "seconds": round(time.monotonic() - began, 2)}
    if step.reads and not error:
        try:
            done["result"] = json.loads(text)
        except ValueError:
            error = "printed no JSON"
    if error:
        tail = (folder / LOG).read_bytes()[start:].decode("utf-8", "replace").strip().splitlines()[-5:]
        done |= {"ok": False, "error": "\n".join([error, *tail])}
    return done


def line_of(name: str, done: Mapping[str, Any]) -> str:
    """Return what a person wants to know of a step that ended."""
    head = f"{'ok  ' if done['ok'] else 'FAIL'} {name:26} {done['seconds']:6.1f} s"
    if not done["ok"]:
        return f"{head}  {done['error']}"
    if "result" not in done:
        return head
    result = done["result"]
    total, first = result["total"], result.get("first_audio_seconds")
    stages = " ".join(f"{one['name']} {1000 * one['seconds']['median']:.1f}" for one in result["stages"])
    peak = f"peak {result['peak_memory_bytes'] / 1e9:.2f} GB"
    heard = f", first sound {1000 * first['median']:.1f} ms" if first else ""
    return f"{head}  total {1000 * total['seconds']['median']:.1f} ms, {peak}{heard} ({stages})"


# the steps that are not a command of the package


def machine(chosen: argparse.Namespace) -> bool:
    """Record what the figures depend on; fail where there is no GPU."""
    import torch

    found: dict[str, Any] = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "cuda": torch.version.cuda,
        "available": torch.cuda.is_available(),
    }
    if torch.cuda.is_available():
        about = torch.cuda.get_device_properties(0)
        found |= {"gpu": about.name, "memory": about.total_memory, "capability": [about.major, about.minor]}
        found["allocated"] = torch.ones(1, device="cuda").nbytes  # the first contact, not to be paid for by a test
    record(chosen.out, "machine", **found)
    if chosen.device == "cuda" and not torch.cuda.is_available():
        print(f"torch {torch.__version__} finds no CUDA GPU here")
        return False
    return True


class Recorder:
    """A pytest plugin that records each test at once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ran = folder, 0

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.ran += report.outcome == "passed"
            words = {"test": report.nodeid, "outcome": report.outcome, "test_seconds": round(report.duration, 2)}
            record(self.folder, "tests", **words, **gpu_peak())


def gpu_peak() -> dict[str, int]:
    """Return the most bytes that torch has allocated on the GPU since the last call; nothing without a GPU."""
    import torch

    if not torch.cuda.is_available():
        return {}
    peak = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return {"peak_memory_bytes": peak}


def tests(chosen: argparse.Namespace) -> bool:
    """Run the tests marked gpu, only from files that have such a mark; without a GPU they are skipped."""
    import pytest

    files = [str(path) for path in (ROOT / "tests").rglob("test_*.py") if "mark.gpu" in path.read_text("utf-8")]
    recorder = Recorder(chosen.out)
    code = pytest.main(["-q", "-m", "gpu", "-W", "default", "-p", "no:cacheprovider", *files], plugins=[recorder])
    return code == 0 and (recorder.ran > 0 or chosen.device != "cuda")


def correct(chosen: argparse.Namespace) -> bool:
    """Compare the models in every precision, and whole speech in float32, with float32 on the CPU."""
    import torch

    os.environ["TUTORTOIETTS_NATIVE"] = "0"  # torch's operations are what is compared with
    reference = opened(chosen, "fp32", device="cpu")
    given = inputs(reference.spec)
    expected = {name: work() for name, work in module_outputs(reference, given)}
    good = []
    for precision in MOST:
        if precision == "fp16" and chosen.device == "cpu":
            continue
        torch.backends.cudnn.allow_tf32 = precision != "fp32"  # usual, but too coarse to find what is wrong
        try:
            tts = opened(chosen, precision)
        except Exception as problem:
            good.append(False)
            record(chosen.out, "correct", name=precision, ok=False, exception=f"{type(problem).__name__}: {problem}")
            continue
        for name, work in module_outputs(tts, given):
            good.append(judge(chosen, f"{name}/{precision}", work, lambda name=name: expected[name], MOST[precision]))
        if precision == "fp32":
            good += compare_speech(chosen, reference, tts)
        elif precision == chosen.precision:
            sampled = partial(speech, tts, greedy=False)
            good.append(judge(chosen, f"again/{precision}", sampled, sampled, 0.0))
        del tts
        release()
    return all(good)


def compare_speech(chosen: argparse.Namespace, reference: Any, tts: Any) -> list[bool]:
    """Judge speech whose every code is the likeliest one, by each way there is to decode it."""
    whole = speech(reference)
    ways: dict[str, Callable[[], Tensor]] = {
        "graphs": lambda: speech(tts),
        "no-graphs": lambda: without_graphs(lambda: speech(tts)),
        "offload": lambda: speech(opened(chosen, "fp32", cpu_offload=True)),
        "no-cache": lambda: speech(opened(chosen, "fp32", kv_cache=False)),
    }
    good = [judge(chosen, f"speech/{name}", work, lambda: whole, MOST_SPEECH) for name, work in ways.items()]
    return [*good, judge(chosen, "speech/stream", lambda: streamed(tts), lambda: streamed(reference), MOST_SPEECH)]


def judge(
    chosen: argparse.Namespace, name: str, work: Callable[[], Tensor], expected: Callable[[], Tensor], most: float
) -> bool:
    """Record the relative error of what `work` gives, its peak memory and its time; an exception is a failure too."""
    import torch

    from tutortoietts.bench.memory import peak_memory

    began, values = time.perf_counter(), {}
    try:
        with peak_memory(torch.device(chosen.device)) as peak:
            found = work()
        error = relative_error(found, expected())
        values = {"ok": error <= most, "error": error, "peak_memory_bytes": peak.bytes}
    except Exception as problem:
        values = {"ok": False, "exception": f"{type(problem).__name__}: {problem}"}
    record(chosen.out, "correct", name=name, most=most, **values, check_seconds=round(time.perf_counter() - began, 2))
    print(name, values, flush=True)
    return bool(values["ok"])


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Return the length of the difference over that of what is expected; infinity for other sizes and for NaN."""
    found, expected = found.detach().cpu().double(), expected.detach().cpu().double()
    if found.shape != expected.shape or not found.isfinite().all():
        return float("inf")
    return float((found - expected).norm() / expected.norm().clamp_min(1e-30))


def opened(chosen: argparse.Namespace, precision: str, device: str | None = None, **engine: Any) -> Any:
    from tutortoietts.bench.workload import open_model

    return open_model({"model": chosen.model, "device": device or chosen.device, "precision": precision, **engine})


def voice_of(tts: Any) -> dict[str, Any]:
    given = inputs(tts.spec)
    return {"conditioning_latents": (given["speaker"], given["voice"]), "use_deterministic_seed": 3}


def speech(tts: Any, greedy: bool = True) -> Tensor:
    """Return the samples of one sentence in few codes and steps, of three candidates; greedy: of one, as equal ones
    would be ranked by their rounding, and each has noise of its own."""
    options = {"num_autoregressive_samples": 3, "diffusion_iterations": 6, "sampler": "dpm++2m", "verbose": False}
    options |= {"min_mel_tokens": CODES, "max_mel_tokens": CODES}
    options |= {"top_k": 1, "num_autoregressive_samples": 1} if greedy else {}
    return tts.tts(TEXT[:27], **voice_of(tts), **options)  # type: ignore[no-any-return]


def streamed(tts: Any) -> Tensor:
    """Return the samples of the same sentence straight from the latents, in chunks put together."""
    import torch

    forced = {"min_mel_tokens": CODES, "max_mel_tokens": CODES, "top_k": 1}
    return torch.cat(list(tts.tts_stream(TEXT[:27], decoder="stream", **voice_of(tts), **forced)))


def without_graphs(work: Callable[[], Tensor]) -> Tensor:
    with variable(GRAPHS, "0"):
        return work()


@contextmanager
def variable(name: str, value: str) -> Iterator[None]:
    """Set an environment variable for a block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name) if before is None else os.environ.update({name: before})


def release() -> None:
    """Give memory back before the next model."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def compile_blocks(chosen: argparse.Namespace) -> bool:
    """Measure the fastest preset with the blocks of the autoregressive model compiled by torch."""
    from tutortoietts.bench.memory import peak_memory
    from tutortoietts.bench.workload import Plan, Workload

    tts = opened(chosen, chosen.precision)
    for block in tts.autoregressive.gpt.blocks:  # one by one: what is compiled for the first serves the others
        block.compile(backend=chosen.backend)
    work = Workload(tts, Plan(preset=FAST, codes=chosen.codes))
    first = work.run()
    with peak_memory(tts.device) as peak:
        runs = [work.run() for _ in range(chosen.runs)]
    stages = {name: median(run.stages[name] for run in runs) for name in runs[0].stages}
    figures = {"total": median(run.seconds for run in runs), "first": first.seconds, "stages": stages}
    record(chosen.out, "compile", **figures, backend=chosen.backend, peak_memory_bytes=peak.bytes)
    print(figures, flush=True)
    return True


def profile(chosen: argparse.Namespace) -> bool:
    """Record where the time of each stage goes, and how far Triton kernels lie from torch."""
    from gpu_profile import profiled

    tts = opened(chosen, chosen.precision)
    most = MOST[chosen.precision if chosen.precision in MOST else "fp16"]
    return recorded(chosen, "profile", profiled(tts, chosen.codes, lambda: module_outputs(tts, inputs(tts.spec))), most)


def xtts(chosen: argparse.Namespace) -> bool:
    """Record the times of XTTS at full size, and compare its stream with its whole sound."""
    from gpu_profile import spoken_xtts
    from tutortoietts import TextToSpeech
    from tutortoietts.bench.random_model import random_xtts

    source = random_xtts()
    tts = TextToSpeech(model=source, device=chosen.device, precision=chosen.precision)
    voice = {"conditioning_latents": source.voice()}
    return recorded(chosen, "xtts", spoken_xtts(tts, voice, chosen.codes, chosen.runs), MOST_SPEECH)


def recorded(chosen: argparse.Namespace, step: str, results: Iterator[dict[str, Any]], most: float) -> bool:
    """Record each result at once; what was `found` must be what was `expected`, but for a relative error of `most`."""
    good = []
    for result in results:
        if "found" in result:
            error = relative_error(result.pop("found"), result.pop("expected"))
            result |= {"error": error, "most": most, "ok": error <= most}
        good.append(result.get("ok", True))
        record(chosen.out, step, **result)
        print(json.dumps(result, indent=1), flush=True)
    return all(good)


OWN: dict[str, Callable[[argparse.Namespace], bool]] = {
    "machine": machine,
    "tests": tests,
    "correct": correct,
    "profile": profile,
    "xtts": xtts,
    "compile": compile_blocks,
}


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", nargs="?", choices=OWN, help="run this one alone, here")
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="a folder for results and the log")
    parser.add_argument("--only", metavar="PATTERN", nargs="+", help='only such steps, e.g. xtts "bench/*"')
    parser.add_argument("--limit", type=float, default=290.0, help="seconds that all steps may take together")
    parser.add_argument("--model", default="random-full", help="another model, e.g. a directory")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="fp16", help="of all steps that name none")
    parser.add_argument("--codes", type=int, default=111, help="drawn by each candidate")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--backend", default="inductor", help="of torch.compile")
    return parser


def main() -> int:
    chosen = arguments().parse_args()
    chosen.out = chosen.out.resolve()
    if chosen.step is not None:
        chosen.out.mkdir(parents=True, exist_ok=True)
        return 0 if OWN[chosen.step](chosen) else 1
    return run_all(chosen, picked(steps(chosen), chosen.only or ["*"]))


if __name__ == "__main__":
    sys.exit(main())
