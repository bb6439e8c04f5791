"""`tutortoietts`: all commands."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

from tutortoietts.cli import bench, book, cache, clone, detect, doctor, generate, models, say_as, serve, voices
from tutortoietts.cli.common import new_app
from tutortoietts.version import __version__

app = new_app("Speak text in a chosen or cloned voice with the Tortoise models.")
app.command("generate", short_help="Speak a text into a file.")(generate.generate)
app.command("say-as", short_help="Print the words that will be spoken.")(say_as.say_as)
app.command("clone", short_help="Make a voice from clips.")(clone.clone)
app.add_typer(book.app, name="book", short_help="Make audiobooks from documents.")
app.command("serve", short_help="Serve speech over HTTP and Wyoming, with a web page.")(serve.serve)
app.add_typer(voices.app, name="voices", short_help="List, show and remove voices.")
app.add_typer(models.app, name="models", short_help="List, fetch, verify and convert public checkpoints.")
app.add_typer(cache.app, name="cache", short_help="Phrases that were spoken before.")
app.command("bench", short_help="Measure the speed on this machine.")(bench.bench)
app.command("detect", short_help="Tell whether Tortoise made a sound file.")(detect.detect)
app.command("doctor", short_help="Show device, speedups and problems.")(doctor.doctor)


@app.command(
    "train",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def train(context: typer.Context) -> None:
    """Train the bundled model's recipe (docs/training.md)."""
    module = importlib.import_module("tutortoietts.train.cli")
    module.app(args=context.args, prog_name="tutortoietts train")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tutortoietts {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Speak text in a chosen or cloned voice with the Tortoise models."""
