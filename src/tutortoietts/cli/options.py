"""The options that several commands share, as dataclasses whose fields become command-line options.

`flatten` turns a command that takes such a dataclass into one whose signature has its fields, which typer reads.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

R = TypeVar("R")


def number(text: str | float) -> float:
    """A number typed by a person. Raises typer.BadParameter, which names it."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number") from None


def whole(text: str | int) -> int:
    """A whole number typed by a person. Raises typer.BadParameter, which names it."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How the models are loaded: the arguments of `TextToSpeech`."""

    model: Annotated[
        str, typer.Option("--model", "-m", help='"bundled", "tortoise-v2" (the public checkpoints) or a directory.')
    ] = "bundled"
    models_dir: Annotated[
        Path | None, typer.Option(help="Where checkpoints lie [default: TORTOISE_MODELS_DIR or the user's cache].")
    ] = None
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps ... [default: the fastest present].")] = (
        None
    )
    half: Annotated[bool, typer.Option("--half/--no-half", help="Short for fp16, on a CPU bf16.")] = False
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16, fp16, int8 or int4.")] = "auto"
    kv_cache: Annotated[
        bool, typer.Option("--kv-cache/--no-kv-cache", help="Keep keys and values while decoding; off is only slower.")
    ] = True
    use_deepspeed: Annotated[
        bool,
        typer.Option("--deepspeed/--no-deepspeed", help="Taken for old commands: a warning, and our own decoding."),
    ] = False
    cpu_offload: Annotated[
        bool, typer.Option("--cpu-offload/--no-cpu-offload", help="Only the working stage on the GPU: less memory.")
    ] = False
    high_vram: Annotated[
        bool | None, typer.Option("--high-vram/--low-vram", help="Keep everything on the GPU, or move stages.")
    ] = None
    autoregressive_batch_size: Annotated[
        int | None, typer.Option(parser=whole, help="Candidates decoded at once [default: as many as fit].")
    ] = None
    vocoder: Annotated[str | None, typer.Option(help="For tortoise-v2: bigvgan_base, bigvgan or univnet.")] = None
    enable_redaction: Annotated[
        bool, typer.Option("--redaction/--no-redaction", help="Cut [bracketed] words from the sound.")
    ] = True
    tokenizer_vocab_file: Annotated[Path | None, typer.Option(help="Another tokenizer file.")] = None
    tokenizer_basic: Annotated[
        bool, typer.Option("--tokenizer-basic", help="Only lower-case the text: for models of other languages.")
    ] = False
    ar_checkpoint: Annotated[Path | None, typer.Option(help="Another autoregressive checkpoint.")] = None
    clvp_checkpoint: Annotated[Path | None, typer.Option(help="Another CLVP checkpoint.")] = None
    diff_checkpoint: Annotated[Path | None, typer.Option(help="Another diffusion checkpoint.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakOptions:
    """What every speaking command asks: where the sound goes, how good it is to be, what is said about it."""

    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", readable=False, help="WAV, FLAC, OGG, Opus or MP3 by its ending; - is WAV on stdout."
        ),
    ] = Path("output.wav")
    preset: Annotated[
        str | None, typer.Option("--preset", "-p", help="Quality against time [default: the model's own].")
    ] = None
    seed: Annotated[int | None, typer.Option(parser=whole, help="The same seed gives the same audio.")] = None
    play: Annotated[bool, typer.Option("--play", help="Play the result; with --streaming as it comes.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no report.")] = False
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False

    def given(self) -> dict[str, Any]:
        """All of them, as the fields of `cli.speak.Job` that they are."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningOptions:
    """How one text is spoken: the tuning arguments of `TextToSpeech.tts`; None leaves the preset's value."""

    num_autoregressive_samples: Annotated[
        int | None, typer.Option(parser=whole, help="Candidates drawn and ranked.")
    ] = None
    temperature: Annotated[
        float | None, typer.Option(parser=number, help="Of drawing codes: lower is steadier, duller.")
    ] = None
    length_penalty: Annotated[
        float | None, typer.Option(parser=number, help="Accepted; only beam search would use it.")
    ] = None
    repetition_penalty: Annotated[
        float | None, typer.Option(parser=number, help="Against repeated codes, from 1 (none).")
    ] = None
    top_p: Annotated[
        float | None, typer.Option(parser=number, help="Draw from the likeliest codes that hold this share.")
    ] = None
    top_k: Annotated[int | None, typer.Option(parser=whole, help="Draw from this many likeliest codes.")] = None
    min_mel_tokens: Annotated[
        int | None, typer.Option(parser=whole, help="Shortest utterance, in codes: no end before.")
    ] = None
    max_mel_tokens: Annotated[
        int | None, typer.Option(parser=whole, help="Longest utterance, in codes of 1/21.5 s.")
    ] = None
    cvvp_amount: Annotated[float | None, typer.Option(parser=number, help="Weight of the CVVP ranking, 0 to 1.")] = None
    diffusion_iterations: Annotated[int | None, typer.Option(parser=whole, help="Steps of the diffusion sampler.")] = (
        None
    )
    cond_free: Annotated[
        bool | None, typer.Option("--cond-free/--no-cond-free", help="Guidance: two forwards a step.")
    ] = None
    cond_free_k: Annotated[float | None, typer.Option(parser=number, help="Strength of the guidance.")] = None
    cond_free_from: Annotated[
        int | None, typer.Option(parser=whole, help="Guide from this trained step on, 3999 (the noisiest) to 0.")
    ] = None
    cond_free_to: Annotated[
        int | None, typer.Option(parser=whole, help="Guide no further than to this trained step.")
    ] = None
    diffusion_temperature: Annotated[
        float | None, typer.Option(parser=number, help="Scale of the starting noise, 0 to 1.")
    ] = None
    sampler: Annotated[
        str | None, typer.Option(help="Diffusion solver: ancestral, ddim, dpm++2m, dpm++2m_sde or unipc.")
    ] = None
    diffusion_spacing: Annotated[
        str | None, typer.Option(help="Of its steps: uniform, logsnr, karras or sinh [default: the sampler's best].")
    ] = None
    diffusion_start: Annotated[
        str | None, typer.Option(help='From "noise", or from the model\'s first guess of the mel: "regressed".')
    ] = None
    diffusion_start_step: Annotated[
        int | None, typer.Option(parser=whole, help="How far that guess is noised again: a trained step, 0 to 3999.")
    ] = None
    calm_rule: Annotated[
        str | None, typer.Option(help='Where long silence ends it: "after_stop", or "anywhere" as the originals.')
    ] = None
    latent_averaging_mode: Annotated[
        int | None,
        typer.Option(
            parser=whole, help="Clips to a voice: 0 one crop a clip, 1 all crops of all clips, 2 the mean by clip."
        ),
    ] = None

    def given(self) -> dict[str, Any]:
        """Only what was set on the command line."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def flatten(command: Callable[..., R]) -> Callable[..., R]:
    """`command` with every dataclass parameter replaced by that dataclass's fields."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, tuple[type, list[str]]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if is_dataclass(kind) and isinstance(kind, type):
            expanded = _field_parameters(kind)
            groups[parameter.name] = (kind, [field.name for field in expanded])
            parameters.extend(expanded)
        else:
            parameters.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def run(**options: Any) -> R:
        for name, (kind, names) in groups.items():
            options[name] = kind(**{field: options.pop(field) for field in names})
        return command(**options)

    signature = inspect.Signature(parameters, return_annotation=hints.get("return"))
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del run.__wrapped__
    return run


def _field_parameters(kind: type) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(field.name, keyword, default=field.default, annotation=hints[field.name])
        for field in fields(kind)
    ]
