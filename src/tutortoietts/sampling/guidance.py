"""Guidance by an estimate without conditioning ("conditioning-free"): push the estimate away from that one.

It may be limited to an interval of steps, as it matters little elsewhere (Kynkaanniemi et al. 2024, arXiv:2404.07724).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from tutortoietts.core.errors import OptionError

__all__ = ["EpsModel", "Estimate", "Guidance", "NoiseModel", "PairModel", "guide", "ramp", "split_variance"]

EpsModel = Callable[[Tensor, float], Tensor]
"""(x (B, C, F), trained step) -> noise estimate (B, C, F), or (B, 2C, F) with the variance half behind it."""

PairModel = Callable[[Tensor, float], tuple[Tensor, Tensor]]
"""As EpsModel, but returns the (conditional, unconditional) pair that `guidance=k` needs."""

NoiseModel = Callable[[Tensor, float], Tensor | tuple[Tensor, Tensor]]
"""An EpsModel, a PairModel, or a model that returns a pair at some steps and one estimate at others."""

Estimate = Callable[[Tensor, float], tuple[Tensor, Tensor | None]]
"""(x, step) -> (noise estimate, variance half or None), both float32 (B, C, F): the form that samplers call."""


def split_variance(output: Tensor, channels: int) -> tuple[Tensor, Tensor | None]:
    """Split a model output into (noise estimate, variance half or None), in float32."""
    if output.shape[1] == channels:
        return output.float(), None
    if output.shape[1] == 2 * channels:
        eps, variance = output.float().chunk(2, dim=1)
        return eps, variance
    raise OptionError(f"the noise model gives {output.shape[1]} channels; for {channels} it must be that or twice that")


Guidance = float | Callable[[float], float]
"""The strength k: one number, or one for each trained step."""


def ramp(guidance: float, steps: Sequence[float]) -> Callable[[float], float]:
    """Return the original Tortoise's strength by trained step: from k / n at the first (noisiest) of the n `steps`,
    evenly up to k at the last. Steps between two of them get what lies between."""
    strength = {step: guidance * (index + 1) / len(steps) for index, step in enumerate(steps)}

    def at(step: float) -> float:
        if step in strength:
            return strength[step]
        after = next(index for index, one in enumerate(steps) if one < step)
        share = (steps[after - 1] - step) / (steps[after - 1] - steps[after])
        return guidance * (after + share) / len(steps)

    return at


def guide(model: NoiseModel, guidance: Guidance | None, interval: tuple[float, float] | None = None) -> Estimate:
    """Return the estimate (1 + k) * conditional - k * unconditional with k = `guidance`; None: the conditional one.

    The variance half is the conditional one's. With a k the model must return the pair, except at trained steps outside
    the `interval` (lowest, highest): there the conditional estimate is used, and may come alone.
    Raises OptionError where the model returns a pair without guidance, or one estimate with it.
    """

    def plain(x: Tensor, step: float) -> tuple[Tensor, Tensor | None]:
        output = model(x, step)
        if not isinstance(output, Tensor):
            raise OptionError("the noise model gives a pair but guidance is None; give guidance or return one tensor")
        return split_variance(output, x.shape[1])

    def guided(x: Tensor, step: float) -> tuple[Tensor, Tensor | None]:
        pair = model(x, step)
        if interval is not None and not interval[0] <= step <= interval[1]:
            return split_variance(pair if isinstance(pair, Tensor) else pair[0], x.shape[1])
        if isinstance(pair, Tensor):
            raise OptionError("guidance needs a noise model that returns (conditional, unconditional)")
        eps, variance = split_variance(pair[0], x.shape[1])
        away, _ = split_variance(pair[1], x.shape[1])
        strength = guidance(step) if callable(guidance) else float(guidance or 0.0)
        return eps + strength * (eps - away), variance

    return plain if guidance is None else guided
