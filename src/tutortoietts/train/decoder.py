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
from tutortoietts.train.data import read_shard
from tutortoietts.train.gpt import Clips, References, hidden
from tutortoietts.train.log import Log
from tutortoietts.train.optim import State, Trainer, warm
from tutortoietts.train.ragged import Ragged
from tutortoietts.train.vocoder import HOP

# 17 codes last 74.01 mel frames: crops start at multiples of 17, so that codes and frames stay aligned.
UNIT_CODES, UNIT_FRAMES = 17, 74
CROPS = ((2, 24), (4, 12), (7, 7))  # units of 17 codes, rows a batch
CROP_SHARES = (0.4, 0.4, 0.2)  # of the batches
GPU_ROWS = 8  # times as many rows where a GPU is to be kept busy
PITCH_BANDS, PITCH_WEIGHT = 30, 2.0  # up to 1 kHz, and how much more they weigh in the regressed mel
EQUALISED = 0.5  # share of speakers of a batch that are heard through another microphone, as it were
SHALLOW = 700  # trained steps below this get most of the training
REFERENCE_FRAMES = 400  # 102 400 samples at 24 kHz
POOL = 24  # references of a speaker to choose from


@dataclass(frozen=True, slots=True)
class Pair:
    """``latents`` (S, D) bfloat16, normalised mel (100, F) float16 and samples (F, 256) int16 of the same clip."""

    speaker: str
    text: str
    latents: Tensor
    mel: Tensor
    samples: Tensor


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


def spoken(speech: list[Path], clips: Clips) -> list[tuple[int, Tensor, Tensor]]:
    """Return speech that ``clips`` knows, shortest first: number in ``clips``, mel and samples as in a `Pair`."""
    waves = {(c.speaker, c.text): torch.from_numpy(c.samples) for path in speech for c in read_shard(path)}
    known = [n for n, (c, _) in enumerate(clips.items) if (c.speaker, c.text) in waves]
    known.sort(key=clips.length)
    found = []
    for n in known:
        clip = clips.items[n][0]
        frames, wave = mel_frames(len(clip.codes)), waves[clip.speaker, clip.text]
        wave = F.pad(wave, (0, max(0, frames * HOP - len(wave))))
        mel = diffusion_mel(wave[None].float() / 32768)[0, :, :frames]
        found.append((n, normalize_mel(mel).half(), wave[: frames * HOP].view(frames, HOP)))
    return found


def true_mels(speech: list[Path], clips: Clips) -> Mels:
    """Return the mels of every clip in ``speech`` that ``clips`` knows; no model is run."""
    return Mels((clips.items[n][0].speaker, mel) for n, mel, _ in spoken(speech, clips))


@torch.no_grad()
def make_pairs(
    speech: list[Path], clips: Clips, model: Autoregressive, references: References, seed: int = 0
) -> list[Pair]:
    """Make latents of every clip in ``speech`` that ``clips`` knows, from its true codes, with its true mel."""
    known, rng, pairs = spoken(speech, clips), random.Random(seed), list[Pair]()
    for start in range(0, len(known), 32):
        chosen = known[start : start + 32]
        batch = clips.batch([n for n, _, _ in chosen], references, rng)
        sizes = [len(clips.items[n][0].codes) + 1 for n, _, _ in chosen]
        rows = torch.split(hidden(model, batch)[batch.code_at], sizes)
        for (n, mel, samples), latents in zip(chosen, rows, strict=True):
            clip = clips.items[n][0]
            pairs.append(Pair(clip.speaker, clip.text, latents[:-1].cpu().clone(), mel, samples))
    return pairs


def equalisers(count: int, generator: torch.Generator) -> Tensor:
    """Return (count, 100, 1) to add to normalised mels: smooth random curves over the bands, some decibels up or down.

    One in two is flat.
    """
    order, bands = torch.arange(7)[:, None], torch.arange(100) / 100
    size = torch.randn(count, 7, 1, generator=generator) * 0.08 / (1 + 0.3 * order)
    phase = 2 * torch.rand(count, 7, 1, generator=generator)
    heard = torch.rand(count, 1, generator=generator) < EQUALISED
    return ((size * torch.cos(math.pi * (order * bands + phase))).sum(1) * heard)[..., None]


class Pairs:
    """Random crops of pairs, and reference mels of their speakers, on a device."""

    def __init__(self, pairs: list[Pair], device: str = "cpu", seed: int = 0) -> None:
        self.pairs, self.device = pairs, torch.device(device)
        self.more = 1 if device == "cpu" else GPU_ROWS
        self.names = sorted({pair.speaker for pair in pairs})
        self.speaker = torch.tensor([self.names.index(pair.speaker) for pair in pairs])
        self.latents = Ragged([pair.latents for pair in pairs], device)
        self.mels = Ragged([pair.mel.T for pair in pairs], device)
        self.samples = Ragged([pair.samples for pair in pairs], device)
        by_speaker, rng = Mels((pair.speaker, pair.mel) for pair in pairs), random.Random(seed)
        drawn = [torch.stack([by_speaker.reference(name, rng) for _ in range(POOL)]) for name in self.names]
        self.references = torch.stack(drawn).to(device)  # (speakers, POOL, 1, 100, T)
        self._long = [(self.latents.lengths >= units * UNIT_CODES).nonzero()[:, 0] for units, _ in CROPS]

    def crops(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw crops of one size: latents (B, S, D), mel (B, 100, F), speaker (B,), a number in ``names``."""
        chances = torch.tensor([share * bool(len(long)) for share, long in zip(CROP_SHARES, self._long, strict=True)])
        size = int(chances.multinomial(1, generator=generator))
        latents, mel, _, speaker = self._drawn(size, CROPS[size][1] * self.more, generator)
        return latents, mel, speaker

    def heard(self, generator: torch.Generator, rows: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw crops of the shortest size: latents, mel, samples (B, F * HOP) in -1..1, and speaker."""
        latents, mel, frames, speaker = self._drawn(0, rows * self.more, generator)
        which, first = frames
        samples = self.samples.crops(which, first, mel.shape[-1]).flatten(1).float() / 32768
        return latents, mel, samples, speaker

    def _drawn(
        self, size: int, rows: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor], Tensor]:
        """Draw latents, mel, (clips, first frames) and speakers."""
        units, long = CROPS[size][0], self._long[size]
        which = long[torch.randint(len(long), (rows,), generator=generator)]
        room = self.latents.lengths[which] // UNIT_CODES - units + 1
        at = (torch.rand(len(which), generator=generator) * room).long()
        latents = self.latents.crops(which, at * UNIT_CODES, units * UNIT_CODES)
        mel = self.mels.crops(which, at * UNIT_FRAMES, units * UNIT_FRAMES).transpose(1, 2).float()
        return latents, mel, (which, at * UNIT_FRAMES), self.speaker[which]

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw latents (B, S, D), mel (B, 100, F), reference (R, 1, 100, T), and each row's reference (B,).

        Some speakers have a random equaliser over reference and mels alike: colour must be taken from the reference,
        and what is no colour, the pitch, be known whatever the colour, of speakers that training never heard too.
        """
        latents, mel, speaker = self.crops(generator)
        known, which = torch.unique(speaker, return_inverse=True)
        pick = torch.randint(POOL, known.shape, generator=generator)
        references = self.references[known.to(self.device), pick.to(self.device)].float()
        curves = equalisers(len(known), generator).to(self.device)
        which = which.to(self.device)
        return latents, (mel + curves[which]).clamp(-1, 1), (references + curves[:, None]).clamp(-1, 1), which


def alpha_sigma(step: Tensor) -> tuple[Tensor, Tensor]:
    """Return signal and noise scales (B, 1, 1) at the trained step (B,), float: the schedule's continuous form."""
    t = (step + 1) / 4000
    alpha = torch.exp(-0.25 * t.square() * 19.9 - 0.05 * t)
    return alpha[:, None, None], (1 - alpha.square()).sqrt()[:, None, None]


def losses(
    model: Diffusion, batch: tuple[Tensor, Tensor, Tensor, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    dtype, device = model.mel_head.weight.dtype, model.mel_head.weight.device
    latents, mel, references, which = batch
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
    seed: int = 0,
) -> None:
    """Train for ``minutes`` in all, going on from ``path`` if it exists, else from the weights ``start``."""
    torch.manual_seed(seed)
    model = Diffusion(config)
    if start:
        warm(model, start)
    trainer = Trainer(nn.ModuleDict({"model": model}).to(pairs.device), path, minutes, rate=1.2e-3)
    generator = torch.Generator().manual_seed(trainer.steps)
    while trainer.progress < 1:
        parts = losses(model, pairs.batch(generator), generator)
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
