"""`tutortoietts voices`: list, show and remove the voices on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutortoietts.cli.common import Debug, Json, guarded, new_app, print_json, printable, say
from tutortoietts.core.errors import OptionError

if TYPE_CHECKING:
    from tutortoietts.voices.store import VoiceSource, VoiceStore

ModelOption = Annotated[
    str,
    typer.Option(
        "--model", "-m", help='Model whose own voices to include: "bundled", a directory, "tortoise-v2" (none).'
    ),
]
Name = Annotated[str, typer.Argument(help="Name of the voice.")]

app = new_app("List, show and remove the voices on this machine; `tutortoietts clone` makes new ones.")


@app.command("list")
@guarded
def list_voices(model: ModelOption = "bundled", as_json: Json = False, debug: Debug = False) -> None:
    """List every voice that --voice takes by name."""
    store = _store(model)
    rows = [_row(store, source) for source in store.voices()]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        clips = f"{len(row['clips'])} clips" if row["clips"] else ""
        print(printable(f"{row['name']:<20} {row['owner']:<8} {clips:<9} {', '.join(row['models'])}".rstrip()))
    if not rows:
        say("no voices yet: tutortoietts clone makes one")


@app.command("show")
@guarded
def show_voice(name: Name, model: ModelOption = "bundled", as_json: Json = False, debug: Debug = False) -> None:
    """Show the path of a voice, its clips, and the models it has latents for."""
    store = _store(model)
    row = _row(store, store.find(name)) | {"seconds": [round(_seconds(clip), 2) for clip in store.find(name).clips]}
    if as_json:
        print_json(row)
        return
    print(printable(f"name    {row['name']}"), f"owner   {row['owner']}", printable(f"path    {row['path']}"), sep="\n")
    print(printable(f"models  {', '.join(row['models']) or 'none yet: made when first spoken'}"))
    for clip, seconds in zip(row["clips"], row["seconds"], strict=True):
        print(printable(f"clip    {clip} ({seconds} s)"))


@app.command("remove")
@guarded
def remove_voice(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    debug: Debug = False,
) -> None:
    """Delete one of your voices, with its clips."""
    store = _store("bundled")
    if not yes:
        path = store.find(name).path
        if not sys.stdin.isatty():
            raise OptionError(f"removing voice {name!r} deletes {path}: confirm with --yes")
        if not typer.confirm(f"Delete voice {name!r} at {path}?"):
            raise typer.Exit
    print(printable(f"removed {store.remove(name)}"))


def _store(model: str) -> VoiceStore:
    from tutortoietts.core.paths import existing_folder
    from tutortoietts.voices.store import VoiceStore

    if model == "bundled":
        return VoiceStore()
    if model == "tortoise-v2":
        return VoiceStore(builtin_folders=())
    return VoiceStore(builtin_folders=[existing_folder(model, "--model") / "voices"])


def _row(store: VoiceStore, source: VoiceSource) -> dict[str, Any]:
    return {
        "name": source.name,
        "owner": "you" if store.is_own(source) else "model",
        "path": str(source.path),
        "clips": [clip.name for clip in source.clips],
        "models": list(source.models),
    }


def _seconds(clip: Path) -> float:
    from tutortoietts.audio.io import audio_seconds

    return audio_seconds(clip)
