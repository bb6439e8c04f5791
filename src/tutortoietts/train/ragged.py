"""Sequences of different lengths in one tensor, so that crops of many of them are one look-up, on a GPU too."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["Ragged"]


class Ragged:
    """Sequences (L_i, ...) of one type, joined in ``values`` (sum of L_i, ...); ``lengths`` (N,) on the CPU."""

    def __init__(self, parts: Sequence[Tensor], device: str | torch.device = "cpu") -> None:
        self.values = torch.cat(list(parts)).to(device)
        self.lengths = torch.tensor([len(part) for part in parts])
        self._starts = (self.lengths.cumsum(0) - self.lengths).to(device)
        self._steps = torch.arange(int(self.lengths.max()), device=device)

    def crops(self, which: Tensor, first: Tensor | int, length: int) -> Tensor:
        """Return (B, length, ...): of each sequence ``which`` (B,), from its element ``first`` (B,) on.

        Past its end follows whatever lies behind it: a caller who asks for that must mask it.
        """
        device = self._starts.device
        at = self._starts[which.to(device)]
        at = at + (first if isinstance(first, int) else first.to(device))
        return self.values[(at[:, None] + self._steps[:length]).clamp(max=len(self.values) - 1)]
