"""Commands `python -m tortoise.do_tts` and `python -m tortoise.read`, with the arguments of the original's scripts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tutortoietts.cli.common import guarded, new_app, say

if TYPE_CHECKING:
    from tutortoietts.api import TextToSpeech

Voice = Annotated[str, typer.Option(help="Voice to speak with; several, separated by commas, one after the other.")]
Preset = Annotated[str, typer.Option(help="Preset of quality and speed.")]
ModelDir = Annotated[str | None, typer.Option("--model_dir", help="Folder of the public checkpoints.")]
Seed = Annotated[int | None, typer.Option(help="Seed; the same one gives the same sound.")]
Candidates = Annotated[int, typer.Option(help="Number of results to keep.")]
DeepSpeed = Annotated[bool, typer.Option("--use_deepspeed", help="Accepted for compatibility; has no effect.")]
CacheFlag = Annotated[bool, typer.Option("--kv_cache/--no-kv_cache", help="Decode with a cache.")]
Half = Annotated[bool, typer.Option("--half/--no-half", help="Use half precision.")]
Model = Annotated[str, typer.Option(help='Model: "tortoise-v2", "bundled" or a model directory.')]


@guarded
def do_tts(
    text: Annotated[str, typer.Option(help="Text to speak.")] = "The expressiveness of autoregressive transformers is "
    "literally nuts! I absolutely adore them.",
    voice: Voice = "random",
    preset: Preset = "fast",
    output_path: Annotated[Path, typer.Option("--output_path", help="Folder for the results.")] = Path("results"),
    model_dir: ModelDir = None,
    candidates: Candidates = 3,
    seed: Seed = None,
    cvvp_amount: Annotated[float, typer.Option("--cvvp_amount", help="Weight of CVVP in the ranking, 0 to 1.")] = 0.0,
    use_deepspeed: DeepSpeed = False,
    kv_cache: CacheFlag = True,
    half: Half = False,
    model: Model = "tortoise-v2",
) -> None:
    """Speak one text into files VOICE_NUMBER_CANDIDATE.wav."""
    tts = _open(model, model_dir, use_deepspeed, kv_cache, half)
    output_path.mkdir(parents=True, exist_ok=True)
    tuning = {"cvvp_amount": cvvp_amount} if cvvp_amount else {}
    for number, name in enumerate(voice.split(",")):
        results = tts.speak_candidates(
            text,
            candidates,
            voice=name.replace("&", "+"),
            preset=preset,
            seed=seed,
            normalize=_normalizes(tts),
            **tuning,  # type: ignore[arg-type]
        )
        for candidate, speech in enumerate(results):
            say(str(speech.save(output_path / f"{name}_{number}_{candidate}.wav")))


@guarded
def read(
    textfile: Annotated[Path, typer.Option(help="File of text to read.")],
    voice: Voice = "random",
    preset: Preset = "standard",
    output_path: Annotated[Path, typer.Option("--output_path", help="Folder for the results.")] = Path(
        "results/longform"
    ),
    output_name: Annotated[str, typer.Option("--output_name", help="Name of the joined file.")] = "combined.wav",
    model_dir: ModelDir = None,
    seed: Seed = None,
    use_deepspeed: DeepSpeed = False,
    kv_cache: CacheFlag = True,
    half: Half = False,
    model: Model = "tortoise-v2",
) -> None:
    """Read a long text into OUTPUT_PATH/VOICE/NUMBER.wav and one joined file. A "|" in the text starts a new piece."""
    import torch

    from tutortoietts.audio.io import save_audio
    from tutortoietts.cli.inputs import read_text_file
    from tutortoietts.text.split import split_and_recombine_text

    text = read_text_file(textfile)
    pieces = [piece.strip() for piece in text.split("|")] if "|" in text else split_and_recombine_text(text)
    tts = _open(model, model_dir, use_deepspeed, kv_cache, half)
    for name in voice.split(","):
        folder = output_path / name
        folder.mkdir(parents=True, exist_ok=True)
        waves = []
        for number, piece in enumerate(piece for piece in pieces if piece):
            speech = tts.speak(
                piece, voice=name.replace("&", "+"), preset=preset, seed=seed, normalize=_normalizes(tts)
            )
            say(str(speech.save(folder / f"{number}.wav")))
            waves.append(speech.samples)
        say(str(save_audio(folder / output_name, torch.cat(waves), tts.sample_rate)))


def _open(model: str, model_dir: str | None, use_deepspeed: bool, kv_cache: bool, half: bool) -> TextToSpeech:
    from tutortoietts.api import TextToSpeech

    return TextToSpeech(model, models_dir=model_dir, use_deepspeed=use_deepspeed, kv_cache=kv_cache, half=half)


def _normalizes(tts: TextToSpeech) -> bool | None:
    """Return False for the public checkpoints, whose text stays the original's."""
    return False if tts.spec.name == "tortoise-v2" else None


do_tts_app = new_app("Speak one text, as the original's do_tts.")
do_tts_app.command()(do_tts)
read_app = new_app("Read a long text, as the original's read.")
read_app.command()(read)
