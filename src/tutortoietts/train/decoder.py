"""Stage 7: latents to mel, by diffusion that starts from its own regression.

`mel_head` learns the mean mel of the aligned latents, its low bands before all: the harmonics there are the pitch, and
while they are blurred every speaker comes out at one of a few pitches. The diffusion learns to remove noise, most of
its steps at the low noise from which a shallow start begins: there half of the work is done, and few steps suffice.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.audio.mel import diffusion_mel, normalize_mel
from tutortoietts.core.config import DiffusionConfig
from tutortoietts.engine.denoise import mel_frames
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.diffusion import Diffusion
from tutortoietts.train.ahead import batches
from tutortoietts.train.data import read_shard
from tutortoietts.train.features import wav24
from tutortoietts.train.gpt import Clips, References, hidden
from tutortoietts.train.log import Log
from tutortoietts.train.optim import State, Trainer, warm

# 17 codes last 74.01 mel frames: crops start at multiples of 17, so that codes and frames stay aligned.
UNIT_CODES, UNIT_FRAMES = 17, 74
CROPS = ((2, 24), (4, 12), (7, 7))  # units of 17 codes, rows a batch
GPU_ROWS = 8  # times as many rows where a GPU is to be kept busy
PITCH_BANDS, PITCH_WEIGHT = 30, 2.0  # up to 1 kHz, and how much more they weigh in the regressed mel
EQUALISED = 0.5  # share of speakers of a batch that are heard through another microphone, as it were
SHALLOW = 700  # trained steps below this get most of the training
REFERENCE_FRAMES = 400  # 102 400 samples at 24 kHz


@dataclass(frozen=True, slots=True)
class Pair:
    """``latents`` (S, D) bfloat16 and the normalised mel (100, F) float16 of the same clip."""

    speaker: str
    latents: Tensor
    mel: Tensor


class Mels:
    """Normalised mels (100, F) float16 of true speech by speaker, and references cut from them."""

    def __init__(self, mels: Iterable[tuple[str, Tensor]]) -> None:
        self._by_speaker: dict[str, list[Tensor]] = {}
        for speaker, mel in mels:
            self._by_speaker.setdefault(speaker, []).append(mel)

    def reference(self, speaker: str, rng: random.Random) -> Tensor:
        """Return (1, 100, REFERENCE_FRAMES): clips of ``speaker`` joined and cut."""
        parts: list[Tensor] = []
        while sum(p.shape[1] for p in parts) < REFERENCE_FRAMES:
            parts.append(rng.choice(self._by_speaker[speaker]))
        return torch.cat(parts, 1)[None, :, :REFERENCE_FRAMES]


def spoken(speech: list[Path], clips: Clips) -> list[tuple[int, Tensor]]:
    """Return speech that ``clips`` knows, shortest first: (number in ``clips``, normalised mel (100, F) float16)."""
    waves = {(c.speaker, c.text): wav24(c) for path in speech for c in read_shard(path)}
    known = [n for n, (c, _) in enumerate(clips.items) if (c.speaker, c.text) in waves]
    known.sort(key=clips.length)
    found = []
    for n in known:
        clip = clips.items[n][0]
        frames, wave = mel_frames(len(clip.codes)), waves[clip.speaker, clip.text]
        mel = diffusion_mel(F.pad(wave, (0, max(0, frames * 256 - len(wave))))[None])[0, :, :frames]
        found.append((n, normalize_mel(mel).half()))
    return found


def true_mels(speech: list[Path], clips: Clips) -> Mels:
    """Return the mels of every clip in ``speech`` that ``clips`` knows; no model is run."""
    return Mels((clips.items[n][0].speaker, mel) for n, mel in spoken(speech, clips))


@torch.no_grad()
def make_pairs(
    speech: list[Path], clips: Clips, model: Autoregressive, references: References, seed: int = 0
) -> list[Pair]:
    """Make latents of every clip in ``speech`` that ``clips`` knows, from its true codes, with its true mel."""
    known, rng, pairs = spoken(speech, clips), random.Random(seed), list[Pair]()
    for start in range(0, len(known), 32):
        chosen = known[start : start + 32]
        batch = clips.batch([n for n, _ in chosen], references, rng).to(model.device)
        sizes = [len(clips.items[n][0].codes) + 1 for n, _ in chosen]
        rows = torch.split(hidden(model, batch)[batch.code_at], sizes)
        for (n, mel), latents in zip(chosen, rows, strict=True):
            pairs.append(Pair(clips.items[n][0].speaker, latents[:-1].cpu().clone(), mel))
    return pairs


def equaliser(rng: random.Random) -> Tensor:
    """Return (100, 1) to add to a normalised mel: a smooth random curve over the bands, some decibels up or down."""
    bands = torch.arange(100) / 100
    curve = torch.zeros(100)
    for k in range(7):
        curve += rng.gauss(0, 0.08 / (1 + 0.3 * k)) * torch.cos(math.pi * (k * bands + 2 * rng.random()))
    return curve[:, None]


class Pairs:
    """Random crops of pairs, and reference mels of their speakers; ``more`` times the usual rows a batch."""

    def __init__(self, pairs: list[Pair], more: int = 1) -> None:
        self.pairs, self.more = pairs, more
        self.mels = Mels((pair.speaker, pair.mel) for pair in pairs)
        self._long = {units: [p for p in pairs if len(p.latents) >= units * UNIT_CODES] for units, _ in CROPS}

    def batch(self, rng: random.Random) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw latents (B, S, D), mel (B, 100, F), reference (R, 1, 100, T), and each row's reference (B,).

        Some speakers have a random equaliser over reference and mels alike: colour must be taken from the reference,
        and what is no colour, the pitch, be known whatever the colour, of speakers that training never heard too.
        """
        units, rows = CROPS[rng.choices(range(len(CROPS)), (0.4, 0.4, 0.2))[0]]
        latents, mels, names = [], [], []
        for pair in rng.choices(self._long[units], k=rows * self.more):
            at = rng.randrange((len(pair.latents) - units * UNIT_CODES) // UNIT_CODES + 1)
            mel = pair.mel[:, at * UNIT_FRAMES : (at + units) * UNIT_FRAMES]
            mels.append(F.pad(mel, (0, units * UNIT_FRAMES - mel.shape[1]), value=-1.0))
            latents.append(pair.latents[at * UNIT_CODES : (at + units) * UNIT_CODES])
            names.append(pair.speaker)
        known = sorted(set(names))
        references = torch.stack([self.mels.reference(name, rng) for name in known]).float()
        which = torch.tensor([known.index(name) for name in names])
        curves = torch.stack([equaliser(rng) * (rng.random() < EQUALISED) for _ in known])
        mel = (torch.stack(mels).float() + curves[which]).clamp(-1, 1)
        return torch.stack(latents), mel, (references + curves[:, None]).clamp(-1, 1), which


def alpha_sigma(step: Tensor) -> tuple[Tensor, Tensor]:
    """Return signal and noise scales (B, 1, 1) at the trained step (B,), float: the schedule's continuous form."""
    t = (step + 1) / 4000
    alpha = torch.exp(-0.25 * t.square() * 19.9 - 0.05 * t)
    return alpha[:, None, None], (1 - alpha.square()).sqrt()[:, None, None]


def losses(
    model: Diffusion, batch: tuple[Tensor, Tensor, Tensor, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    dtype, device = model.mel_head.weight.dtype, model.mel_head.weight.device
    latents, mel, references, which = (part.to(device) for part in batch)
    speaker = model.conditioning(references.to(dtype))[which]
    aligned = model.align(latents.to(dtype), speaker, mel.shape[-1])
    regressed = model.regress(aligned)
    rows = len(mel)
    shallow = torch.rand(rows, generator=generator) < 0.65
    step = torch.rand(rows, generator=generator) * torch.where(shallow, float(SHALLOW), 3999.0)
    step = step.to(device)
    alpha, sigma = alpha_sigma(step)
    noise = torch.randn(mel.shape, generator=generator).to(device)
    free = (torch.rand(rows, 1, 1, generator=generator) < 0.1).to(device)
    given = torch.where(free, model.unconditioned(mel.shape[-1], rows), aligned)
    estimate = model(alpha * mel + sigma * noise, step, given)[:, : mel.shape[1]]
    error = (estimate - noise).square().mean((1, 2))
    snr = (alpha / sigma).square()[:, 0, 0]
    clean = (sigma / alpha * (estimate - noise)).abs().mean((1, 2))
    near = (snr > 0.5).float()
    return {
        "regress": (regressed - mel).abs().mean(),
        "pitch": (regressed - mel)[:, :PITCH_BANDS].abs().mean(),
        "noise": (error * (5 / snr).clamp(max=1)).mean(),
        "clean": (clean * near).sum() / near.sum().clamp(min=1),
    }


def train(
    pairs: Pairs,
    config: DiffusionConfig,
    path: Path,
    minutes: float,
    log: Log,
    start: State | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> None:
    """Train for ``minutes`` in all, going on from ``path`` if it exists, else from the weights ``start``."""
    torch.manual_seed(seed)
    model = Diffusion(config)
    if start:
        warm(model, start)
    trainer = Trainer(nn.ModuleDict({"model": model}).to(device), path, minutes, rate=1.2e-3)
    generator = torch.Generator().manual_seed(trainer.steps)
    for batch in batches(pairs.batch, trainer.steps, device):
        if trainer.progress >= 1:
            break
        parts = losses(model, batch, generator)
        norm = trainer.step(4 * parts["regress"] + PITCH_WEIGHT * parts["pitch"] + parts["noise"] + 2 * parts["clean"])
        if not math.isfinite(norm):
            raise FloatingPointError(f"the gradient is {norm} at step {trainer.steps}: lower the learning rate")
        if trainer.steps % 50 == 0:
            log(
                step=trainer.steps,
                progress=trainer.progress,
                norm=norm,
                **{k: float(v.detach()) for k, v in parts.items()},
            )
    trainer.save()
