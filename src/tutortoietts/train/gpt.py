"""Stage 4: the autoregressive model, on codes of all speech.

Besides the next code the model must name, from its final hidden state, the phone that the next code will carry.
That head is thrown away; what it leaves behind are hidden states from which the decoder can tell phones apart.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.config import AutoregressiveConfig
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.text.tokenizer import Tokenizer
from tutortoietts.train.data import read_shard
from tutortoietts.train.features import CodedClip, code_mel, read_coded
from tutortoietts.train.kernels import hidden_states
from tutortoietts.train.log import Log
from tutortoietts.train.optim import State, Trainer, warm
from tutortoietts.train.phones import PHONES
from tutortoietts.train.ragged import Ragged

CODE_TABLES = ("mel_embedding.weight", "mel_head.weight", "mel_head.bias")
POSITIONS, GPU_POSITIONS = 6144, 16384  # a step: what keeps the machine busy
DROPPED = 0.1  # share of what a layer adds that is dropped, while training
WRONG_CODES = 0.1  # share of codes heard that are random while training: the text must be read, not guessed
POOL = 24  # references of a speaker to choose from
REFERENCE_FRAMES = 517  # 132 300 samples: what a reference clip is cropped or padded to


Item = tuple[CodedClip, npt.NDArray[np.int64]]  # a clip and its token ids (T,)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on the right. ``tokens``/``positions`` (B, L) index the joined text and code tables; ``speaker`` (B,)
    indexes ``references`` (R, 1, 80, T); the flat indices ``code_at`` (M,) of positions that predict codes, with
    ``codes`` (M,) and ``phones`` (M,); ``text_at`` (K,) with ``text`` (K,)."""

    tokens: Tensor
    positions: Tensor
    speaker: Tensor
    references: Tensor
    code_at: Tensor
    codes: Tensor
    phones: Tensor
    text_at: Tensor
    text: Tensor


class References:
    """Reference mels of every speaker, as a clip given by a user would be: cropped or zero-padded to six seconds."""

    def __init__(self, paths: list[Path], norms: Tensor, each: int = 48) -> None:
        self._mels: dict[str, list[Tensor]] = {}
        self._pools: dict[str, Tensor] = {}
        for path in paths:
            for n, clip in enumerate(read_shard(path)):
                if n == each:
                    break
                self._mels.setdefault(clip.speaker, []).append(code_mel(clip, norms).half())
        self._silence = (torch.full((80,), 1e-5).log() / norms).half()

    def draw(self, speaker: str, rng: random.Random) -> Tensor:
        """Return (1, 80, REFERENCE_FRAMES) of one or several clips of ``speaker``; now and then padded with silence."""
        parts, frames = list[Tensor](), 0
        while frames < REFERENCE_FRAMES and not (parts and rng.random() < 0.25):
            parts.append(rng.choice(self._mels[speaker]))
            frames += parts[-1].shape[1]
        joined = torch.cat(parts, 1)[:, :REFERENCE_FRAMES]
        gap = REFERENCE_FRAMES - joined.shape[1]
        return torch.cat([joined, self._silence[:, None].expand(-1, gap)], 1)[None].float()

    def pooled(self, speaker: str, rng: random.Random, device: torch.device) -> Tensor:
        """Return one of POOL that were drawn once, on ``device``."""
        if speaker not in self._pools:
            self._pools[speaker] = torch.stack([self.draw(speaker, rng) for _ in range(POOL)]).to(device)
        return self._pools[speaker][rng.randrange(POOL)]


def read_clips(paths: list[Path], tokenizer: Tokenizer) -> Iterator[Item]:
    """Return every coded clip with its token ids (T,) int64."""
    for path in paths:
        for clip in read_coded(path):
            yield clip, np.array(tokenizer.ids(clip.text), np.int64)


class Clips:
    """All coded clips with their text ids, and batches of about equal length from them."""

    def __init__(self, items: Iterable[Item], config: AutoregressiveConfig) -> None:
        self.config = config
        self.items = [
            (clip, ids)
            for clip, ids in items
            if len(ids) + 1 <= config.max_text_tokens and len(clip.codes) + 2 <= config.max_mel_tokens
        ]
        self.device = torch.device("cpu")

    def length(self, n: int) -> int:
        clip, ids = self.items[n]
        return 1 + len(ids) + 3 + len(clip.codes) + 1

    def order(self, rng: random.Random, tokens: int, longest: int) -> Iterator[list[int]]:
        """Return one pass: lists of clips whose padded batch holds about ``tokens`` positions."""
        usable = [n for n in range(len(self.items)) if self.length(n) <= longest]
        rng.shuffle(usable)
        for start in range(0, len(usable), 4096):
            pool = sorted(usable[start : start + 4096], key=self.length)
            batches, batch = [], list[int]()
            for n in pool:
                if (len(batch) + 1) * self.length(n) > tokens:
                    batches.append(batch)
                    batch = []
                batch.append(n)
            batches.append(batch)
            rng.shuffle(batches)
            yield from (b for b in batches if b)

    def alike(self, rng: random.Random, rows: int) -> list[int]:
        """Return this many clips of about equal length: little padding, and nothing that length alone gives away."""
        pool = sorted(rng.sample(range(len(self.items)), min(24 * rows, len(self.items))), key=self.length)
        at = rng.randrange(max(1, len(pool) - rows + 1))
        return pool[at : at + rows]

    def put(self, device: str | torch.device) -> Clips:
        """Have batches made on ``device``."""
        self.device = torch.device(device)
        self.__dict__.pop("_rows", None)
        return self

    @cached_property
    def _rows(self) -> Ragged:
        return Ragged([self._row(n) for n in range(len(self.items))], self.device)

    def _row(self, n: int) -> Tensor:
        """Return (L, 5): token, position, and what follows it: the code, its phone, or the text token; -1 for none."""
        config, (clip, ids) = self.config, self.items[n]
        t, s = len(ids) + 3, len(clip.codes) + 1
        row = np.full((1 + t + s, 5), -1, np.int16)
        row[0, :2] = 0
        row[1 : 1 + t, 0] = [config.start_text_token, *ids, 0, 0]
        row[1 : 1 + t, 1] = np.arange(t)
        row[1:t, 4] = row[2 : 1 + t, 0]
        row[1 + t :, 0] = config.text_vocabulary + np.concatenate([[config.start_mel_token], clip.codes])
        row[1 + t :, 1] = config.text_positions + np.arange(s)
        row[1 + t :, 2] = [*clip.codes, config.stop_mel_token]
        row[1 + t :, 3] = [*clip.phones, 0]
        return torch.from_numpy(row)

    def batch(self, chosen: list[int], references: References, rng: random.Random) -> Batch:
        """Join clips with references drawn for their speakers."""
        which = torch.tensor(chosen)
        longest = int(self._rows.lengths[which].max())
        rows = self._rows.crops(which, 0, longest).long()
        inside = torch.arange(longest) < self._rows.lengths[which, None]
        rows[~inside.to(rows.device)] = torch.tensor([0, 0, -1, -1, -1], device=rows.device)
        tokens, positions, codes, phones, text = rows.unbind(-1)
        code_at, text_at = (x.flatten().ge(0).nonzero()[:, 0] for x in (codes, text))
        speakers = [self.items[n][0].speaker for n in chosen]
        names = sorted(set(speakers))
        return Batch(
            tokens=tokens,
            positions=positions,
            speaker=torch.tensor([names.index(name) for name in speakers]).to(self.device),
            references=torch.stack([references.pooled(name, rng, self.device) for name in names]),
            code_at=code_at,
            codes=codes.flatten()[code_at],
            phones=phones.flatten()[code_at],
            text_at=text_at,
            text=text.flatten()[text_at],
        )


def misheard(batch: Batch, config: AutoregressiveConfig, share: float) -> Tensor:
    """Return the batch's tokens (B, L) with this share of the codes replaced by random ones."""
    first = config.text_vocabulary
    heard = (batch.tokens >= first) & (batch.tokens < first + config.start_mel_token)
    wrong = heard & (torch.rand(batch.tokens.shape, device=batch.tokens.device) < share)
    return torch.where(wrong, torch.randint_like(batch.tokens, first, first + config.start_mel_token), batch.tokens)


def drop_in_training(layers: Iterable[nn.Module], share: float = DROPPED) -> None:
    """Drop a share of the output of each of ``layers`` while it is in training mode; what is saved is as before."""

    def dropped(module: nn.Module, _: object, output: Tensor) -> Tensor:
        return F.dropout(output, share, module.training)

    for layer in layers:
        layer.register_forward_hook(dropped)


def hidden(model: Autoregressive, batch: Batch) -> Tensor:
    """Return final hidden states (B * L, D): every row as the model's ``forward`` computes it, without gaps.

    ``batch`` is where the model is. In training mode some codes are misheard.
    """
    tokens = misheard(batch, model.cfg, WRONG_CODES) if model.training else batch.tokens
    table = torch.cat([model.text_embedding.weight, model.mel_embedding.weight])
    positions = torch.cat([model.text_pos_embedding.weight, model.mel_pos_embedding.weight])
    x = F.embedding(tokens, table) + F.embedding(batch.positions, positions)
    speaker = model.conditioning(batch.references.to(x.dtype))[batch.speaker]
    x = torch.cat([speaker[:, None], x[:, 1:]], 1)
    return hidden_states(model, x).flatten(0, 1)


def losses(model: Autoregressive, phone_head: nn.Linear, batch: Batch) -> dict[str, Tensor]:
    states = hidden(model, batch)
    heard = states[batch.code_at]
    return {
        "code": F.cross_entropy(model.mel_head(heard).float(), batch.codes),
        "phone": F.cross_entropy(phone_head(heard).float(), batch.phones),
        "text": F.cross_entropy(model.text_head(states[batch.text_at]).float(), batch.text),
    }


@torch.no_grad()
def validate(model: Autoregressive, head: nn.Linear, clips: Clips, references: References) -> dict[str, float]:
    """Return the loss a code on held-out clips, with their own text and with another clip's."""
    rng, result = random.Random(0), {"val": 0.0, "val_phone": 0.0, "val_wrong": 0.0}
    batches = [list(range(i, min(i + 24, len(clips.items)))) for i in range(0, len(clips.items), 24)]
    wrong = Clips(((clip, clips.items[i - 1][1]) for i, (clip, _) in enumerate(clips.items)), clips.config)
    wrong.put(clips.device)
    model.eval()
    for chosen in batches:
        chosen = [i for i in chosen if i < len(wrong.items)]
        right = losses(model, head, clips.batch(chosen, references, rng))
        result["val"] += float(right["code"]) / len(batches)
        result["val_phone"] += float(right["phone"]) / len(batches)
        result["val_wrong"] += float(losses(model, head, wrong.batch(chosen, references, rng))["code"]) / len(batches)
    model.train()
    return result


def build(config: AutoregressiveConfig) -> tuple[Autoregressive, nn.Linear]:
    """Build a new model and the head that names phones."""
    return Autoregressive(config), nn.Linear(config.model_dim, len(PHONES))


def train(
    clips: Clips,
    held_out: Clips,
    references: References,
    path: Path,
    minutes: float,
    log: Log,
    start: State | None = None,
    new_codes: bool = False,
    device: str = "cpu",
    seed: int = 0,
) -> None:
    """Train for ``minutes`` in all, going on from ``path`` if it exists.

    ``start``: weights to begin with otherwise; what is about codes is not taken where they are ``new_codes``.
    """
    torch.manual_seed(seed)
    model, head = build(clips.config)
    if start:
        warm(model, start, CODE_TABLES if new_codes else ())
    trainer = Trainer(nn.ModuleDict({"model": model, "phones": head}).to(device), path, minutes, rate=1e-3)
    drop_in_training(layer for block in model.gpt.blocks for layer in (block.proj, block.narrow))  # type: ignore[misc]
    clips, held_out = clips.put(device), held_out.put(device)
    for batch in feed(clips, references, trainer, gently=not start):
        parts = losses(model, head, batch)
        norm = trainer.step(parts["code"] + 0.3 * parts["phone"] + 0.02 * parts["text"])
        if trainer.steps % 50 == 0:
            values = {name: float(value.detach()) for name, value in parts.items()}
            log(step=trainer.steps, progress=trainer.progress, norm=norm, **values)
        if trainer.steps % 500 == 0:
            trainer.use_averaged()
            log(step=trainer.steps, **validate(model, head, held_out, references))
            trainer.use_live()
    trainer.use_averaged()
    log(step=trainer.steps, **validate(model, head, held_out, references))
    trainer.save()


def feed(clips: Clips, references: References, trainer: Trainer, gently: bool) -> Iterator[Batch]:
    """Yield batches until the trainer's time is up; ``gently``: short clips for its first twelfth."""
    rng = random.Random(trainer.steps)
    tokens = POSITIONS if clips.device.type == "cpu" else GPU_POSITIONS
    while trainer.progress < 1:
        early = gently and trainer.progress < 0.08
        for chosen in clips.order(rng, tokens=tokens // 2 if early else tokens, longest=110 if early else 10_000):
            yield clips.batch(chosen, references, rng)
            if trainer.progress >= 1 or (early and trainer.progress >= 0.08):
                break
