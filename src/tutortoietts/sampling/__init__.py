"""Sampling arithmetic: it gets callables, never models. `sample` runs the diffusion; `tokens` draws codes."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

import torch
from torch import Tensor

from tutortoietts.core.errors import OptionError
from tutortoietts.sampling.guidance import NoiseModel, guide, ramp
from tutortoietts.sampling.rows import Generators, randn
from tutortoietts.sampling.schedule import SPACINGS, Schedule, trained_schedule
from tutortoietts.sampling.solvers import SOLVERS, Trajectory

__all__ = ["SOLVERS", "SPACINGS", "noised", "plan", "sample"]

_RESPACED = ("ancestral", "ddim")  # on the originals' whole steps, clipped, unless asked otherwise


def plan(solver: str, steps: int, spacing: str | None = None, start_step: float | None = None) -> list[float]:
    """The trained steps a solver will show the model, the first taken first.

    `spacing` None: the solver's own best, measured on Gaussian data and mixtures (docs/quality.md); ancestral and ddim
    then take the originals' respaced whole steps.
    """
    if solver not in SOLVERS:
        near = get_close_matches(str(solver), SOLVERS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise OptionError(f"unknown diffusion solver {solver!r}{hint}; choose one of {', '.join(SOLVERS)}")
    schedule = trained_schedule()
    if solver in _RESPACED and spacing in (None, "uniform"):
        return list(schedule.respace(steps, None if start_step is None else int(start_step)))
    return schedule.place(spacing or "sinh", steps, start_step)


def noised(start: Tensor, noise: Tensor, step: float, schedule: Schedule | None = None) -> Tensor:
    """A clean `start` as it looks at a trained step: alpha * start + sigma * noise."""
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

    `eps_model(x, step)` gives the noise estimate (B, C, F) at trained step 0..3999 (a float; whole for ancestral and
    ddim), or (B, 2C, F) with the variance half that `ancestral` uses. With `guidance` = k it must return the pair
    (conditional, unconditional), combined as (1 + k) c - k u. It is called `steps` times.
    `guidance_ramp`: k grows evenly from k / steps at the noisiest step to k at the last (default: ancestral and ddim
    only, as the originals).
    `guidance_interval`: only trained steps of this (lowest, highest) are guided; elsewhere `eps_model` may return the
    conditional estimate alone.
    `generator`: one for all, or one a row, for the solvers that draw noise; `step_noise` (steps, B, C, F) gives that
    noise instead. `clip`: hold clean estimates in [-1, 1] (default: ancestral and ddim only, as the originals).
    `start` (B, C, F) with `start_step`: begin from this clean estimate, noised to that step, instead of pure noise.
    `on_step(done, steps)` is called after each step; what it raises stops the work.
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

    ramped = solver in _RESPACED if guidance_ramp is None else guidance_ramp
    walk = Trajectory(
        estimate=guide(
            eps_model, ramp(guidance, placed) if ramped and guidance is not None else guidance, guidance_interval
        ),
        schedule=trained_schedule(),
        steps=placed,
        noise=fresh,
        clip=solver in _RESPACED if clip is None else clip,
        on_step=on_step,
    )
    with torch.no_grad():
        return SOLVERS[solver](walk, x)
