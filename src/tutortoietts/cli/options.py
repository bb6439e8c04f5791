"""Options that several commands share, as dataclasses whose fields become command-line options.

Options of drawing, diffusion and streaming are declared in `core.options` and `core.streaming`, with type, limits and
help. `flatten` turns a command that takes such a dataclass into one whose signature has its fields, which typer reads.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from tutortoietts.cli.common import MODEL, OTHER, SAMPLING, SPEAKING, STREAMING
from tutortoietts.core.components import public_vocoders
from tutortoietts.core.options import SPEECH, Option
from tutortoietts.core.streaming import STREAM

R = TypeVar("R")


def number(text: str | float) -> float:
    """Parse a number. Raises typer.BadParameter, naming the text."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number") from None


def integer(text: str | int) -> int:
    """Parse an integer. Raises typer.BadParameter, naming the text."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not an integer") from None


def of_panel(panel: str) -> Callable[..., Any]:
    """Return `typer.Option` for options of one panel of the help."""

    def make(*names: str, **rest: Any) -> Any:
        return typer.Option(*names, rich_help_panel=panel, **rest)

    return make


_speaking, _model, _other = of_panel(SPEAKING), of_panel(MODEL), of_panel(OTHER)


AcceptCpml = Annotated[
    bool, _model("--accept-cpml", help="You agree to the licence of xtts-v2 (https://coqui.ai/cpml.txt).")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Options for loading the models: the arguments of `TextToSpeech`."""

    model: Annotated[
        str,
        _model(
            "--model", "-m", help='"bundled", "tortoise-v2" or "xtts-v2" (public checkpoints), or a model directory.'
        ),
    ] = "bundled"
    models_dir: Annotated[
        Path | None,
        _model(help="Folder of public checkpoints [default: TORTOISE_MODELS_DIR, else the user's cache]."),
    ] = None
    accept_cpml: AcceptCpml = False
    device: Annotated[
        str | None, _model(help="Device: cpu, cuda, cuda:1, mps ... [default: the fastest available].")
    ] = None
    half: Annotated[bool, _model("--half/--no-half", help="Short for --precision fp16, on a CPU bf16.")] = False
    precision: Annotated[str, _model(help="Numeric precision: auto, fp32, bf16, fp16, int8 or int4.")] = "auto"
    kv_cache: Annotated[
        bool, _model("--kv-cache/--no-kv-cache", help="Use a key-value cache while decoding; without it, only slower.")
    ] = True
    use_deepspeed: Annotated[
        bool,
        _model("--deepspeed/--no-deepspeed", help="Accepted for compatibility; logs a warning and has no effect."),
    ] = False
    cpu_offload: Annotated[
        bool,
        _model(
            "--cpu-offload/--no-cpu-offload",
            help="Keep only the model that is working on the GPU: slower, needs less GPU memory.",
        ),
    ] = False
    high_vram: Annotated[
        bool | None,
        _model(
            "--high-vram/--low-vram",
            help="Names of other versions: --low-vram is --cpu-offload, --high-vram keeps all models on the GPU.",
        ),
    ] = None
    autoregressive_batch_size: Annotated[
        int | None,
        _model(parser=integer, help="Number of candidates to decode at once [default: as many as fit in memory]."),
    ] = None
    vocoder: Annotated[
        str | None,
        _model(help=f"Vocoder of tortoise-v2: {', '.join(public_vocoders())} [default: {public_vocoders()[0]}]."),
    ] = None
    enable_redaction: Annotated[
        bool,
        _model("--redaction/--no-redaction", help="Use [bracketed] words for prosody, but cut them from the audio."),
    ] = True
    tokenizer_vocab_file: Annotated[Path | None, _model(help="Tokenizer file to use instead of the model's own.")] = (
        None
    )
    tokenizer_basic: Annotated[
        bool, _model("--tokenizer-basic", help="Lower-case the text, nothing more: for models of other languages.")
    ] = False
    ar_checkpoint: Annotated[
        Path | None, _model(help="Autoregressive checkpoint to use instead of the model's own.")
    ] = None
    clvp_checkpoint: Annotated[Path | None, _model(help="CLVP checkpoint to use instead of the model's own.")] = None
    diff_checkpoint: Annotated[Path | None, _model(help="Diffusion checkpoint to use instead of the model's own.")] = (
        None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakOptions:
    """Options of every command that speaks: preset, seed, and where the audio goes."""

    output: Annotated[
        Path,
        _speaking(
            "--output",
            "-o",
            readable=False,
            help="File to write: WAV, FLAC, OGG, Opus or MP3 by its extension; - writes WAV to stdout.",
        ),
    ] = Path("output.wav")
    preset: Annotated[
        str | None, _speaking("--preset", "-p", help="Preset: quality against time [default: the model's own].")
    ] = None
    seed: Annotated[int | None, _speaking(parser=integer, help="Random seed; the same seed gives the same audio.")] = (
        None
    )
    language: Annotated[
        str,
        _speaking(help="Language of the text: en, en-US or en-GB (dates are read by it); xtts-v2 has 17; or auto."),
    ] = "en"
    normalize: Annotated[
        bool | None,
        _speaking(
            "--normalize/--no-normalize",
            help="Say numbers, symbols and abbreviations as a person would; without it the text is left to the model's "
            "own cleaner.",
        ),
    ] = None
    times: Annotated[
        Path | None,
        _speaking(readable=False, help="File for the times of all words, by its extension: json, srt, vtt or lrc."),
    ] = None
    mark: Annotated[
        bool, _speaking("--mark/--no-mark", help='Write "AI-generated speech" as the comment of a file.')
    ] = True
    play: Annotated[bool, _speaking("--play", help="Play the result; with --streaming, while it is made.")] = False
    quiet: Annotated[bool, _other("--quiet", "-q", help="Show no progress and no report.")] = False
    as_json: Annotated[bool, _other("--json", help="Print the result as JSON on stdout.")] = False

    def given(self) -> dict[str, Any]:
        """Return all options as fields of `cli.speak.Job`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Given:
    """Base of options of which None leaves a default."""

    __slots__ = ()

    def given(self) -> dict[str, Any]:
        """Return only what was set on the command line."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in values.items() if value is not None}


_PARSERS: Mapping[type[Any], Callable[[str], Any]] = {int: integer, float: number}


def _parameter(name: str, one: Option, panel: str) -> tuple[str, Any, None]:
    """Return the field of a command-line option: name, annotation, default."""
    words = name.replace("_", "-")
    names = (f"--{words}/--no-{words}",) if one.type is bool else (f"--{words}",)
    limits = f" [{one.limits_text}]" if one.limits_text else ""
    default = f" [default: {one.default}]" if panel == STREAMING and one.default is not None else ""
    made = typer.Option(*names, parser=_PARSERS.get(one.type), help=one.help + limits + default, rich_help_panel=panel)
    return name, Annotated[one.type | None, made], None


def _group(name: str, options: Mapping[str, Option], panel: str) -> type[Given]:
    """Return a dataclass with one command-line option for each declared option."""
    made = [_parameter(key, one, panel) for key, one in options.items()]
    return make_dataclass(name, made, bases=(Given,), frozen=True, kw_only=True)


if TYPE_CHECKING:

    @dataclass(frozen=True)
    class TuningOptions(Given):
        """Options of `core.options.SpeechOptions`; None leaves the preset's value."""

    @dataclass(frozen=True)
    class StreamOptions(Given):
        """Options of `core.streaming.Streaming`; None leaves the default."""

else:
    TuningOptions = _group("TuningOptions", SPEECH, SAMPLING)
    StreamOptions = _group("StreamOptions", STREAM, STREAMING)


def flatten(command: Callable[..., R]) -> Callable[..., R]:
    """Replace every dataclass parameter of a command by that dataclass's fields."""
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
