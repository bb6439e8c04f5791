"""Stage 5: CLVP, which ranks candidates: does this text go with these codes?

Contrastive over a batch (Radford et al., 2021). Beside other clips' codes each text must reject its own codes
damaged as a decoder damages them: a stretch left out, said twice, taken from another clip, or the end missing.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.config import ClvpConfig
from tutortoietts.models.clvp import Clvp
from tutortoietts.train.gpt import Clips
from tutortoietts.train.log import Log
from tutortoietts.train.optim import Trainer

ROWS = 96


def damage(codes: npt.NDArray[np.int16], other: npt.NDArray[np.int16], rng: random.Random) -> npt.NDArray[np.int16]:
    """Return ``codes`` with one fault of a decoder's kind, a few codes long."""
    size = len(codes)
    span = min(max(3, size // 3), rng.randrange(4, 16))
    at = rng.randrange(max(1, size - span))
    kind = rng.randrange(4)
    if kind == 0:
        return np.concatenate([codes[:at], codes[at + span :]])
    if kind == 1:
        return np.concatenate([codes[: at + span], codes[at:]])
    if kind == 2:
        start = rng.randrange(max(1, len(other) - span))
        return np.concatenate([codes[:at], other[start : start + span], codes[at + span :]])
    return codes[: max(3, size - span)]


def padded(rows: list[npt.NDArray[np.int16]]) -> tuple[Tensor, Tensor]:
    """Pad rows with 0 -> (B, L) int64, and their lengths (B,)."""
    lengths = torch.tensor([len(r) for r in rows])
    out = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.from_numpy(row.astype(np.int64))
    return out, lengths


def batch(clips: Clips, chosen: list[int], rng: random.Random) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Make padded texts (B, T), each with its stop token, and padded codes (2 B, S): true, then damaged."""
    rows = [clips.items[n] for n in chosen]
    codes = [clip.codes for clip, _ in rows]
    damaged = [damage(c, codes[rng.randrange(len(codes))], rng) for c in codes]
    return padded([np.append(ids, 0) for _, ids in rows]), padded(codes + damaged)


def losses(model: Clvp, clips: Clips, chosen: list[int], rng: random.Random) -> dict[str, Tensor]:
    (text, text_lengths), (codes, code_lengths) = batch(clips, chosen, rng)
    texts = model.encode_text(text, text_lengths).float()
    spoken = model.encode_codes(codes, code_lengths).float()
    scores = texts @ spoken.T * model.temperature.float().exp()
    right = torch.arange(len(texts))
    return {
        "loss": F.cross_entropy(scores, right) + 0.5 * F.cross_entropy(scores[:, : len(texts)].T, right),
        "right": (scores.argmax(1) == right).float().mean(),
        "undamaged": (scores.diagonal() > scores.diagonal(len(texts))).float().mean(),
    }


def train(
    clips: Clips, held_out: Clips, config: ClvpConfig, path: Path, minutes: float, log: Log, seed: int = 0
) -> None:
    """Train for ``minutes`` in all, going on from ``path`` if it exists."""
    torch.manual_seed(seed)
    model = Clvp(config)
    trainer = Trainer(nn.ModuleDict({"model": model}), path, minutes, rate=1e-3)
    rng = random.Random(trainer.steps)
    while trainer.progress < 1:
        # rows of about equal length: no padding to speak of, and negatives that length alone does not give away
        pool = sorted(rng.sample(range(len(clips.items)), min(24 * ROWS, len(clips.items))), key=clips.length)
        batches = [pool[i : i + ROWS] for i in range(0, len(pool) - ROWS + 1, ROWS)]
        rng.shuffle(batches)
        for chosen in batches:
            parts = losses(model, clips, chosen, rng)
            trainer.step(parts["loss"])
            if trainer.steps % 50 == 0:
                log(step=trainer.steps, progress=trainer.progress, **{k: float(v.detach()) for k, v in parts.items()})
            if trainer.progress >= 1:
                break
    trainer.use_averaged()
    with torch.no_grad():
        parts = losses(model, held_out, list(range(min(ROWS, len(held_out.items)))), rng)
    log(step=trainer.steps, **{f"val_{k}": float(v) for k, v in parts.items()})
    trainer.save()
