"""Random numbers by row: the same row gets the same numbers alone, in any batch and on any device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tutortoietts.core.errors import OptionError

__all__ = ["Generators", "mix_seed", "randn", "row_generators"]

Generators = torch.Generator | Sequence[torch.Generator] | None
_MASK = (1 << 64) - 1


def mix_seed(seed: int, *path: int) -> int:
    """Return a seed for one purpose: `seed` hashed with a path of small numbers (stage, passage, row) by SplitMix64."""
    state = seed & _MASK
    for number in (seed >> 64, *path):
        state = (state + 0x9E3779B97F4A7C15 + (number & _MASK)) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1  # manual_seed takes 63 bits on every device


def row_generators(seed: int, rows: int, *path: int) -> list[torch.Generator]:
    """Return one CPU generator per row, seeded from (seed, path, row number)."""
    return [torch.Generator().manual_seed(mix_seed(seed, *path, row)) for row in range(rows)]


def randn(shape: Sequence[int], generator: Generators, device: torch.device | str = "cpu") -> Tensor:
    """Return standard normal float32 of `shape` (B, ...). With a sequence of generators, row b comes from the b-th.

    Raises OptionError unless there is one generator for each row.
    """
    if generator is None or isinstance(generator, torch.Generator):
        home = generator.device if generator is not None else torch.device(device)
        return torch.randn(tuple(shape), generator=generator, device=home).to(device)
    if len(generator) != shape[0]:
        raise OptionError(f"{len(generator)} generators for a batch of {shape[0]}; give one for each row")
    rows = [torch.randn(tuple(shape[1:]), generator=one, device=one.device) for one in generator]
    return torch.stack(rows).to(device)
