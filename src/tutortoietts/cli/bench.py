"""`tutortoietts bench`: how fast a model speaks here, and how near that is to what the machine could do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutortoietts.cli.common import Debug, Json, guarded, new_app, print_json, say
from tutortoietts.cli.options import EngineOptions, TuningOptions, flatten, whole
from tutortoietts.core.errors import OptionError

if TYPE_CHECKING:
    from tutortoietts.api import TextToSpeech
    from tutortoietts.bench.machine import Machine
    from tutortoietts.bench.workload import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchEngine(EngineOptions):
    """As for speaking, and one model more."""

    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help='"bundled", "tortoise-v2", a directory, or "random-full": the full-size models with random weights, '
            "as fast as the real ones and with no download.",
        ),
    ] = "bundled"


PresetOption = Annotated[
    str | None, typer.Option("--preset", "-p", help="What is measured [default: the model's own].")
]
VoiceOption = Annotated[str | None, typer.Option("--voice", "-v", help="Who speaks [default: the model's own].")]
TextOption = Annotated[str | None, typer.Option("--text", help="What is said [default: a sentence of 70 characters].")]
CodesOption = Annotated[
    int | None,
    typer.Option(parser=whole, help="Draw exactly so many [default: the model ends; 111 (5.2 s) for random-full]."),
]
CandidatesOption = Annotated[
    int | None, typer.Option(parser=whole, help="Candidates drawn, short for --num-autoregressive-samples.")
]
RunsOption = Annotated[int, typer.Option(parser=whole, help="Runs that count; the median is shown.")]
WarmupOption = Annotated[int, typer.Option(parser=whole, help="Runs before that do not.")]
ThreadsOption = Annotated[int | None, typer.Option(parser=whole, help="torch's threads [default: torch's choice].")]
StreamOption = Annotated[bool, typer.Option("--stream/--no-stream", help="Also measure the first sound of a stream.")]
ProfileOption = Annotated[
    Path | None, typer.Option("--profile", help="Write a Chrome trace of one run here; show the slowest operations.")
]
CompareOption = Annotated[
    bool,
    typer.Option("--compare", help="Slow settings (no cache, float32, ancestral) against these, in turns."),
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
        raise OptionError("--compare and --profile are two measurements: give one of them")
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
        Workload(tts, plan)  # whether it can be done at all, before anything is measured
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
    """Raises OutputError unless a file can be written there."""
    import os

    from tutortoietts.core.errors import OutputError

    folder = path.expanduser().resolve().parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OutputError(f"{path} cannot be written: name a file in a folder that exists and is open to you")


def _measure(tts: TextToSpeech, machine: Machine, plan: Plan, stream: bool, profile: Path | None) -> dict[str, Any]:
    from tutortoietts.bench.measure import measure
    from tutortoietts.bench.workload import Workload

    workload = Workload(tts, plan)
    values = measure(workload, machine, say, stream=stream).as_dict()
    if profile is not None:
        from tutortoietts.bench.trace import trace
        from tutortoietts.cli.output import whole_file

        say("one run under the profiler")
        with whole_file(profile.expanduser()) as part:
            operations = trace(workload, part)
        values["profile"] = {"file": str(profile), "operations": [asdict(one) for one in operations]}
    return values


def _compare(tts: TextToSpeech, engine: dict[str, Any], plan: Plan) -> dict[str, Any]:
    from tutortoietts.bench.compare import compare, slow_engine, slow_plan
    from tutortoietts.bench.workload import Workload, open_model

    fast = Workload(tts, plan)
    slow = Workload(open_model(slow_engine(engine)), slow_plan(plan, fast.preset))
    return compare(slow, fast, say).as_dict()


app = new_app("Measure how fast a model speaks.")
app.command()(bench)

if __name__ == "__main__":
    app(prog_name="bench")
