"""Stage 8: latents to mel for streaming, by a small front that regresses the mel and looks hardly ahead.

It goes with the vocoder of stage 6, whose weights it shares. Being a regression, it sounds flatter than the diffusion.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.audio.mel import denormalize_mel
from tutortoietts.core.config import StreamVocosConfig
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.stream_vocos import StreamFront
from tutortoietts.train.ahead import batches
from tutortoietts.train.decoder import GPU_ROWS, UNIT_CODES, UNIT_FRAMES, Pair
from tutortoietts.train.gpt import References
from tutortoietts.train.log import Log
from tutortoietts.train.optim import State, Trainer, warm

CONFIG = StreamVocosConfig()
CROPS = ((2, 32), (4, 16), (7, 9))  # units of 17 codes, rows a batch
SPEAKER_LATENTS = 16  # of every speaker, from different references


@torch.no_grad()
def speaker_latents(model: Autoregressive, references: References, names: set[str], seed: int = 0) -> dict[str, Tensor]:
    """Return the speaker latents of several references of each speaker: name -> (SPEAKER_LATENTS, D)."""
    rng = random.Random(seed)
    return {
        name: torch.cat([model.conditioning(references.draw(name, rng)[None]) for _ in range(SPEAKER_LATENTS)])
        for name in sorted(names)
    }


def batch(
    pairs: list[Pair], speakers: dict[str, Tensor], rng: random.Random, units: int, rows: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Crop pairs that are long enough: latents (B, S, D), speaker (B, D), mel (B, 100, F)."""
    latents, mels, voices = [], [], []
    for pair in rng.choices(pairs, k=rows):
        at = rng.randrange((len(pair.latents) - units * UNIT_CODES) // UNIT_CODES + 1)
        mel = pair.mel[:, at * UNIT_FRAMES : (at + units) * UNIT_FRAMES]
        mels.append(F.pad(mel, (0, units * UNIT_FRAMES - mel.shape[1]), value=-1.0))
        latents.append(pair.latents[at * UNIT_CODES : (at + units) * UNIT_CODES])
        voices.append(rng.choice(speakers[pair.speaker]))
    return torch.stack(latents), torch.stack(voices), torch.stack(mels).float()


def train(
    pairs: list[Pair],
    speakers: dict[str, Tensor],
    path: Path,
    minutes: float,
    log: Log,
    config: StreamVocosConfig = CONFIG,
    start: State | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> None:
    """Train for ``minutes`` in all, going on from ``path`` if it exists, else from the weights ``start``."""
    torch.manual_seed(seed)
    model = StreamFront(config)
    if start:
        warm(model, start)
    trainer = Trainer(nn.ModuleDict({"model": model}).to(device), path, minutes, rate=3e-3)
    long = {units: [pair for pair in pairs if len(pair.latents) >= units * UNIT_CODES] for units, _ in CROPS}
    sizes = [size for size in CROPS if long[size[0]]]
    more = 1 if device == "cpu" else GPU_ROWS

    def make(rng: random.Random) -> tuple[Tensor, Tensor, Tensor]:
        units, rows = rng.choice(sizes)
        return batch(long[units], speakers, rng, units, rows * more)

    for made_ahead in batches(make, trainer.steps, device):
        if trainer.progress >= 1:
            break
        latents, voices, mel = (part.to(device) for part in made_ahead)
        made = model(latents, voices)[..., : mel.shape[-1]].float()
        loss = (made - mel[..., : made.shape[-1]]).abs().mean()
        norm = trainer.step(loss)
        if not math.isfinite(norm):
            raise FloatingPointError(f"the gradient is {norm} at step {trainer.steps}: lower the learning rate")
        if trainer.steps % 50 == 0:
            nats = float(loss.detach() * (denormalize_mel(mel.new_ones(())) - denormalize_mel(mel.new_zeros(()))))
            log(step=trainer.steps, progress=trainer.progress, norm=norm, nats=nats)
    trainer.save()
