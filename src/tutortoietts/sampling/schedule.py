"""Noise schedule that the diffusion model was trained on, and the ways to place a few steps on it.

4000 trained steps, betas linear from 2.5e-5 to 5e-3. At trained step s a clean value x0 is seen as
alpha(s) * x0 + sigma(s) * noise with alpha^2 + sigma^2 = 1; lambda = log(alpha / sigma) falls from 5.3 to -5.0.
Between the trained steps log(alpha^2) is interpolated, so a step may be any number of 0..3999.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

from tutortoietts.core.errors import OptionError
from tutortoietts.core.samplers import SPACINGS

__all__ = ["Schedule", "trained_schedule"]

_SINH_WIDTH = 2.0  # nats of lambda around the centre in which steps lie about evenly
_SINH_CENTRE = 2.0
_KARRAS_RHO = 7.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Noise schedule: `log_alpha_bar[s]` = log(alpha(s)^2) for every trained step s, in plain float arithmetic."""

    log_alpha_bar: tuple[float, ...]

    @property
    def trained_steps(self) -> int:
        """Number of trained steps: 4000."""
        return len(self.log_alpha_bar)

    @property
    def last(self) -> int:
        """Index of the noisiest trained step."""
        return len(self.log_alpha_bar) - 1

    def log_abar(self, step: float) -> float:
        """Return log(alpha^2) at a step, 0..`last`."""
        low = min(int(step), self.last - 1)
        a, b = self.log_alpha_bar[low], self.log_alpha_bar[low + 1]
        return a + (step - low) * (b - a)

    def alpha(self, step: float) -> float:
        """Return alpha, the share of the clean value, at a step."""
        return math.exp(0.5 * self.log_abar(step))

    def sigma(self, step: float) -> float:
        """Return sigma, the share of the noise, at a step."""
        return math.sqrt(-math.expm1(self.log_abar(step)))

    def lam(self, step: float) -> float:
        """Return lambda, half the log signal-to-noise ratio, at a step."""
        value = self.log_abar(step)
        return 0.5 * (value - math.log(-math.expm1(value)))

    def step_at(self, lam: float) -> float:
        """Return the step that has this lambda, clamped to the trained range."""
        value = -math.log1p(math.exp(-2.0 * lam))
        table = self.log_alpha_bar
        high = bisect_left(table, -value, key=lambda entry: -entry)
        if high == 0:
            return 0.0
        if high > self.last:
            return float(self.last)
        a, b = table[high - 1], table[high]
        return high - 1 + (value - a) / (b - a)

    def place(self, spacing: str, steps: int, start: float | None = None) -> list[float]:
        """Return `steps` trained steps from `start` (default: the noisiest) down to 0, the noisiest first.

        uniform: evenly in trained steps. logsnr: evenly in lambda. karras: sigma/alpha to the power 1/7 even
        (arXiv 2206.00364). sinh: lambda = 2 + 2 sinh(u), u even: dense where a mel takes shape, sparse at the ends.
        Raises OptionError for another spacing and numbers out of range.
        """
        if spacing not in SPACINGS:
            raise OptionError(f"unknown diffusion spacing {spacing!r}; choose one of {', '.join(SPACINGS)}")
        start = float(self.last) if start is None else float(start)
        if not 1 <= steps <= self.trained_steps:
            raise OptionError(f"{steps} diffusion steps outside 1..{self.trained_steps}")
        if not 0 <= start <= self.last:
            raise OptionError(f"diffusion start_step {start:g} outside 0..{self.last}")
        if steps == 1:
            return [start]
        if start == 0:
            raise OptionError(f"{steps} diffusion steps from start_step 0: there is only that one; take 1")
        part = [index / (steps - 1) for index in range(steps)]
        if spacing == "uniform":
            return [start * (1.0 - p) for p in part]
        top, end = self.lam(start), self.lam(0)
        if spacing == "logsnr":
            lams = [top + p * (end - top) for p in part]
        elif spacing == "karras":
            a, b = math.exp(-top / _KARRAS_RHO), math.exp(-end / _KARRAS_RHO)
            lams = [-_KARRAS_RHO * math.log(a + p * (b - a)) for p in part]
        else:
            a, b = (math.asinh((lam - _SINH_CENTRE) / _SINH_WIDTH) for lam in (top, end))
            lams = [_SINH_CENTRE + _SINH_WIDTH * math.sinh(a + p * (b - a)) for p in part]
        return [start, *(self.step_at(lam) for lam in lams[1:-1]), 0.0]

    def respace(self, steps: int, start: int | None = None) -> list[int]:
        """Return the original Tortoise's respacing: evenly placed integer steps, the noisiest first."""
        start = self.last if start is None else start
        if not 0 <= start <= self.last:
            raise OptionError(f"diffusion start_step {start} outside 0..{self.last}")
        if not 1 <= steps <= start + 1:
            raise OptionError(f"{steps} diffusion steps outside 1..{start + 1}; take fewer")
        if steps == 1:
            return [start]
        stride, at, taken = start / (steps - 1), 0.0, []
        for _ in range(steps):
            taken.append(round(at))
            at += stride
        return taken[::-1]


@lru_cache(maxsize=4)
def trained_schedule(trained_steps: int = 4000, first: float = 2.5e-5, last: float = 5e-3) -> Schedule:
    """Return the schedule of the public checkpoints, which is also that of the bundled model."""
    total, table = 0.0, []
    for index in range(trained_steps):
        beta = first + (last - first) * index / (trained_steps - 1)
        total += math.log1p(-beta)
        table.append(total)
    return Schedule(tuple(table))
