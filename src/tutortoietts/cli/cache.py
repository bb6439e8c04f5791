"""`tutortoietts cache`: the phrases that were spoken before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tutortoietts.cli.common import Debug, Json, guarded, new_app, print_json

Folder = Annotated[
    Path | None, typer.Option("--folder", help="Another cache's folder [default: the one that all of yours share].")
]

app = new_app("Show, verify and empty the cache of phrases that were spoken before.")


@app.command("status")
@guarded
def status(folder: Folder = None, as_json: Json = False, debug: Debug = False) -> None:
    """Show the folder, the number of phrases, their size and the limit."""
    from tutortoietts.cache.phrases import PhraseCache

    found = PhraseCache(folder).status()
    if as_json:
        print_json(
            {
                "folder": str(found.folder), "phrases": found.phrases, "bytes": found.size, "limit": found.limit,
                "damaged": found.damaged,
            }
        )  # fmt: skip
        return
    print(f"{found.folder}: {found.phrases} phrases, {found.size / 1e6:.1f} MB of at most {found.limit / 1e6:.0f} MB")
    if found.damaged:
        print(f"{found.damaged} damaged phrases were put aside in {found.folder / 'bad'}")


@app.command("verify")
@guarded
def verify(folder: Folder = None, debug: Debug = False) -> None:
    """Check the digest of every phrase; damaged ones are put aside, and exit code 1 says so."""
    from tutortoietts.cache.phrases import PhraseCache

    good, wrong = PhraseCache(folder).verify()
    for line in wrong:
        print(line)
    print(f"{good} phrases are good, {len(wrong)} damaged")
    if wrong:
        raise typer.Exit(1)


@app.command("prune")
@guarded
def prune(
    to: Annotated[str | None, typer.Option("--to", help="Size to keep, such as 500M [default: the limit].")] = None,
    folder: Folder = None,
    debug: Debug = False,
) -> None:
    """Remove the phrases that were not used for longest."""
    from tutortoietts.cache.phrases import PhraseCache, size_limit

    count, freed = PhraseCache(folder).prune(None if to is None else size_limit(to))
    print(f"removed {count} phrases, freed {freed / 1e6:.1f} MB")


@app.command("clear")
@guarded
def clear(folder: Folder = None, debug: Debug = False) -> None:
    """Remove all phrases. Books keep their sound."""
    from tutortoietts.cache.phrases import PhraseCache

    count, freed = PhraseCache(folder).clear()
    print(f"removed {count} phrases, freed {freed / 1e6:.1f} MB")
