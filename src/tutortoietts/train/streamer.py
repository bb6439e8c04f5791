"""Stage 8: latents to mel for streaming, by a small front that regresses the mel and looks hardly ahead.

It goes with the vocoder of stage 6, whose weights it shares. Being a regression, it sounds flatter than the diffusion.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

import torch
from torch import Tensor, nn

from tutortoietts.audio.mel import denormalize_mel
from tutortoietts.core.config import StreamVocosConfig
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.stream_vocos import StreamFront
from tutortoietts.train.decoder import Pairs
from tutortoietts.train.gpt import References
from tutortoietts.train.log import Log
from tutortoietts.train.optim import State, Trainer, warm

CONFIG = StreamVocosConfig(dim=160, intermediate_dim=448, layers=3)
SPEAKER_LATENTS = 16  # of every speaker, from different references


@torch.no_grad()
def speaker_latents(model: Autoregressive, references: References, names: set[str], seed: int = 0) -> dict[str, Tensor]:
    """Return the speaker latents of several references of each speaker: name -> (SPEAKER_LATENTS, D)."""
    rng = random.Random(seed)
    return {
        name: torch.cat([model.conditioning(references.draw(name, rng)[None]) for _ in range(SPEAKER_LATENTS)])
        for name in sorted(names)
    }


def train(
    pairs: Pairs,
    speakers: dict[str, Tensor],
    path: Path,
    minutes: float,
    log: Log,
    config: StreamVocosConfig = CONFIG,
    start: State | None = None,
    seed: int = 0,
) -> None:
    """Train for ``minutes`` in all, going on from ``path`` if it exists, else from the weights ``start``."""
    torch.manual_seed(seed)
    model = StreamFront(config)
    if start:
        warm(model, start)
    trainer = Trainer(nn.ModuleDict({"model": model}).to(pairs.device), path, minutes, rate=3e-3)
    voices = torch.stack([speakers[name] for name in pairs.names]).to(pairs.device)
    generator = torch.Generator().manual_seed(trainer.steps)
    while trainer.progress < 1:
        latents, mel, speaker = pairs.crops(generator)
        heard = torch.randint(voices.shape[1], speaker.shape, generator=generator)
        made = model(latents, voices[speaker.to(voices.device), heard.to(voices.device)])[..., : mel.shape[-1]].float()
        loss = (made - mel[..., : made.shape[-1]]).abs().mean()
        norm = trainer.step(loss)
        if not math.isfinite(norm):
            raise FloatingPointError(f"the gradient is {norm} at step {trainer.steps}: lower the learning rate")
        if trainer.steps % 50 == 0:
            nats = float(loss.detach() * (denormalize_mel(mel.new_ones(())) - denormalize_mel(mel.new_zeros(()))))
            log(step=trainer.steps, progress=trainer.progress, norm=norm, nats=nats)
    trainer.save()
