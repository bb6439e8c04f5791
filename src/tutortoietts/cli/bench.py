"""`tutortoietts bench`: measure how fast a model speaks here, and how near that is to the limit of the machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tutortoietts.cli.common import MODEL, Debug, Json, guarded, new_app, print_json, say
from tutortoietts.cli.options import EngineOptions, TuningOptions, flatten, integer, of_panel
from tutortoietts.core.errors import OptionError

if TYPE_CHECKING:
    from tutortoietts.api import TextToSpeech
    from tutortoietts.bench.machine import Machine
    from tutortoietts.bench.workload import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchEngine(EngineOptions):
    """The options of speaking, and one more model."""

    model: Annotated[
        str,
        of_panel(MODEL)(
            "--model",
            "-m",
            help='"bundled", "tortoise-v2", "xtts-v2", a directory, or "random-full" or "random-xtts": the full-size '
            "models with random weights, as fast as the real ones and with no download.",
        ),
    ] = "bundled"


_measuring = of_panel("Measuring")

PresetOption = Annotated[str | None, _measuring("--preset", "-p", help="Preset to measure [default: the model's own].")]
VoiceOption = Annotated[str | None, _measuring("--voice", "-v", help="Voice to speak with [default: the model's own].")]
TextOption = Annotated[str | None, _measuring("--text", help="Text to speak [default: a sentence of 70 characters].")]
CodesOption = Annotated[
    int | None,
    _measuring(
        parser=integer, help="Number of codes to draw [default: the model decides; 111 (5.2 s) for random weights]."
    ),
]
CandidatesOption = Annotated[int | None, _measuring(parser=integer, help="Short for --num-autoregressive-samples.")]
RunsOption = Annotated[int, _measuring(parser=integer, help="Number of measured runs; the median is shown.")]
WarmupOption = Annotated[int, _measuring(parser=integer, help="Number of runs before them that are not measured.")]
ThreadsOption = Annotated[
    int | None, _measuring(parser=integer, help="Number of CPU threads [default: torch's choice].")
]
StreamOption = Annotated[
    bool, _measuring("--stream/--no-stream", help="Measure the time to the first audio of a stream, too.")
]
ProfileOption = Annotated[
    Path | None, _measuring("--profile", help="Write a Chrome trace of one run here; show the slowest operations.")
]
CompareOption = Annotated[
    bool,
    _measuring("--compare", help="Compare these settings with slow ones (no cache, float32, ancestral), in turns."),
]


@flatten
@guarded
def bench(
    preset: PresetOption = None,
    voice: VoiceOption = None,
    text: TextOption = None,
    codes: CodesOption = None,
    candidates: CandidatesOption = None,
    runs: RunsOption = 3,
    warmup: WarmupOption = 1,
    threads: ThreadsOption = None,
    stream: StreamOption = True,
    compare: CompareOption = False,
    profile: ProfileOption = None,
    tuning: TuningOptions = TuningOptions(),  # noqa: B008
    engine: BenchEngine = BenchEngine(),
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure how fast a model speaks: by stage, against the limit that this machine shows in the same run."""
    if compare and profile is not None:
        raise OptionError("--compare and --profile are different measurements: give one of them")
    if profile is not None:
        _check_folder(profile)
    from tutortoietts.bench.machine import measure_machine
    from tutortoietts.bench.measure import threads_set, where_and_when
    from tutortoietts.bench.workload import SENTENCE, Plan, Workload, open_model

    plan = Plan(
        text=SENTENCE if text is None else text,
        preset=preset,
        voice=voice,
        options=_options(tuning, candidates),
        codes=codes,
        runs=runs,
        warmup=warmup,
    )
    with threads_set(threads):
        tts = open_model(asdict(engine))
        Workload(tts, plan)  # raises now what cannot be done, before anything is measured
        say("measuring the machine: memory and matrix products")
        machine = measure_machine(tts.device)
        values = where_and_when(machine)
        if compare:
            values["compare"] = _compare(tts, asdict(engine), plan)
        else:
            values |= _measure(tts, machine, plan, stream, profile)
    if as_json:
        print_json(values)
    else:
        from tutortoietts.cli.bench_table import print_tables

        print_tables(values)


def _options(tuning: TuningOptions, candidates: int | None) -> dict[str, Any]:
    given = tuning.given()
    if candidates is None:
        return given
    if given.setdefault("num_autoregressive_samples", candidates) != candidates:
        both = f"--candidates {candidates} and --num-autoregressive-samples {given['num_autoregressive_samples']}"
        raise OptionError(f"{both} are the same option: give one of them")
    return given


def _check_folder(path: Path) -> None:
    """Raise OutputError unless a file can be written there."""
    import os

    from tutortoietts.core.errors import OutputError

    folder = path.expanduser().resolve().parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OutputError(f"{path} cannot be written: name a file in a folder that exists and that you may write to")


def _measure(tts: TextToSpeech, machine: Machine, plan: Plan, stream: bool, profile: Path | None) -> dict[str, Any]:
    from tutortoietts.bench.measure import measure
    from tutortoietts.bench.workload import Workload

    workload = Workload(tts, plan)
    values = measure(workload, machine, say, stream=stream).as_dict()
    if profile is not None:
        from tutortoietts.bench.trace import trace
        from tutortoietts.cli.output import atomic_file

        say("one run under the profiler")
        with atomic_file(profile.expanduser()) as part:
            operations = trace(workload, part)
        values["profile"] = {"file": str(profile), "operations": [asdict(one) for one in operations]}
    return values


def _compare(tts: TextToSpeech, engine: dict[str, Any], plan: Plan) -> dict[str, Any]:
    from tutortoietts.bench.compare import compare, slow_engine, slow_plan
    from tutortoietts.bench.workload import Workload, open_model

    fast = Workload(tts, plan)
    slow = Workload(open_model(slow_engine(engine)), slow_plan(plan, fast.preset, denoises=fast.denoises))
    return compare(slow, fast, say).as_dict()


app = new_app("Measure how fast a model speaks.")
app.command()(bench)

if __name__ == "__main__":
    app(prog_name="bench")
