"""Stage 8: latents to sound: a small front that regresses the mel and looks hardly ahead, then the vocoder.

First the front alone learns the mean mel; a mean is blurred, and a vocoder makes a buzz of it. So then both learn
together, through the waveform and against the vocoder's adversary: the front may choose one of the mels that are
possible, and the vocoder learns what is to be made of that front's.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import Tensor, nn

from tutortoietts.audio.mel import denormalize_mel
from tutortoietts.core.config import StreamVocosConfig, VocosConfig
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.stream_vocos import StreamFront
from tutortoietts.models.vocos import Vocos
from tutortoietts.train import vocoder
from tutortoietts.train.decoder import PITCH_BANDS, Pairs
from tutortoietts.train.gpt import References
from tutortoietts.train.log import Log
from tutortoietts.train.optim import State, warm
from tutortoietts.train.vocoder import HOP, Duel, blurred
from tutortoietts.weights.load import save_state

CONFIG = StreamVocosConfig(dim=256, intermediate_dim=768, layers=4)
SPEAKER_LATENTS = 16  # of every speaker, from different references
RATE = 8e-4
ROWS, FRAMES = 14, 64  # crops a step that are made sound, and frames of each
TRUE_ROWS = 4  # crops more whose true mel the vocoder is given: it serves decoders too


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
    out: Path,
    minutes: float,
    log: Log,
    joint_after: float = 0.3,
    start: State | None = None,
    vocoder_start: State | None = None,
    adversary: State | None = None,
    configs: tuple[StreamVocosConfig, VocosConfig] = (CONFIG, vocoder.CONFIG),
    seed: int = 0,
) -> None:
    """Train for ``minutes`` in all; the vocoder and its adversary join after that share of the time.

    Goes on from the .ckpt beside ``out`` if it exists, else from these states of front, vocoder and adversary. Writes
    the front to ``out`` and, once it has changed, the vocoder to ``vocoder.safetensors`` beside it.
    """
    torch.manual_seed(seed)
    front, voice = StreamFront(configs[0]), Vocos(configs[1])
    warm(front, start or {})
    warm(voice, vocoder_start or {})
    device = pairs.device.type
    duel = Duel(nn.ModuleDict({"front": front, "vocoder": voice}), out.with_suffix(".ckpt"), minutes, RATE, device)
    keeper = duel.keeper
    if not keeper.steps:
        warm(duel.adversary, adversary or {})
    voices = torch.stack([speakers[name] for name in pairs.names]).to(pairs.device)
    generator = torch.Generator().manual_seed(keeper.steps)
    nats = float(denormalize_mel(torch.ones(())) - denormalize_mel(torch.zeros(())))

    def made(latents: Tensor, speaker: Tensor) -> Tensor:
        heard = torch.randint(voices.shape[1], speaker.shape, generator=generator)
        with torch.autocast(device, torch.bfloat16):
            mel: Tensor = front(latents, voices[speaker.to(voices.device), heard.to(voices.device)])
        return mel.float()

    def distance(mel: Tensor, true: Tensor) -> dict[str, Tensor]:
        error = nats * (mel - true[..., : mel.shape[-1]]).abs()
        return {"front": error.mean(), "pitch": error[:, :PITCH_BANDS].mean()}

    def write() -> None:
        save_state(out, duel.average["front"].state_dict())
        if min(keeper.progress, 1.0) > joint_after:
            save_state(out.with_name("vocoder.safetensors"), duel.average["vocoder"].state_dict())

    while (done := keeper.progress) < 1:
        if done < joint_after:
            latents, mel, speaker = pairs.crops(generator)
            parts = distance(made(latents, speaker), mel)
            loss = parts["front"] + parts["pitch"]
        else:
            latents, mel, samples, speaker = pairs.heard(generator, ROWS + TRUE_ROWS)
            rows = len(latents) * ROWS // (ROWS + TRUE_ROWS)
            regressed = made(latents[:rows], speaker[:rows])
            parts = distance(regressed, mel[:rows])
            first = int(torch.randint(regressed.shape[-1] - FRAMES + 1, (1,), generator=generator))
            window = slice(first, first + FRAMES)
            true_mel, true = denormalize_mel(mel[..., window]), samples[:, HOP * first : HOP * (first + FRAMES)]
            given = denormalize_mel(regressed[..., window].clamp(-1, 1))
            given = torch.cat([given, blurred(true_mel[rows:], generator)])
            with torch.autocast(device, torch.bfloat16):
                wave = voice(given)[:, 0].float()
            sound = duel.losses(wave, true_mel, true, generator)
            parts |= sound | duel.against(wave, true)
            loss = parts["front"] + 0.5 * parts["pitch"] + 2 * sound["mel"] + sound["spectral"] + parts["fooled"]
        norm, saved = duel.step(loss)
        if keeper.steps % 50 == 0:
            log(step=keeper.steps, progress=done, norm=norm, **{k: float(v.detach()) for k, v in parts.items()})
        if saved:
            write()
    keeper.save()
    write()
