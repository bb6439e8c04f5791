"""Stage 5, too: the recogniser of codes, which ranks candidates by how likely their text is.

CTC over characters (Graves et al., 2006). Besides them the model must name the phone of every code; that head is
thrown away. Some codes that it hears are random ones: those of a drawn candidate are not always a voice's own.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.config import CtcConfig
from tutortoietts.models.ctc import Ctc, ctc_losses
from tutortoietts.train.ahead import learn
from tutortoietts.train.clvp import padded
from tutortoietts.train.gpt import Clips, drop_in_training
from tutortoietts.train.log import Log
from tutortoietts.train.optim import State, Trainer, warm
from tutortoietts.train.phones import PHONES

ROWS, GPU_ROWS = 72, 4  # rows a batch, and how many times as many on a GPU
WRONG_CODES = 0.05
Rows = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def batch(clips: Clips, chosen: list[int]) -> Rows:
    """Make padded codes (B, S), their lengths, all texts in one row, their sizes, and phones (B, S), -1 for none."""
    rows = [clips.items[n] for n in chosen]
    codes, lengths = padded([clip.codes for clip, _ in rows])
    phones, _ = padded([clip.phones.astype(np.int16) for clip, _ in rows])
    phones[torch.arange(codes.shape[1]) >= lengths[:, None]] = -1
    sizes = torch.tensor([len(ids) for _, ids in rows])
    return codes, lengths, torch.from_numpy(np.concatenate([ids for _, ids in rows])), sizes, phones


def losses(model: Ctc, phone_head: nn.Linear, rows: Rows) -> dict[str, Tensor]:
    """Return nats a character and nats a phone, and what to make smaller. In training mode some codes are misheard."""
    codes, lengths, texts, sizes, phones = (x.to(model.embed.weight.device) for x in rows)
    if model.training:
        wrong = torch.rand(codes.shape, device=codes.device) < WRONG_CODES
        codes = torch.where(wrong, torch.randint_like(codes, model.cfg.num_speech_tokens), codes)
    states = model.states(codes, lengths)
    unlikely = ctc_losses(model.scores(states), lengths * model.cfg.upsample, texts, sizes)
    possible = unlikely.isfinite()  # a hasty clip may have more characters than its codes could say
    text = unlikely[possible].sum() / sizes[possible].sum()
    phone = F.cross_entropy(phone_head(states).float().flatten(0, 1), phones.flatten(), ignore_index=-1)
    return {"loss": text + 0.3 * phone, "text": text, "phone": phone}


def train(
    clips: Clips,
    held_out: Clips,
    config: CtcConfig,
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
    model, head = Ctc(config), nn.Linear(config.dim, len(PHONES))
    if start:
        warm(model, start, ("embed.weight",) if new_codes else ())
    trainer = Trainer(nn.ModuleDict({"model": model, "phones": head}).to(device), path, minutes, rate=2e-3)
    drop_in_training(block.narrow for block in model.blocks)  # type: ignore[misc]
    more = 1 if device == "cpu" else GPU_ROWS

    def validate() -> None:
        trainer.use_averaged()
        model.eval()
        with torch.no_grad():
            parts = losses(model, head, batch(held_out, list(range(len(held_out.items)))))
        log(step=trainer.steps, **{f"val_{k}": float(v) for k, v in parts.items()})
        model.train()

    def make(rng: random.Random) -> Rows:
        return batch(clips, clips.alike(rng, ROWS * more))

    for step in learn(make, lambda rows: losses(model, head, rows), trainer, device, log):
        if step % 500 == 0:
            validate()
            trainer.use_live()
    validate()
    trainer.save()
