"""`tutortoietts detect`: tell whether Tortoise made a sound file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tutortoietts.cli.common import Debug, Json, guarded, print_json


@guarded
def detect(
    file: Annotated[Path, typer.Argument(help="Sound file to classify.")],
    models_dir: Annotated[
        str | None, typer.Option("--models-dir", help="Folder of public checkpoints that is searched first.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Print the probability that Tortoise made FILE, by the public classifier (its file is fetched, 61 MB)."""
    from tutortoietts.engine.detect import detect

    probability = detect(file, models_dir=models_dir)
    if as_json:
        print_json({"file": str(file), "probability": probability})
        return
    print(f"{file}: {100 * probability:.1f} % made by Tortoise")
