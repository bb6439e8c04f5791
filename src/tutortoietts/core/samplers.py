"""Samplers of the diffusion model and the spacings of their steps, by name.

Adding a sampler is one function in `tutortoietts.sampling.solvers` and one entry of `SAMPLERS`: options, the command
line, presets and the documentation read the names from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SAMPLERS", "SPACINGS", "Sampler"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """A sampler of the diffusion model.

    function: dotted name "module:name" of a `sampling.solvers.Solver`. original: run it as the original Tortoise does
    unless options say otherwise: on its integer steps, clean estimates clipped to [-1, 1], guidance that grows from
    step to step. forwards: forward passes that each step but the last takes.
    """

    function: str
    original: bool = False
    forwards: int = 1


_SOLVERS = "tutortoietts.sampling.solvers"

SAMPLERS: Mapping[str, Sampler] = {
    "ancestral": Sampler(function=f"{_SOLVERS}:ancestral", original=True),
    "ddim": Sampler(function=f"{_SOLVERS}:ddim", original=True),
    "dpm++2m": Sampler(function=f"{_SOLVERS}:dpmpp_2m"),
    "dpm++2m_sde": Sampler(function=f"{_SOLVERS}:dpmpp_2m_sde"),
    "unipc": Sampler(function=f"{_SOLVERS}:unipc"),
}
"""Name -> sampler."""

SPACINGS = ("uniform", "logsnr", "karras", "sinh")
"""Names of the ways to place a few steps on the trained schedule; see `sampling.schedule.Schedule.place`."""
