"""Stage 9: checkpoints to a model directory that ``TextToSpeech(model=DIR)`` loads."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from pathlib import Path

import torch
from torch import Tensor

from tutortoietts.core.config import ModelSpec
from tutortoietts.core.types import Voice
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.diffusion import Diffusion
from tutortoietts.train.decoder import Mels
from tutortoietts.train.gpt import References
from tutortoietts.voices.files import write_voice
from tutortoietts.weights.load import save_state


def averaged(checkpoint: Path, part: str = "model") -> dict[str, Tensor]:
    """Return the averaged weights of one module of a training checkpoint, float32, under the module's own keys."""
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")["averaged"]
    prefix = f"{part}."
    return {k.removeprefix(prefix): v.float() for k, v in state.items() if k.startswith(prefix)}


def write_part(state: dict[str, Tensor], path: Path) -> None:
    """Write a state dict as float16 safetensors; raises ValueError for a value that float16 cannot hold."""
    half = {k: v.half() for k, v in state.items()}
    broken = [k for k, v in half.items() if not torch.isfinite(v).all()]
    if broken:
        raise ValueError(f"{path.name}: {broken[0]} has values that float16 cannot hold")
    save_state(path, half)


def fingerprint(*states: dict[str, Tensor]) -> str:
    """Return eight hexadecimal digits of the weights, which tag voices: other weights read other latents."""
    digest = hashlib.sha256()
    for state in states:
        for key in sorted(state):
            digest.update(key.encode() + state[key].half().numpy().tobytes())
    return digest.hexdigest()[:8]


@torch.no_grad()
def make_voice(
    name: str,
    model_id: str,
    gpt: Autoregressive,
    diffusion: Diffusion,
    references: References,
    mels: Mels,
    clips: int = 12,
) -> Voice:
    """Return the latents of a training speaker: means over ``clips`` six-second references."""
    rng = random.Random(0)
    speaker = torch.cat([gpt.conditioning(references.draw(name, rng)[None]) for _ in range(clips)]).mean(
        0, keepdim=True
    )
    tones = [diffusion.conditioning(mels.reference(name, rng)[None].float()) for _ in range(clips)]
    return Voice(name=name, model=model_id, speaker=speaker, diffusion=torch.cat(tones).mean(0, keepdim=True))


def export(
    folder: Path,
    spec: ModelSpec,
    parts: dict[str, dict[str, Tensor]],
    tokenizer: Path,
    norms: Path,
    voices: list[Voice],
    notice: str,
) -> int:
    """Write the directory, without whatever model was there before; returns its weights' size in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "model.json").exists():
        for old in (*folder.glob("*.safetensors"), *folder.glob("voices/*.safetensors")):
            old.unlink()
    for name, state in parts.items():
        write_part(state, folder / f"{name}.safetensors")
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    shutil.copyfile(norms, folder / "mel_norms.safetensors")
    (folder / "NOTICE.md").write_text(notice, encoding="utf-8")
    (folder / "model.json").write_text(json.dumps(spec.to_dict(), indent=1) + "\n")
    for voice in voices:
        write_voice(folder / "voices" / f"{voice.name}.safetensors", voice)
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
