"""Stage 7: latents to mel, by diffusion that starts from its own regression.

`mel_head` learns the mean mel of the aligned latents, its low bands before all: the harmonics there are the pitch, and
while they are blurred every speaker comes out at one of a few pitches. The diffusion learns to remove noise, most of
its steps at the low noise from which a shallow start begins: there half of the work is done, and few steps suffice.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.audio.mel import denormalize_mel, diffusion_mel, normalize_mel
from tutortoietts.core.config import DiffusionConfig
from tutortoietts.engine.denoise import mel_frames
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.diffusion import Diffusion
from tutortoietts.sampling import sample
from tutortoietts.train.data import read_shard, write_arrays
from tutortoietts.train.features import wav24
from tutortoietts.train.gpt import Clips, References, hidden
from tutortoietts.train.log import Log
from tutortoietts.train.optim import State, Trainer, warm
from tutortoietts.train.ragged import Ragged

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
MADE_UNITS, MADE_ROWS = 2, 256  # units of 17 codes, and rows, that are made together for a vocoder


@dataclass(frozen=True, slots=True)
class Pair:
    """``latents`` (S, D) bfloat16 and the normalised mel (100, F) float16 of the same clip."""

    speaker: str
    text: str
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
        batch = clips.batch([n for n, _ in chosen], references, rng)
        sizes = [len(clips.items[n][0].codes) + 1 for n, _ in chosen]
        rows = torch.split(hidden(model, batch)[batch.code_at], sizes)
        for (n, mel), latents in zip(chosen, rows, strict=True):
            pairs.append(Pair(clips.items[n][0].speaker, clips.items[n][0].text, latents[:-1].cpu().clone(), mel))
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
        by_speaker, rng = Mels((pair.speaker, pair.mel) for pair in pairs), random.Random(seed)
        drawn = [torch.stack([by_speaker.reference(name, rng) for _ in range(POOL)]) for name in self.names]
        self.references = torch.stack(drawn).to(device)  # (speakers, POOL, 1, 100, T)
        self._long = [(self.latents.lengths >= units * UNIT_CODES).nonzero()[:, 0] for units, _ in CROPS]

    def crops(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw crops of one size: latents (B, S, D), mel (B, 100, F), speaker (B,), a number in ``names``."""
        chances = torch.tensor(
            [share * bool(len(long)) for share, long in zip((0.4, 0.4, 0.2), self._long, strict=True)]
        )
        size = int(chances.multinomial(1, generator=generator))
        units, long = CROPS[size][0], self._long[size]
        which = long[torch.randint(len(long), (CROPS[size][1] * self.more,), generator=generator)]
        room = self.latents.lengths[which] // UNIT_CODES - units + 1
        at = (torch.rand(len(which), generator=generator) * room).long()
        latents = self.latents.crops(which, at * UNIT_CODES, units * UNIT_CODES)
        mel = self.mels.crops(which, at * UNIT_FRAMES, units * UNIT_FRAMES).transpose(1, 2).float()
        return latents, mel, self.speaker[which]

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


@torch.no_grad()
def write_made(pairs: Pairs, model: Diffusion, options: Mapping[str, Any], path: Path) -> None:
    """Write the mels that ``model`` makes of all pairs, as a vocoder will be given them, for `read_made`.

    Half are sampled with ``options`` (a preset's), half regressed. They are made in pieces of equal length, and what
    is left of a clip at its end is not made.
    """
    generator, dtype = torch.Generator().manual_seed(0), model.mel_head.weight.dtype
    found: list[list[Tensor]] = [[] for _ in pairs.pairs]
    clips, firsts = [], []
    for n, length in enumerate(pairs.latents.lengths.tolist()):
        units = range(0, length // UNIT_CODES - MADE_UNITS + 1, MADE_UNITS)
        clips += [n] * len(units)
        firsts += list(units)
    for start in range(0, len(clips), MADE_ROWS):
        which, first = (torch.tensor(x[start : start + MADE_ROWS]) for x in (clips, firsts))
        latents = pairs.latents.crops(which, first * UNIT_CODES, MADE_UNITS * UNIT_CODES).to(dtype)
        pick = torch.randint(POOL, which.shape, generator=generator)
        reference = pairs.references[pairs.speaker[which].to(pairs.device), pick.to(pairs.device)]
        aligned = model.align(latents, model.conditioning(reference.to(dtype)), MADE_UNITS * UNIT_FRAMES)
        regressed = model.regress(aligned)

        def estimate(x: Tensor, step: float, aligned: Tensor = aligned) -> Tensor:
            return model(x, torch.full((1,), step, device=x.device), aligned)  # type: ignore[no-any-return]

        sampled = sample(
            estimate,
            torch.randn(regressed.shape, generator=generator).to(pairs.device),
            options["sampler"],
            options["diffusion_iterations"],
            start=regressed,
            start_step=options["diffusion_start_step"],
            clip=True,
        )
        as_is = (torch.rand(len(which), 1, 1, generator=generator) < 0.5).to(pairs.device)
        mels = denormalize_mel(torch.where(as_is, regressed.clamp(-1, 1), sampled)).half().transpose(1, 2).cpu()
        for n, mel in zip(which.tolist(), mels, strict=True):
            found[n].append(mel)
    kept = [n for n, pieces in enumerate(found) if pieces]
    whole = {n: torch.cat(found[n]) for n in kept}
    meta = [[pairs.pairs[n].speaker, pairs.pairs[n].text, len(whole[n])] for n in kept]
    write_arrays(path, meta, mels=torch.cat([whole[n] for n in kept]).numpy())


def read_made(path: Path) -> dict[tuple[str, str], Tensor]:
    """Return mels in nats (F, 100) float16 of `write_made`, by speaker and text."""
    with np.load(path) as data:
        meta, mels = json.loads(data["meta"].tobytes()), torch.from_numpy(data["mels"])
    parts = torch.split(mels, [frames for _, _, frames in meta])
    return {(speaker, text): part for (speaker, text, _), part in zip(meta, parts, strict=True)}


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
