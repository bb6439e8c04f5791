"""Samplers of the diffusion model: each leads x down a list of trained steps.

All are functions `sampler(trajectory, x)`. x (B, C, F) float32 starts at the first of `trajectory.steps`; the result is
the clean estimate at the last one. `trajectory.clean(x, step)` is a forward pass of the model: at a listed step, or at
any step between two of them, as often as a sampler needs. Each listed step ends with `trajectory.done(index)`.
`core.samplers.SAMPLERS` names them.
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

__all__ = ["Noise", "Solver", "Trajectory", "ancestral", "ddim", "dpmpp_2m", "dpmpp_2m_sde", "unipc"]

Noise = Callable[[int], Tensor]
"""Index of a step -> fresh standard normal noise (B, C, F)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """Everything a sampler needs beside x.

    estimate: the model's noise estimate, guidance included. schedule: the trained one. steps: trained steps to visit,
    the noisiest first. noise: fresh noise by index of the step. clip: hold clean estimates in [-1, 1].
    on_step(done, steps): called after each step.
    """

    estimate: Estimate
    schedule: Schedule
    steps: Sequence[float]
    noise: Noise
    clip: bool
    on_step: Callable[[int, int], None] | None = None

    def clean(self, x: Tensor, step: float) -> tuple[Tensor, Tensor | None]:
        """Return the model's estimate of the clean x at a step, clipped if `clip`, and the variance half or None."""
        eps, variance = self.estimate(x, step)
        x0 = (x - self.schedule.sigma(step) * eps) / self.schedule.alpha(step)
        return (x0.clamp(-1.0, 1.0) if self.clip else x0), variance

    def done(self, index: int) -> None:
        """Report that the step of this index is taken."""
        if self.on_step is not None:
            self.on_step(index + 1, len(self.steps))


Solver = Callable[[Trajectory, Tensor], Tensor]
"""(trajectory, x (B, C, F)) -> clean estimate (B, C, F)."""


def ancestral(trajectory: Trajectory, x: Tensor) -> Tensor:
    """Sample by DDPM on respaced steps.

    The variance half v in [-1, 1] mixes log beta and log posterior variance; for a model that gives no variance the
    posterior variance is used.
    """
    log_abar = [trajectory.schedule.log_abar(step) for step in trajectory.steps]
    for index, step in enumerate(trajectory.steps):
        x0, fraction = trajectory.clean(x, step)
        if index + 1 == len(trajectory.steps):
            x = x0
        else:
            abar, before = math.exp(log_abar[index]), math.exp(log_abar[index + 1])
            beta = -math.expm1(log_abar[index] - log_abar[index + 1])
            x = (beta * math.sqrt(before) * x0 + (1 - before) * math.sqrt(1 - beta) * x) / (1 - abar)
            low = math.log(beta * (1 - before) / (1 - abar))
            mix: float | Tensor = 0.0 if fraction is None else (fraction + 1) / 2
            log_variance = torch.as_tensor(low + mix * (math.log(beta) - low), device=x.device, dtype=x.dtype)
            x = x + torch.exp(0.5 * log_variance) * trajectory.noise(index)
        trajectory.done(index)
    return x


def ddim(trajectory: Trajectory, x: Tensor) -> Tensor:
    """Sample by deterministic first-order steps (eta 0); the noise is derived from the clipped clean estimate."""
    schedule = trajectory.schedule
    for index, step in enumerate(trajectory.steps):
        x0, _ = trajectory.clean(x, step)
        if index + 1 == len(trajectory.steps):
            x = x0
        else:
            eps = (x - schedule.alpha(step) * x0) / schedule.sigma(step)
            next_step = trajectory.steps[index + 1]
            x = schedule.alpha(next_step) * x0 + schedule.sigma(next_step) * eps
        trajectory.done(index)
    return x


def _multistep(trajectory: Trajectory, x: Tensor, stochastic: bool) -> Tensor:
    schedule, old_denoised, h_last = trajectory.schedule, None, 0.0
    for index, step in enumerate(trajectory.steps):
        x0, _ = trajectory.clean(x, step)
        if index + 1 == len(trajectory.steps):
            x = x0
        else:
            next_step = trajectory.steps[index + 1]
            h = schedule.lam(next_step) - schedule.lam(step)
            extrapolated = x0 if old_denoised is None else x0 + (h / (2 * h_last)) * (x0 - old_denoised)
            ratio = schedule.sigma(next_step) / schedule.sigma(step)
            if stochastic:
                x = ratio * math.exp(-h) * x - schedule.alpha(next_step) * math.expm1(-2 * h) * extrapolated
                x = x + schedule.sigma(next_step) * math.sqrt(-math.expm1(-2 * h)) * trajectory.noise(index)
            else:
                x = ratio * x - schedule.alpha(next_step) * math.expm1(-h) * extrapolated
            old_denoised, h_last = x0, h
        trajectory.done(index)
    return x


def dpmpp_2m(trajectory: Trajectory, x: Tensor) -> Tensor:
    """Sample by a second-order multistep on the clean estimate, extrapolated half a step from the last two."""
    return _multistep(trajectory, x, stochastic=False)


def dpmpp_2m_sde(trajectory: Trajectory, x: Tensor) -> Tensor:
    """Sample as `dpmpp_2m`, for the stochastic reverse process: with fresh noise at each step."""
    return _multistep(trajectory, x, stochastic=True)


def unipc(trajectory: Trajectory, x: Tensor) -> Tensor:
    """Sample by predictor and corrector of order 2: a new estimate also corrects the step before it, at no cost."""
    schedule = trajectory.schedule
    old_denoised: Tensor | None = None
    older_denoised: Tensor | None = None  # the estimate before `old_denoised`, for the corrector
    x_last, h_last, h_older = x, 0.0, 0.0
    for index, step in enumerate(trajectory.steps):
        eps, _ = trajectory.estimate(x, step)
        alpha, sigma = schedule.alpha(step), schedule.sigma(step)
        x0 = (x - sigma * eps) / alpha
        x0 = x0.clamp(-1.0, 1.0) if trajectory.clip else x0
        if old_denoised is not None:
            x = _correct(trajectory, index, x_last, x0, old_denoised, older_denoised, h_last, h_older)
        if index + 1 == len(trajectory.steps):
            # the corrected x seen with the same noise estimate
            clean = (x - sigma * eps) / alpha
            x = clean.clamp(-1.0, 1.0) if trajectory.clip else clean
        else:
            next_step = trajectory.steps[index + 1]
            h = schedule.lam(next_step) - schedule.lam(step)
            extrapolated = x0
            if old_denoised is not None:
                extrapolated = x0 + _unipc_weights(h)[0] * (h / h_last) * (x0 - old_denoised)
            x_last = x
            x = schedule.sigma(next_step) / sigma * x - schedule.alpha(next_step) * math.expm1(-h) * extrapolated
            older_denoised, old_denoised, h_older, h_last = old_denoised, x0, h_last, h
        trajectory.done(index)
    return x


def _unipc_weights(h: float) -> tuple[float, float, float]:
    """Return (1/2, b1, b2) of B(h) = e^-h - 1 in the data-prediction form."""
    b1 = math.expm1(-h) / -h - 1
    b2 = b1 / -h - 0.5
    return 0.5, b1 / math.expm1(-h), 2 * b2 / math.expm1(-h)


def _correct(
    trajectory: Trajectory,
    index: int,
    x_last: Tensor,
    x0: Tensor,
    old_denoised: Tensor,
    older_denoised: Tensor | None,
    h: float,
    h_last: float,
) -> Tensor:
    """Return x at step `index` again, from `x_last` one step earlier, with the new clean estimate `x0` known."""
    schedule, step, last_step = trajectory.schedule, trajectory.steps[index], trajectory.steps[index - 1]
    scale = schedule.alpha(step) * math.expm1(-h)
    x = schedule.sigma(step) / schedule.sigma(last_step) * x_last - scale * old_denoised
    if older_denoised is None:
        return x - scale * 0.5 * (x0 - old_denoised)
    ratio = -h_last / h  # where `older_denoised` lies, in units of this step
    _, b1, b2 = _unipc_weights(h)
    # solve [1 1; ratio 1] w = (b1, b2)
    first = (b1 - b2) / (1 - ratio)
    return x - scale * (first * (older_denoised - old_denoised) / ratio + (b1 - first) * (x0 - old_denoised))
