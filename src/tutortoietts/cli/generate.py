"""`tutortoietts generate`, also `python -m tutortoietts.cli.generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tutortoietts.cli.common import Debug, Json, guarded, new_app
from tutortoietts.cli.options import EngineOptions, TuningOptions, flatten

TextArgument = Annotated[str | None, typer.Argument(help='What to say; "-" or nothing reads stdin.')]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", help="WAV, FLAC, OGG, Opus or MP3 by its ending; - is WAV on stdout.")
]
PresetOption = Annotated[
    str | None, typer.Option("--preset", "-p", help="Quality against time [default: the model's own].")
]
PlayOption = Annotated[bool, typer.Option("--play", help="Play the result, if a player is installed.")]
SeedOption = Annotated[int | None, typer.Option(help="The same seed gives the same audio.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no report.")]


@flatten
@guarded
def generate(
    text: TextArgument = None,
    output: OutputOption = Path("output.wav"),
    preset: PresetOption = None,
    voice: Annotated[
        str | None, typer.Option("--voice", "-v", help='A name, a+b to mix, "random", a clip or a folder.')
    ] = None,
    seed: SeedOption = None,
    candidates: Annotated[int, typer.Option(min=1, help="Results to keep: FILE_1, FILE_2, ...")] = 1,
    streaming: Annotated[bool, typer.Option("--streaming", help="Write the audio while it is being made.")] = False,
    play: PlayOption = False,
    tuning: TuningOptions = TuningOptions(),  # noqa: B008
    engine: EngineOptions = EngineOptions(),  # noqa: B008
    quiet: QuietOption = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Speak TEXT into a file."""


app = new_app("Speak TEXT into a file.")
app.command()(generate)

if __name__ == "__main__":
    app(prog_name="generate")
