"""Solvers of the diffusion model's reverse process: each walks x down a list of trained steps.

All share one shape: `solver(walk, x)`. x (B, C, F) float32 starts at the first of `walk.steps`; the result is the clean
estimate at the last one, so every listed step costs one forward.
Sources: ancestral arXiv 2006.11239 with the learned-range variance of 2102.09672; ddim 2010.02502; dpm++2m and
dpm++2m_sde 2211.01095 (data prediction, in log-SNR time); unipc 2302.04867 (order 2, B(h) = e^h - 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tutortoietts.sampling.guidance import Estimate
from tutortoietts.sampling.schedule import Schedule

__all__ = ["SOLVERS", "Noise", "Solver", "Trajectory"]

Noise = Callable[[int], Tensor]
"""The fresh standard normal noise (B, C, F) of the i-th step taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """What a solver needs beside x: where to go, and the outside's estimate, noise, clipping and callback."""

    estimate: Estimate
    schedule: Schedule
    steps: Sequence[float]
    noise: Noise
    clip: bool
    on_step: Callable[[int, int], None] | None = None

    def clean(self, x: Tensor, step: float) -> tuple[Tensor, Tensor | None]:
        """The estimate of the clean x at a step, clipped to [-1, 1] where asked, and the variance half."""
        eps, variance = self.estimate(x, step)
        x0 = (x - self.schedule.sigma(step) * eps) / self.schedule.alpha(step)
        return (x0.clamp(-1.0, 1.0) if self.clip else x0), variance

    def done(self, index: int) -> None:
        if self.on_step is not None:
            self.on_step(index + 1, len(self.steps))


Solver = Callable[[Trajectory, Tensor], Tensor]


def ancestral(walk: Trajectory, x: Tensor) -> Tensor:
    """DDPM on respaced steps. The variance half v in [-1, 1] mixes log beta and log posterior variance; without it
    (a model that gives no variance) the posterior variance is used."""
    log_abar = [walk.schedule.log_abar(step) for step in walk.steps]
    for index, step in enumerate(walk.steps):
        x0, fraction = walk.clean(x, step)
        if index + 1 == len(walk.steps):
            x = x0
        else:
            abar, before = math.exp(log_abar[index]), math.exp(log_abar[index + 1])
            beta = -math.expm1(log_abar[index] - log_abar[index + 1])
            x = (beta * math.sqrt(before) * x0 + (1 - before) * math.sqrt(1 - beta) * x) / (1 - abar)
            low = math.log(beta * (1 - before) / (1 - abar))
            mix: float | Tensor = 0.0 if fraction is None else (fraction + 1) / 2
            log_variance = torch.as_tensor(low + mix * (math.log(beta) - low), device=x.device, dtype=x.dtype)
            x = x + torch.exp(0.5 * log_variance) * walk.noise(index)
        walk.done(index)
    return x


def ddim(walk: Trajectory, x: Tensor) -> Tensor:
    """Deterministic first-order steps (eta 0); the noise is read off the clipped clean estimate."""
    schedule = walk.schedule
    for index, step in enumerate(walk.steps):
        x0, _ = walk.clean(x, step)
        if index + 1 == len(walk.steps):
            x = x0
        else:
            eps = (x - schedule.alpha(step) * x0) / schedule.sigma(step)
            down = walk.steps[index + 1]
            x = schedule.alpha(down) * x0 + schedule.sigma(down) * eps
        walk.done(index)
    return x


def _multistep(walk: Trajectory, x: Tensor, churn: bool) -> Tensor:
    schedule, past, gap = walk.schedule, None, 0.0
    for index, step in enumerate(walk.steps):
        x0, _ = walk.clean(x, step)
        if index + 1 == len(walk.steps):
            x = x0
        else:
            down = walk.steps[index + 1]
            h = schedule.lam(down) - schedule.lam(step)
            ahead = x0 if past is None else x0 + (h / (2 * gap)) * (x0 - past)
            keep = schedule.sigma(down) / schedule.sigma(step)
            if churn:
                x = keep * math.exp(-h) * x - schedule.alpha(down) * math.expm1(-2 * h) * ahead
                x = x + schedule.sigma(down) * math.sqrt(-math.expm1(-2 * h)) * walk.noise(index)
            else:
                x = keep * x - schedule.alpha(down) * math.expm1(-h) * ahead
            past, gap = x0, h
        walk.done(index)
    return x


def dpmpp_2m(walk: Trajectory, x: Tensor) -> Tensor:
    """Second-order multistep on the clean estimate, extrapolated half a step ahead from the last two."""
    return _multistep(walk, x, churn=False)


def dpmpp_2m_sde(walk: Trajectory, x: Tensor) -> Tensor:
    """The same for the stochastic reverse process: fresh noise each step."""
    return _multistep(walk, x, churn=True)


def unipc(walk: Trajectory, x: Tensor) -> Tensor:
    """Predictor and corrector of order 2: a new estimate also corrects the step that led to it, for no forward more."""
    schedule = walk.schedule
    past: Tensor | None = None  # the estimate before the last one, for the corrector
    last: Tensor | None = None
    before, gap, older_gap = x, 0.0, 0.0
    for index, step in enumerate(walk.steps):
        eps, _ = walk.estimate(x, step)
        alpha, sigma = schedule.alpha(step), schedule.sigma(step)
        x0 = (x - sigma * eps) / alpha
        x0 = x0.clamp(-1.0, 1.0) if walk.clip else x0
        if last is not None:
            x = _correct(walk, index, before, x0, last, past, gap, older_gap)
        if index + 1 == len(walk.steps):
            # the corrected x seen with the same noise estimate
            clean = (x - sigma * eps) / alpha
            x = clean.clamp(-1.0, 1.0) if walk.clip else clean
        else:
            down = walk.steps[index + 1]
            h = schedule.lam(down) - schedule.lam(step)
            ahead = x0 if last is None else x0 + _unipc_weights(h)[0] * (h / gap) * (x0 - last)
            before = x
            x = schedule.sigma(down) / sigma * x - schedule.alpha(down) * math.expm1(-h) * ahead
            past, last, older_gap, gap = last, x0, gap, h
        walk.done(index)
    return x


def _unipc_weights(h: float) -> tuple[float, float, float]:
    """(1/2, b1, b2) of B(h) = e^-h - 1 in the data-prediction form."""
    b1 = math.expm1(-h) / -h - 1
    b2 = b1 / -h - 0.5
    return 0.5, b1 / math.expm1(-h), 2 * b2 / math.expm1(-h)


def _correct(
    walk: Trajectory, index: int, before: Tensor, x0: Tensor, last: Tensor, past: Tensor | None, h: float, gap: float
) -> Tensor:
    """x at step `index` again, from `before` (x one step earlier), with the new estimate `x0` known."""
    schedule, here, there = walk.schedule, walk.steps[index], walk.steps[index - 1]
    grow = schedule.alpha(here) * math.expm1(-h)
    x = schedule.sigma(here) / schedule.sigma(there) * before - grow * last
    if past is None:
        return x - grow * 0.5 * (x0 - last)
    ratio = -gap / h  # where `past` lies, in units of this step
    _, b1, b2 = _unipc_weights(h)
    # solve [1 1; ratio 1] w = (b1, b2)
    first = (b1 - b2) / (1 - ratio)
    return x - grow * (first * (past - last) / ratio + (b1 - first) * (x0 - last))


SOLVERS: dict[str, Solver] = {
    "ancestral": ancestral,
    "ddim": ddim,
    "dpm++2m": dpmpp_2m,
    "dpm++2m_sde": dpmpp_2m_sde,
    "unipc": unipc,
}
