"""`tutortoietts generate`, also `python -m tutortoietts.cli.generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tutortoietts.cli.common import Debug, Json, guarded, new_app
from tutortoietts.cli.inputs import read_text
from tutortoietts.cli.options import EngineOptions, TuningOptions, flatten, whole

TextArgument = Annotated[str | None, typer.Argument(help='What to say; "-" or nothing reads stdin.')]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", help="WAV, FLAC, OGG, Opus or MP3 by its ending; - is WAV on stdout.")
]
PresetOption = Annotated[
    str | None, typer.Option("--preset", "-p", help="Quality against time [default: the model's own].")
]
VoiceOption = Annotated[
    str | None,
    typer.Option(
        "--voice", "-v", help='A name, a mix ("a+b"), "random", a clip or a folder [default: the model\'s own].'
    ),
]
SeedOption = Annotated[int | None, typer.Option(parser=whole, help="The same seed gives the same audio.")]
CandidatesOption = Annotated[int, typer.Option(parser=whole, help="Results to keep, best first: FILE_1, FILE_2, ...")]
StreamingOption = Annotated[bool, typer.Option("--streaming", help="Write each sentence as soon as it is made.")]
PlayOption = Annotated[bool, typer.Option("--play", help="Play the result, if a player is installed.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no report.")]


@flatten
@guarded
def generate(
    text: TextArgument = None,
    output: OutputOption = Path("output.wav"),
    preset: PresetOption = None,
    voice: VoiceOption = None,
    seed: SeedOption = None,
    candidates: CandidatesOption = 1,
    streaming: StreamingOption = False,
    play: PlayOption = False,
    tuning: TuningOptions = TuningOptions(),  # noqa: B008
    engine: EngineOptions = EngineOptions(),  # noqa: B008
    quiet: QuietOption = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Speak TEXT into a file."""
    from tutortoietts.cli.speak import Job, load, speak

    job = Job(
        text=read_text(text),
        output=output,
        preset=preset,
        voice=voice,
        seed=seed,
        candidates=candidates,
        streaming=streaming,
        play=play,
        quiet=quiet,
        as_json=as_json,
        tuning=tuning.given(),
    )
    tts, seconds = load(engine)
    speak(tts, job, seconds)


app = new_app("Speak TEXT into a file.")
app.command()(generate)

if __name__ == "__main__":
    app(prog_name="generate")
