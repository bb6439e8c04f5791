"""How one text is spoken: the options of `tts`, checked as a whole before any model runs, and named sets of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from tutortoietts.core.errors import OptionError

__all__ = ["PRESETS", "SpeechOptions", "known_names", "preset_options"]

SAMPLERS = ("ancestral", "ddim", "dpm++2m", "dpm++2m_sde", "unipc")
SPACINGS = ("uniform", "logsnr", "karras", "sinh")

_RANGES: dict[str, tuple[float, float]] = {
    "num_autoregressive_samples": (1, 4096),
    "temperature": (0.01, 10.0),
    "length_penalty": (-100.0, 100.0),
    "repetition_penalty": (0.1, 20.0),
    "top_p": (1e-6, 1.0),
    "top_k": (0, 1_000_000),
    "min_mel_tokens": (0, 100_000),
    "max_mel_tokens": (1, 100_000),
    "cvvp_amount": (0.0, 1.0),
    "diffusion_iterations": (0, 4000),
    "cond_free_k": (0.0, 100.0),
    "cond_free_from": (0, 3999),
    "cond_free_to": (0, 3999),
    "diffusion_temperature": (0.0, 10.0),
    "diffusion_start_step": (0, 3999),
    "latent_averaging_mode": (0, 2),
}
_CHOICES: dict[str, tuple[str | None, ...]] = {
    "sampler": SAMPLERS,
    "diffusion_spacing": (None, *SPACINGS),
    "diffusion_start": ("noise", "regressed"),
    "calm_rule": ("after_stop", "anywhere"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechOptions:
    """The tuning arguments of `tts`. Defaults are the originals' common settings.

    Codes: `num_autoregressive_samples` candidates are drawn by `repetition_penalty`, `temperature`, `top_k` (0: off)
    and `top_p`, of at least `min_mel_tokens` and at most `max_mel_tokens` codes each (21.5 a second); where both are
    equal, of exactly so many. `length_penalty` is accepted and does nothing: only beam search would use it.
    `cvvp_amount` 0..1 is CVVP's share in the ranking.
    Mel: `diffusion_iterations` forwards of `sampler`; `cond_free` guides by `cond_free_k` (two forwards in one batch),
    at trained steps `cond_free_from` (3999 is the noisiest) down to `cond_free_to` only. `diffusion_temperature` scales
    the starting noise. `diffusion_start` "regressed" begins from the model's own first guess of the mel, noised to
    `diffusion_start_step` (0..3999); with 0 iterations that guess is the result.
    `diffusion_spacing` None: the sampler's own best. `calm_rule`: where a long run of the silence code ends the
    utterance: only "after_stop", or "anywhere" as the original, which also cuts speech after a long pause.
    `latent_averaging_mode`: how clips become a voice (0: one crop a clip, 1: all crops of all clips, 2: mean by clip).
    """

    num_autoregressive_samples: int = 512
    temperature: float = 0.8
    length_penalty: float = 1.0
    repetition_penalty: float = 2.0
    top_p: float = 0.8
    top_k: int = 50
    min_mel_tokens: int = 0
    max_mel_tokens: int = 500
    cvvp_amount: float = 0.0
    diffusion_iterations: int = 100
    cond_free: bool = True
    cond_free_k: float = 2.0
    cond_free_from: int = 3999
    cond_free_to: int = 0
    diffusion_temperature: float = 1.0
    sampler: str = "ancestral"
    diffusion_spacing: str | None = None
    diffusion_start: str = "noise"
    diffusion_start_step: int = 1000
    calm_rule: str = "after_stop"
    latent_averaging_mode: int = 0

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            name, value = item.name, getattr(self, item.name)
            if name in _CHOICES:
                _check_choice(name, value)
            elif name in _RANGES:
                _check_number(name, value, whole=item.type in ("int", int))
            elif not isinstance(value, bool):
                raise OptionError(f"{name} is {value!r}, must be True or False")
        if self.cond_free_from < self.cond_free_to:
            raise OptionError(
                f"cond_free_from is {self.cond_free_from}, below cond_free_to, which is {self.cond_free_to}: "
                "the first is the noisier step"
            )
        if self.diffusion_iterations == 0 and self.diffusion_start != "regressed":
            raise OptionError('diffusion_iterations is 0: give at least 1, or diffusion_start="regressed"')
        if self.diffusion_start == "regressed" and self.diffusion_iterations > self.diffusion_start_step + 1:
            raise OptionError(
                f"diffusion_iterations {self.diffusion_iterations} from diffusion_start_step "
                f"{self.diffusion_start_step}: there are only {self.diffusion_start_step + 1} trained steps; take fewer"
            )

    @property
    def guidance(self) -> float | None:
        """The strength of guidance, None without."""
        return self.cond_free_k if self.cond_free else None


def _check_choice(name: str, value: object) -> None:
    choices = _CHOICES[name]
    if value in choices:
        return
    near = get_close_matches(str(value), [str(choice) for choice in choices], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise OptionError(f"{name} is {value!r}, must be one of {', '.join(map(repr, choices))}{hint}")


def _check_number(name: str, value: object, whole: bool) -> None:
    low, high = _RANGES[name]
    kind = "a whole number" if whole else "a number"
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not fits or value != value or abs(value) == math.inf:  # type: ignore[arg-type]
        raise OptionError(f"{name} is {value!r}, must be {kind} of {low:g}..{high:g}")
    if not low <= value <= high:  # type: ignore[operator]
        shown = f"{value:g}" if abs(value) < 1e300 else "enormous"  # type: ignore[arg-type]
        raise OptionError(f"{name} is {shown}, outside {low:g}..{high:g}")


_OPTIMIZED = {"sampler": "dpm++2m", "repetition_penalty": 2.5}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # the originals
    "ultra_fast": {"num_autoregressive_samples": 16, "diffusion_iterations": 30, "cond_free": False},
    "fast": {"num_autoregressive_samples": 96, "diffusion_iterations": 80},
    "standard": {"num_autoregressive_samples": 256, "diffusion_iterations": 200},
    "high_quality": {"num_autoregressive_samples": 256, "diffusion_iterations": 400},
    # ours; the steps of "realtime" and "balanced" are read off the curve in docs/quality.md
    "realtime": {
        **_OPTIMIZED,
        "num_autoregressive_samples": 4,
        "diffusion_iterations": 6,
        "cond_free": False,
        "temperature": 0.65,
        "top_p": 0.75,
        "diffusion_temperature": 0.8,
    },
    "balanced": {
        **_OPTIMIZED,
        "num_autoregressive_samples": 16,
        "diffusion_iterations": 10,
        "temperature": 0.7,
    },
    "ultra_fast_optimized": {
        **_OPTIMIZED,
        "num_autoregressive_samples": 8,
        "diffusion_iterations": 15,
        "cond_free": False,
        "temperature": 0.65,
        "top_p": 0.75,
        "diffusion_temperature": 0.8,
    },
    "fast_optimized": {
        **_OPTIMIZED,
        "num_autoregressive_samples": 32,
        "diffusion_iterations": 40,
        "temperature": 0.7,
    },
    "standard_optimized": {
        **_OPTIMIZED,
        "num_autoregressive_samples": 96,
        "diffusion_iterations": 100,
        "temperature": 0.7,
        "top_p": 0.85,
    },
}
"""Name -> what differs from the defaults of `SpeechOptions`. A model directory may bring more names of its own."""


def known_names() -> tuple[str, ...]:
    """The options a preset or a call of `tts` may set."""
    return tuple(item.name for item in dataclasses.fields(SpeechOptions))


def preset_options(
    preset: str, overrides: Mapping[str, Any] | None = None, own: Mapping[str, Mapping[str, Any]] | None = None
) -> SpeechOptions:
    """The options of a preset, with `overrides` on top. `own`: the presets a model brings, found before the usual ones.

    Raises OptionError for an unknown preset, a value out of range or an override that the others leave without effect;
    TypeError for an unknown option.
    """
    named = {**PRESETS, **(own or {})}
    if not isinstance(preset, str) or preset not in named:
        near = get_close_matches(str(preset), named, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise OptionError(f"unknown preset {preset!r}{hint} (there are {', '.join(named)})")
    values = {**named[preset], **(overrides or {})}
    refuse_unknown(values, known_names())
    options = SpeechOptions(**values)
    _refuse_idle(overrides or {}, options)
    return options


def _refuse_idle(given: Mapping[str, Any], options: SpeechOptions) -> None:
    """OptionError for an option of `given` that changes nothing beside the others. `cond_free_k` may: old scripts give
    it with cond_free=False."""
    if "diffusion_start_step" in given and options.diffusion_start != "regressed":
        raise OptionError(
            f"diffusion_start_step is {options.diffusion_start_step}, but diffusion_start is "
            f'{options.diffusion_start!r}: leave it out, or give diffusion_start="regressed"'
        )
    for name in ("cond_free_from", "cond_free_to"):
        if name in given and not options.cond_free:
            raise OptionError(f"{name} is {given[name]}, but cond_free is False: leave it out, or give cond_free=True")


def refuse_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    """TypeError naming the first unknown option and the nearest known one."""
    names = tuple(known)
    for name in given:
        if name not in names:
            near = get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
            raise TypeError(f"unknown option {name!r}; {hint}")
