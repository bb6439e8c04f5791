"""Compare slow and fast settings on the same sentence, in turns, so that a busy machine slows both alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tutortoietts.bench.measure import Figures, flow_order
from tutortoietts.bench.workload import Plan, Sample, Workload
from tutortoietts.core.presets import PRESETS, preset_options

__all__ = ["Comparison", "compare", "slow_engine", "slow_plan"]

_USUAL = "ultra_fast"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Seconds of both sides by stage and in "total"; `ratios`: slow over fast, None where fast took no time.

    `settings`: settings that differ, name -> (slow, fast).
    """

    settings: Mapping[str, tuple[Any, Any]]
    slow: Mapping[str, Figures]
    fast: Mapping[str, Figures]
    ratios: Mapping[str, float | None]

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self)


def slow_engine(engine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `TextToSpeech` that turn every speedup off: no cache, float32."""
    off = {"kv_cache": False, "half": False, "precision": "fp32", "use_deepspeed": False}
    return {**engine, **{name: value for name, value in off.items() if name in engine}}


def slow_plan(plan: Plan, preset: str, *, denoises: bool = True) -> Plan:
    """Return the plan with the ancestral sampler from noise, in the steps of the original preset of that name.

    "x_optimized" is compared with "x", any other preset with "ultra_fast"; guidance and candidates stay the same.
    denoises: False for a model without diffusion, whose plan stays as it is.
    """
    if not denoises:
        return plan
    original = preset.removesuffix("_optimized")
    options = preset_options(original if original in PRESETS else _USUAL)
    slow = {
        "sampler": "ancestral",
        "diffusion_iterations": options.diffusion_iterations,
        "diffusion_spacing": None,
        "diffusion_start": "noise",
    }
    return replace(plan, options={**plan.options, **slow})


def compare(slow: Workload, fast: Workload, tell: Callable[[str], None]) -> Comparison:
    """Measure both workloads in turns, as often as `fast.plan` asks. They must differ in settings only."""
    plan, samples = fast.plan, ([], [])  # type: tuple[Plan, tuple[list[Sample], list[Sample]]]
    for number in range(-plan.warmup, plan.runs):
        for name, workload, kept in (("slow", slow, samples[0]), ("fast", fast, samples[1])):
            sample = workload.run()
            tell(f"{'warm-up' if number < 0 else f'run {number + 1} of {plan.runs}'}, {name}: {sample.seconds:.3f} s")
            kept += [sample] if number >= 0 else []
    figures = [_by_stage(kept) for kept in samples]
    return Comparison(
        settings=_differences(slow, fast), slow=figures[0], fast=figures[1], ratios=_ratios(figures[0], figures[1])
    )


def _by_stage(samples: Sequence[Sample]) -> dict[str, Figures]:
    stages = {name: Figures.of([sample.stages[name] for sample in samples]) for name in flow_order(samples[0].stages)}
    return {**stages, "total": Figures.of([sample.seconds for sample in samples])}


def _ratios(slow: Mapping[str, Figures], fast: Mapping[str, Figures]) -> dict[str, float | None]:
    return {
        name: slow[name].median / fast[name].median if name in slow and fast[name].median else None for name in fast
    }


def _differences(slow: Workload, fast: Workload) -> dict[str, tuple[Any, Any]]:
    sides = [
        {**{name: getattr(one.tts, name) for name in ("kv_cache", "precision")}, **asdict(one.options)}
        for one in (slow, fast)
    ]
    return {name: (sides[0][name], sides[1][name]) for name in sides[0] if sides[0][name] != sides[1][name]}
