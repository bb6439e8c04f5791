"""Sampling arithmetic, on callables instead of models: `sample` runs the diffusion, `tokens` draws codes."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import cast

import torch
from torch import Tensor

from tutortoietts.core.components import resolve
from tutortoietts.core.errors import OptionError
from tutortoietts.core.samplers import SAMPLERS, SPACINGS
from tutortoietts.sampling.guidance import NoiseModel, guide, ramp
from tutortoietts.sampling.rows import Generators, randn
from tutortoietts.sampling.schedule import Schedule, trained_schedule
from tutortoietts.sampling.solvers import Solver, Trajectory

__all__ = ["SOLVERS", "SPACINGS", "noised", "plan", "sample"]

SOLVERS: dict[str, Solver] = {name: resolve(sampler.function) for name, sampler in SAMPLERS.items()}
"""Name -> function of each sampler in `core.samplers`."""


def plan(solver: str, steps: int, spacing: str | None = None, start_step: float | None = None) -> list[float]:
    """Return the trained steps that a sampler visits, the noisiest first.

    `spacing` None: the sampler's own best, measured on Gaussian data and mixtures (docs/quality.md); ancestral and ddim
    then take the respaced integer steps of the original Tortoise. A sampler may also call the model between them.
    Raises OptionError for an unknown sampler or spacing and numbers out of range.
    """
    if solver not in SAMPLERS:
        near = get_close_matches(str(solver), SAMPLERS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise OptionError(f"unknown diffusion solver {solver!r}{hint}; choose one of {', '.join(SAMPLERS)}")
    schedule = trained_schedule()
    if SAMPLERS[solver].original and spacing in (None, "uniform"):
        return list(schedule.respace(steps, None if start_step is None else int(start_step)))
    return schedule.place(spacing or "sinh", steps, start_step)


def noised(start: Tensor, noise: Tensor, step: float, schedule: Schedule | None = None) -> Tensor:
    """Return a clean `start` noised to a trained step: alpha * start + sigma * noise."""
    schedule = schedule or trained_schedule()
    return schedule.alpha(step) * start + schedule.sigma(step) * noise


def sample(
    eps_model: NoiseModel,
    noise: Tensor,
    solver: str = "dpm++2m",
    steps: int = 10,
    guidance: float | None = None,
    generator: Generators = None,
    spacing: str | None = None,
    *,
    clip: bool | None = None,
    start_step: float | None = None,
    start: Tensor | None = None,
    step_noise: Tensor | None = None,
    guidance_ramp: bool | None = None,
    guidance_interval: tuple[float, float] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Solve the reverse diffusion from `noise` (B, C, F), standard normal at the noisiest step -> (B, C, F) float32.

    `eps_model(x, step)` returns the noise estimate (B, C, F) at trained step 0..3999 (a float; an integer for ancestral
    and ddim), or (B, 2C, F) with the variance half that `ancestral` uses. With `guidance` = k it must return the pair
    (conditional, unconditional), combined as (1 + k) c - k u. It is called once at each of the `plan`'s steps; a
    sampler with two forward passes a step also calls it between them.
    `solver`: a name in `core.samplers.SAMPLERS`. `steps`: how many steps it takes.
    `guidance_ramp`: k grows evenly from k / steps at the noisiest step to k at the last (default: for ancestral and
    ddim only, as in the original).
    `guidance_interval`: only trained steps of this (lowest, highest) are guided; elsewhere `eps_model` may return the
    conditional estimate alone.
    `generator`: one for all rows, or one per row, for samplers that draw noise; `step_noise` (steps, B, C, F) gives
    that noise instead. `clip`: hold clean estimates in [-1, 1] (default: for ancestral and ddim only).
    `start` (B, C, F) with `start_step`: begin from this clean estimate, noised to that step, instead of pure noise.
    `on_step(done, steps)` is called after each step; an exception from it stops the work.
    Raises OptionError for an unknown solver or spacing and numbers out of range.
    """
    placed = plan(solver, steps, spacing, start_step)
    if (start is None) != (start_step is None):
        raise OptionError("start and start_step belong together; give both or neither")
    if step_noise is not None and len(step_noise) < steps:
        raise OptionError(f"step_noise holds {len(step_noise)} steps, {steps} are needed")
    x = noise.float()
    if start is not None:
        if start.shape != noise.shape:
            raise OptionError(f"start has shape {tuple(start.shape)}, must be that of noise, {tuple(noise.shape)}")
        x = noised(start.float(), x, placed[0])

    def fresh(index: int) -> Tensor:
        if step_noise is not None:
            return step_noise[index].to(x)
        return randn(noise.shape, generator, noise.device)

    ramped = SAMPLERS[solver].original if guidance_ramp is None else guidance_ramp
    trajectory = Trajectory(
        estimate=guide(
            eps_model, ramp(guidance, placed) if ramped and guidance is not None else guidance, guidance_interval
        ),
        schedule=trained_schedule(),
        steps=placed,
        noise=fresh,
        clip=SAMPLERS[solver].original if clip is None else clip,
        on_step=on_step,
    )
    with torch.no_grad():
        return cast(Solver, resolve(SAMPLERS[solver].function))(trajectory, x)
