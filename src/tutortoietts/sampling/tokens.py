"""Drawing codes: the filters of the originals in their order, then one draw a row from that row's own number.

Nothing here synchronises with the host: histories are boolean tables, random numbers are drawn ahead of time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tutortoietts.core.errors import OptionError

__all__ = ["TokenOptions", "draw", "filtered", "history_mask", "penalize", "probabilities", "uniforms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOptions:
    """How a code is drawn: repetition penalty, temperature, top-k, top-p, in this order.

    `top_k` 0 keeps all; `top_k` 1 takes the likeliest. `top_p` 1 keeps all. `repetition_penalty` 1 does nothing.
    """

    temperature: float = 0.8
    top_p: float = 0.8
    top_k: int = 50
    repetition_penalty: float = 2.0

    def __post_init__(self) -> None:
        _inside("temperature", self.temperature, 0.01, 10.0)
        _inside("top_p", self.top_p, 1e-6, 1.0)
        _inside("repetition_penalty", self.repetition_penalty, 0.1, 20.0)
        if isinstance(self.top_k, bool) or not isinstance(self.top_k, int) or self.top_k < 0:
            raise OptionError(f"top_k {self.top_k!r} must be a whole number of 0 (keep all) or more")


def _inside(name: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value)):
        raise OptionError(f"{name} {value!r} must be a number of {low:g}..{high:g}")
    if not low <= value <= high:
        raise OptionError(f"{name} {value:g} outside {low:g}..{high:g}")


def history_mask(history: Tensor, classes: int) -> Tensor:
    """Code history (N, H) int64 -> which classes each row has seen (N, classes) bool."""
    seen = torch.zeros(history.shape[0], classes, dtype=torch.bool, device=history.device)
    return seen.scatter_(1, history, True)


def penalize(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Repetition penalty: seen positive logits are divided by it, negative ones multiplied. logits, seen (N, V)."""
    if penalty == 1.0:
        return logits
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def filtered(logits: Tensor, seen: Tensor, options: TokenOptions) -> tuple[Tensor, Tensor]:
    """The classes that may be drawn. logits (N, V), seen (N, V) bool -> probabilities and class ids (N, K), likeliest
    first; probability 0 where top-p cut. K is top_k, or V without it."""
    scores = penalize(logits.float(), seen, options.repetition_penalty) / options.temperature
    keep = min(options.top_k or scores.shape[1], scores.shape[1])
    values, ids = torch.topk(scores, keep, dim=1)
    probs = torch.softmax(values, dim=1)
    if options.top_p < 1.0:
        before = probs.cumsum(1) - probs  # what likelier classes hold: the first to pass top_p is the last kept
        probs = probs.masked_fill(before >= options.top_p, 0.0)
        probs = probs / probs.sum(1, keepdim=True)
    return probs, ids


def probabilities(logits: Tensor, seen: Tensor, options: TokenOptions) -> Tensor:
    """The same over all classes: (N, V), zero for what may not be drawn."""
    probs, ids = filtered(logits, seen, options)
    return torch.zeros_like(logits, dtype=torch.float32).scatter_(1, ids, probs)


def draw(probs: Tensor, ids: Tensor, uniform: Tensor) -> Tensor:
    """One class a row by inverse distribution. probs, ids (N, K) as `filtered` gives, uniform (N,) in 0..1 -> (N,)."""
    total = probs.cumsum(1)
    target = uniform.unsqueeze(1) * total[:, -1:]
    index = (total <= target).sum(1, keepdim=True)  # classes passed by
    allowed = (probs > 0).sum(1, keepdim=True) - 1
    return ids.gather(1, torch.minimum(index, allowed)).squeeze(1)


def uniforms(generators: Sequence[torch.Generator], steps: int, device: torch.device | str = "cpu") -> Tensor:
    """The numbers all draws will use, ahead of time: (rows, steps) float32 of [0, 1), a row from each generator."""
    rows = [torch.rand(steps, generator=one, device=one.device) for one in generators]
    return torch.stack(rows).to(device)
