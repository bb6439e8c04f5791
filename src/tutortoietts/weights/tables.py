"""Key tables of the public checkpoints: which of their tensors becomes which of ours. Templates: see ``convert``."""

from __future__ import annotations

import torch
from torch import Tensor

from .convert import Drop, Rule, Table, drop_trailing_one, swap_last_two

__all__ = ["TABLES"]


def _rotary_frequencies(shape: torch.Size) -> Tensor:
    """(n,): 10000 ** (-k / n), the angular step of each rotated pair."""
    count = shape[0]
    return 10000.0 ** (-torch.arange(count, dtype=torch.float32, device="cpu") / count)


_EVERYTHING = Rule("{rest}", "{rest}")  # for modules that keep the original names; the strict load refuses strangers

TABLES: dict[str, Table] = {
    "classifier": Table(rules=(_EVERYTHING,)),
    "random_latent": Table(rules=(_EVERYTHING,)),
}
