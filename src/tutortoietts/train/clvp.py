"""Stage 5: CLVP, which ranks candidates: does this text go with these codes?

Contrastive over a batch (Radford et al., 2021). Beside other clips' codes each text must reject its own codes
damaged as a decoder damages them: a stretch left out, said twice, taken from another clip, or the end missing. And
codes must reject their own text with a word changed for another text's, or left out.
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
from tutortoietts.train.ahead import learn
from tutortoietts.train.gpt import Clips
from tutortoietts.train.log import Log
from tutortoietts.train.optim import State, Trainer, warm

ROWS, GPU_ROWS = 96, 8  # rows a batch, and how many times as many on a GPU
SPACE = 2  # the token of a space, as write_tokenizer numbers it


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


def misread(
    ids: npt.NDArray[np.int64], other: npt.NDArray[np.int64], rng: random.Random, space: int
) -> npt.NDArray[np.int64]:
    """Return ``ids`` with one word left out or replaced by one of ``other``; at least one character changes."""
    words, others = (np.split(x, np.flatnonzero(x == space)) for x in (ids, other))
    at = rng.randrange(len(words))
    new = others[rng.randrange(len(others))] if len(words) == 1 or rng.random() < 0.7 else words[at][:0]
    wrong = np.concatenate([*words[:at], new, *words[at + 1 :]])
    if len(wrong) and not np.array_equal(wrong, ids):
        return wrong
    return np.append(ids, other[rng.randrange(len(other))])


def padded(rows: list[npt.NDArray[np.int16]]) -> tuple[Tensor, Tensor]:
    """Pad rows with 0 -> (B, L) int64, and their lengths (B,)."""
    lengths = torch.tensor([len(r) for r in rows])
    out = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.from_numpy(row.astype(np.int64))
    return out, lengths


Rows = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]


def batch(clips: Clips, chosen: list[int], rng: random.Random) -> Rows:
    """Make padded texts (2 B, T), each with its stop token, and padded codes (2 B, S): true ones, then damaged."""
    rows = [clips.items[n] for n in chosen]
    codes, texts = [clip.codes for clip, _ in rows], [ids for _, ids in rows]
    damaged = [damage(c, codes[rng.randrange(len(codes))], rng) for c in codes]
    wrong = [misread(ids, texts[rng.randrange(len(texts))], rng, SPACE) for ids in texts]
    return padded([np.append(ids, 0) for ids in texts + wrong]), padded(codes + damaged)


def losses(model: Clvp, rows: Rows) -> dict[str, Tensor]:
    read, heard = rows
    device = model.temperature.device
    texts = model.encode_text(*(x.to(device) for x in read)).float()
    spoken = model.encode_codes(*(x.to(device) for x in heard)).float()
    scores = texts @ spoken.T * model.temperature.float().exp()
    size = len(texts) // 2
    right = torch.arange(size, device=device)
    of_text, of_codes = scores[:size], scores[:, :size].T
    return {
        "loss": F.cross_entropy(of_text, right) + F.cross_entropy(of_codes, right),
        "right": (of_text.argmax(1) == right).float().mean(),
        "undamaged": (of_text.diagonal() > of_text.diagonal(size)).float().mean(),
        "well_read": (of_codes.diagonal() > of_codes.diagonal(size)).float().mean(),
    }


def train(
    clips: Clips,
    held_out: Clips,
    config: ClvpConfig,
    path: Path,
    minutes: float,
    log: Log,
    start: State | None = None,
    new_codes: bool = False,
    device: str = "cpu",
    seed: int = 0,
) -> None:
    """Train for ``minutes`` in all, going on from ``path`` if it exists.

    ``start``: weights to begin with otherwise; those of codes are not taken where they are ``new_codes``.
    """
    torch.manual_seed(seed)
    model = Clvp(config)
    if start:
        warm(model, start, ("speech_emb.weight", "temperature") if new_codes else ())
    trainer = Trainer(nn.ModuleDict({"model": model}).to(device), path, minutes, rate=1e-3)
    more = 1 if device == "cpu" else GPU_ROWS

    def make(rng: random.Random) -> Rows:
        return batch(clips, clips.alike(rng, ROWS * more), rng)

    for _ in learn(make, lambda rows: losses(model, rows), trainer, device, log):
        pass
    trainer.use_averaged()
    with torch.no_grad():
        parts = losses(model, batch(held_out, list(range(min(ROWS, len(held_out.items)))), random.Random(0)))
    log(step=trainer.steps, **{f"val_{k}": float(v) for k, v in parts.items()})
    trainer.save()
