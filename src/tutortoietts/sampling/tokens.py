"""Draw codes: the filters of the original Tortoise in its order, then one draw per row from that row's own number.

Nothing here synchronises with the host: histories are boolean tables, random numbers are drawn in advance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from tutortoietts.core.options import SPEECH, check

__all__ = ["TokenOptions", "draw", "filtered", "history_mask", "penalize", "probabilities", "uniforms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOptions:
    """Filters of drawing a code, applied in this order: repetition penalty, temperature, top-k, top-p.

    `top_k` 0 keeps all codes; `top_k` 1 takes the most likely one. `top_p` 1 keeps all. `repetition_penalty` 1 has no
    effect. Raises OptionError for a value outside the limits of `core.options.SpeechOptions`.
    """

    temperature: float = 0.8
    top_p: float = 0.8
    top_k: int = 50
    repetition_penalty: float = 2.0

    def __post_init__(self) -> None:
        for item in fields(self):
            check(item.name, getattr(self, item.name), SPEECH[item.name])


def history_mask(history: Tensor, classes: int) -> Tensor:
    """Return which classes each row of a code history (N, H) int64 holds: (N, classes) bool."""
    seen = torch.zeros(history.shape[0], classes, dtype=torch.bool, device=history.device)
    return seen.scatter_(1, history, True)


def penalize(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Divide positive logits of seen classes by the penalty, multiply negative ones by it. logits, seen (N, V)."""
    if penalty == 1.0:
        return logits
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def filtered(logits: Tensor, seen: Tensor, options: TokenOptions) -> tuple[Tensor, Tensor]:
    """Return probabilities and class ids (N, K) of the classes that may be drawn, the most likely first.

    logits (N, V), seen (N, V) bool. The probability is 0 where top-p cut. K is top_k, or V without it.
    """
    scores = penalize(logits.float(), seen, options.repetition_penalty) / options.temperature
    keep = min(options.top_k or scores.shape[1], scores.shape[1])
    values, ids = torch.topk(scores, keep, dim=1)
    probs = torch.softmax(values, dim=1)
    if options.top_p < 1.0:
        before = (
            probs.cumsum(1) - probs
        )  # the probability of more likely classes: the first to pass top_p is the last kept
        probs = probs.masked_fill(before >= options.top_p, 0.0)
        probs = probs / probs.sum(1, keepdim=True)
    return probs, ids


def probabilities(logits: Tensor, seen: Tensor, options: TokenOptions) -> Tensor:
    """Return the probabilities of all classes (N, V), 0 for those that may not be drawn."""
    probs, ids = filtered(logits, seen, options)
    return torch.zeros_like(logits, dtype=torch.float32).scatter_(1, ids, probs)


def draw(probs: Tensor, ids: Tensor, uniform: Tensor) -> Tensor:
    """Draw one class per row by inverse-CDF sampling. probs, ids (N, K) of `filtered`, uniform (N,) in 0..1 -> (N,)."""
    total = probs.cumsum(1)
    target = uniform.unsqueeze(1) * total[:, -1:]
    index = (total <= target).sum(1, keepdim=True)  # classes passed by
    allowed = ((probs > 0).sum(1, keepdim=True) - 1).clamp(min=0)  # 0 if they are no numbers, which is found later
    return ids.gather(1, torch.minimum(index, allowed)).squeeze(1)


def uniforms(generators: Sequence[torch.Generator], steps: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the random numbers of all draws in advance: (rows, steps) float32 in [0, 1), one row per generator."""
    rows = [torch.rand(steps, generator=one, device=one.device) for one in generators]
    return torch.stack(rows).to(device)
