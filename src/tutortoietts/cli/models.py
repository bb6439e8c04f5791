"""`tutortoietts models`: list, fetch, verify and convert the public checkpoints."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutortoietts.cli.common import Debug, Json, guarded, new_app, print_json, say
from tutortoietts.core.errors import ModelError, OptionError

if TYPE_CHECKING:
    from tutortoietts.weights.registry import PublicFile

ModelsDir = Annotated[
    Path | None,
    typer.Option(help="Folder of public checkpoints [default: TORTOISE_MODELS_DIR, else the user's cache]."),
]
Names = Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Names from `models list`.")]

NEEDED = ("autoregressive", "diffusion", "clvp", "bigvgan_base", "tokenizer", "mel_norms")

app = new_app("List, fetch, verify and convert the public checkpoints.")


@app.command("list")
@guarded
def list_models(models_dir: ModelsDir = None, as_json: Json = False, debug: Debug = False) -> None:
    """List the public checkpoints with their licences, and which are on this machine."""
    from tutortoietts.weights.fetch import find
    from tutortoietts.weights.registry import PUBLIC_FILES

    rows = [_row(file, find(file, models_dir)) for file in PUBLIC_FILES.values()]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        size, licence = f"{row['megabytes']:>8g} MB", f"{row['licence']:<10}"
        print(f"{row['name']:<24} {row['kind']:<15} {size}  {licence}  {row['path'] or 'not here'}")
    say("CPML 1.0.0: non-commercial use only, also of the speech: https://coqui.ai/cpml.txt")


@app.command("fetch")
@guarded
def fetch_models(names: Names = None, models_dir: ModelsDir = None, debug: Debug = False) -> None:
    """Download checkpoints and print their paths: those named, or those that --model tortoise-v2 needs.

    "all" are those whose licence asks for no agreement.
    """
    from tutortoietts.weights.fetch import fetch_all

    files = _chosen(None if names == ["all"] else names or list(NEEDED))
    paths = fetch_all(files, models_dir)
    for file in files:
        say(f"fetching {file.name} ({file.megabytes:g} MB) ...")
        print(next(paths))


@app.command("verify")
@guarded
def verify_models(
    names: Names = None, models_dir: ModelsDir = None, as_json: Json = False, debug: Debug = False
) -> None:
    """Check the digest, keys and shapes of checkpoints: those named, or all on this machine."""
    from tutortoietts.weights.fetch import find

    rows: list[dict[str, Any]] = []
    for file in _chosen(names):
        path = find(file, models_dir)
        if path is None and not names:
            continue
        rows.append(_row(file, path) | {"problem": _problem(file, path)})
        if not as_json:
            print(f"{file.name:<24} {rows[-1]['problem'] or 'good'}", flush=True)
    if as_json:
        print_json(rows)
    elif not rows:
        print("no public checkpoint on this machine (tutortoietts models fetch)")
    if bad := [row["name"] for row in rows if row["problem"]]:
        raise ModelError(f"{len(bad)} of {len(rows)} checkpoints failed: {', '.join(bad)}")


@app.command("convert")
@guarded
def convert_model(
    source: Annotated[str, typer.Argument(help="Name from `models list`, or a checkpoint file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .safetensors file to write.")],
    kind: Annotated[
        str | None, typer.Option(help="Kind of model in a file: autoregressive, diffusion, clvp ...")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="JSON file with the sizes of the model in a file, if they are not the public ones."),
    ] = None,
    half: Annotated[bool, typer.Option("--half/--no-half", help="Store float16 instead of float32.")] = False,
    models_dir: ModelsDir = None,
    debug: Debug = False,
) -> None:
    """Rewrite a checkpoint as safetensors with this package's keys; the source is left unchanged."""
    from tutortoietts.core.config import CONFIGS
    from tutortoietts.weights.fetch import fetch
    from tutortoietts.weights.registry import REGISTRY

    _check_output(output)
    if source in REGISTRY:
        file = REGISTRY[source]
        _convert(file.kind, fetch(file, models_dir), file.config(), output, half)
    elif kind is None or kind not in CONFIGS:
        raise OptionError(f"--kind is {kind!r}, must be one of {', '.join(CONFIGS)} when the source is a file")
    else:
        if os.path.realpath(source) == os.path.realpath(output):
            raise OptionError(
                f"output {str(output)!r} is the source itself, which is left unchanged: name another file"
            )
        _convert(kind, Path(source), CONFIGS[kind].from_dict(_sizes(config)), output, half)
    say(f"wrote {output}")


def _check_output(output: Path) -> None:
    """Raise OptionError, before any work, for a place where no file can be written."""
    if output.suffix != ".safetensors":
        raise OptionError(f"output {str(output)!r} must end in .safetensors")
    if os.path.isdir(output):
        raise OptionError(f"output {str(output)!r} is a folder: name a file in it")
    folder = output.resolve().parent
    if not folder.is_dir():
        raise OptionError(f"output folder {str(folder)!r} does not exist: make it first (mkdir -p)")
    if not os.access(folder, os.W_OK):
        raise OptionError(f"output folder {str(folder)!r} is write-protected: choose another")


def _sizes(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        sizes = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"--config {str(config)!r} cannot be read as JSON: {error}") from None
    if not isinstance(sizes, dict):
        raise OptionError(f"--config {str(config)!r} holds a {type(sizes).__name__}, must be an object")
    return sizes


def _convert(kind: str, source: Path, config: Any, output: Path, half: bool) -> None:
    import torch

    from tutortoietts.weights.load import load_model, save_state

    module = load_model(kind, source, config, cache=False)
    save_state(output, module.state_dict(), kind=kind, dtype=torch.float16 if half else None)


def _chosen(names: list[str] | None) -> list[PublicFile]:
    from tutortoietts.weights.registry import REGISTRY as files
    from tutortoietts.weights.registry import lookup

    try:
        return [lookup(name) for name in names] if names else list(files.values())
    except ModelError as error:
        raise OptionError(str(error)) from None


def _row(file: PublicFile, path: Path | None) -> dict[str, Any]:
    return {
        "name": file.name,
        "kind": file.kind,
        "megabytes": file.megabytes,
        "path": None if path is None else str(path),
        "sha256": file.sha256,
        "licence": file.licence.name,
        "licence_address": file.licence.address,
    }


def _problem(file: PublicFile, path: Path | None) -> str | None:
    """Return the problem of a checkpoint in words, None if it has none."""
    from tutortoietts.core.config import CONFIGS
    from tutortoietts.weights.fetch import verify
    from tutortoietts.weights.load import load_model

    if path is None:
        return f"not on this machine: tutortoietts models fetch {file.name}"
    try:
        verify(file, path)
        if file.kind in CONFIGS:
            load_model(file.kind, path, file.config(), cache=False)
    except ModelError as error:
        return str(error)
    return None
