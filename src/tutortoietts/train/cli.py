"""``tutortoietts train``: one command a stage; see docs/training.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tutortoietts.train.recipe import Recipe

app = typer.Typer(no_args_is_help=True, help="Train the bundled voice model from scratch, one command a stage.")

From = Annotated[
    str, typer.Option("--from", help="Model directory (or bundled) to begin with where a stage has no checkpoint.")
]
NewCodes = Annotated[bool, typer.Option(help="That model has codes of another discrete VAE: leave their tables.")]
Device = Annotated[str, typer.Option(help="Where to train: cpu or cuda.")]
Work = Annotated[Path, typer.Option(help="Folder for speech, codes and checkpoints (tens of gigabytes).")]
Minutes = Annotated[float, typer.Option(help="Minutes of training in all, over however many runs.", min=0.1)]
Exclude = Annotated[
    list[Path] | None, typer.Option(help="Text files of sentences, one a line, that training must never see.")
]
PerVoice = Annotated[int, typer.Option(help="Shards (five minutes each) of every voice.")]
PerWarp = Annotated[int, typer.Option(help="Shards of every speaker derived from them.")]
_WORK = Path(".train")


def _recipe(work: Path, threads: int = 1, start: str = "", new_codes: bool = False, device: str = "cpu") -> Recipe:
    import torch

    from tutortoietts.core.errors import ModelError
    from tutortoietts.core.paths import expanded
    from tutortoietts.runtime.source import open_source
    from tutortoietts.train.recipe import Recipe

    torch.set_num_threads(threads)
    folder = open_source(start).folder if start == "bundled" else expanded(start) if start else None
    if folder is not None and not any(folder.glob("*.safetensors")):
        raise ModelError(f"--from {start}: no weights (*.safetensors) in {folder}")
    return Recipe(work, folder, new_codes, device)


def _sentences(files: list[Path] | None) -> list[str]:
    return [line.strip() for file in files or [] for line in file.read_text().splitlines() if line.strip()]


@app.callback()
def clock(
    processor_time: Annotated[
        bool, typer.Option(help="Count minutes of the processor, not of the clock: where others keep the machine busy.")
    ] = False,
) -> None:
    if processor_time:
        from tutortoietts.train import optim

        optim.PROCESSOR_TIME = True


@app.command()
def render(
    work: Work = _WORK,
    scale: Annotated[float, typer.Option(help="How much of the usual amount of speech, 40 hours in all.")] = 1.0,
    teachers: Annotated[str, typer.Option(help="Teachers to learn from, with commas between them.")] = "joe,kokoro",
    worker: Annotated[int, typer.Option(help="Which of the processes this is, from 0.")] = 0,
    workers: Annotated[int, typer.Option(help="How many processes share the work.")] = 1,
    exclude: Exclude = None,
) -> None:
    """Stage 1: speak sentences with the teachers; can be interrupted and run again."""
    _recipe(work).render(scale, tuple(teachers.split(",")), _sentences(exclude), worker, workers)


@app.command()
def dvae(work: Work = _WORK, minutes: Minutes = 10.0, threads: int = 1) -> None:
    """Stage 2: the discrete VAE."""
    _recipe(work, threads).dvae(minutes)


@app.command()
def adapt(work: Work = _WORK, minutes: Minutes = 10.0, threads: int = 1) -> None:
    """Stage 2 for speakers that are new: the encoder learns them, and codes keep their meaning."""
    _recipe(work, threads).adapt(minutes)


@app.command()
def codes(work: Work = _WORK) -> None:
    """Stage 3: all speech as codes."""
    _recipe(work).codes()


@app.command()
def gpt(
    work: Work = _WORK,
    minutes: Minutes = 70.0,
    threads: int = 1,
    start: From = "",
    new_codes: NewCodes = False,
    device: Device = "cpu",
    exclude: Exclude = None,
) -> None:
    """Stage 4: the autoregressive model."""
    _recipe(work, threads, start, new_codes, device).gpt(minutes, _sentences(exclude))


@app.command()
def clvp(
    work: Work = _WORK,
    minutes: Minutes = 10.0,
    threads: int = 1,
    start: From = "",
    new_codes: NewCodes = False,
    device: Device = "cpu",
    exclude: Exclude = None,
) -> None:
    """Stage 5: the ranking of candidates."""
    _recipe(work, threads, start, new_codes, device).clvp(minutes, _sentences(exclude))


@app.command()
def ctc(
    work: Work = _WORK,
    minutes: Minutes = 30.0,
    threads: int = 1,
    start: From = "",
    new_codes: NewCodes = False,
    device: Device = "cpu",
    exclude: Exclude = None,
) -> None:
    """Stage 5, too: the recogniser of codes, which ranks candidates."""
    _recipe(work, threads, start, new_codes, device).ctc(minutes, _sentences(exclude))


@app.command()
def vocoder(
    work: Work = _WORK,
    minutes: Minutes = 12.0,
    adversary_after: Annotated[float, typer.Option(help="Share of the time after which the adversary joins.")] = 1.0,
    threads: int = 1,
    start: From = "",
    device: Device = "cpu",
) -> None:
    """Stage 6: the vocoder; needs only stage 1."""
    _recipe(work, threads, start, device=device).vocoder(minutes, adversary_after)


@app.command()
def decoder(
    work: Work = _WORK,
    minutes: Minutes = 40.0,
    threads: int = 1,
    per_voice: PerVoice = 24,
    per_warp: PerWarp = 2,
    start: From = "",
    device: Device = "cpu",
    exclude: Exclude = None,
) -> None:
    """Stage 7: latents to mel; run again after the autoregressive model has changed."""
    _recipe(work, threads, start, device=device).decoder(minutes, _sentences(exclude), per_voice, per_warp)


@app.command()
def stream(
    work: Work = _WORK,
    minutes: Minutes = 60.0,
    joint_after: Annotated[float, typer.Option(help="Share of the time after which the vocoder joins.")] = 0.3,
    threads: int = 1,
    per_voice: PerVoice = 24,
    per_warp: PerWarp = 1,
    start: From = "",
    device: Device = "cpu",
    exclude: Exclude = None,
) -> None:
    """Stage 8: latents straight to sound, with the vocoder; from the final autoregressive model."""
    recipe = _recipe(work, threads, start, device=device)
    recipe.stream(minutes, joint_after, _sentences(exclude), per_voice, per_warp)


@app.command()
def pack(
    target: Path,
    work: Work = _WORK,
    speech_hours: Annotated[float, typer.Option(help="Hours of speech to pack as Opus, 16 MB each.")] = 0.0,
) -> None:
    """Put what another machine needs to go on into a folder: the discrete VAE, all codes, some speech."""
    sizes = _recipe(work).pack(target, speech_hours)
    typer.echo(f"{target}: codes {sizes[0] / 1e6:.2f} MB, speech {sizes[1] / 1e6:.2f} MB")


@app.command()
def unpack(source: Path, work: Work = _WORK) -> None:
    """Go on from a folder that `train pack` wrote."""
    typer.echo(f"{work}: {_recipe(work).unpack(source)} clips")


@app.command()
def weights(folder: Path, work: Work = _WORK) -> None:
    """Write the weights of all stages trained so far, float16, for --from."""
    typer.echo(f"{folder}: {', '.join(_recipe(work).weights(folder)) or 'nothing is trained yet'}")


@app.command()
def export(
    folder: Path, work: Work = _WORK, start: From = "", name: str = "bundled-en", exclude: Exclude = None
) -> None:
    """Stage 9: the model directory; of stages without a checkpoint, what --from has."""
    size = _recipe(work, start=start).export(folder, name, _sentences(exclude))
    typer.echo(f"{folder}: {size / 1e6:.2f} MB")
