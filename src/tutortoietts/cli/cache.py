"""`tutortoietts cache`: the phrases that were spoken before."""

from __future__ import annotations

from typing import Annotated

import typer

from tutortoietts.cli.common import Debug, Json, guarded, new_app, print_json

app = new_app("Show, verify and empty the cache of phrases that were spoken before.")


@app.command("status")
@guarded
def status(as_json: Json = False, debug: Debug = False) -> None:
    """Show the folder, the number of phrases, their size and the limit."""
    from tutortoietts.cache.phrases import PhraseCache

    found = PhraseCache().status()
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
def verify(debug: Debug = False) -> None:
    """Check the digest of every phrase; damaged ones are put aside, and exit code 1 says so."""
    from tutortoietts.cache.phrases import PhraseCache

    good, wrong = PhraseCache().verify()
    for line in wrong:
        print(line)
    print(f"{good} phrases are good, {len(wrong)} damaged")
    if wrong:
        raise typer.Exit(1)


@app.command("prune")
@guarded
def prune(
    to: Annotated[str | None, typer.Option("--to", help="Size to keep, such as 500M [default: the limit].")] = None,
    debug: Debug = False,
) -> None:
    """Remove the phrases that were not used for longest."""
    from tutortoietts.cache.phrases import PhraseCache, size_limit

    count, freed = PhraseCache().prune(None if to is None else size_limit(to))
    print(f"removed {count} phrases, freed {freed / 1e6:.1f} MB")


@app.command("clear")
@guarded
def clear(debug: Debug = False) -> None:
    """Remove all phrases. Books keep their sound."""
    from tutortoietts.cache.phrases import PhraseCache

    count, freed = PhraseCache().clear()
    print(f"removed {count} phrases, freed {freed / 1e6:.1f} MB")
