"""Presets: named sets of the options of `tts`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from tutortoietts.core.errors import OptionError
from tutortoietts.core.options import SPEECH, SpeechOptions

__all__ = ["PRESETS", "SpeechOptions", "known_names", "preset_options", "refuse_unknown", "without_original"]

_OPTIMIZED = {"sampler": "dpm++2m", "repetition_penalty": 2.5}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # the original Tortoise
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
    """Return the names of the options that a preset or a call of `tts` may set."""
    return tuple(SPEECH)


def preset_options(
    preset: str, overrides: Mapping[str, Any] | None = None, own: Mapping[str, Mapping[str, Any]] | None = None
) -> SpeechOptions:
    """Return the options of a preset, with `overrides` on top. `own`: presets of the model, found first.

    Raises OptionError for an unknown preset, a value out of range or an override that would have no effect; TypeError
    for an unknown option.
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
    """Raise OptionError for an option of `given` that has no effect beside the others. `cond_free_k` is let through:
    old scripts give it with cond_free=False."""
    if "diffusion_start_step" in given and options.diffusion_start == "noise":
        raise OptionError(
            f"diffusion_start_step is {options.diffusion_start_step}, but diffusion_start is "
            f'{options.diffusion_start!r}: leave it out, or give diffusion_start="regressed"'
        )
    for name in ("cond_free_from", "cond_free_to"):
        if name in given and not options.cond_free:
            raise OptionError(f"{name} is {given[name]}, but cond_free is False: leave it out, or give cond_free=True")


_ORIGINAL: Mapping[str, tuple[Any, str]] = {
    "do_sample": (True, "codes are always drawn at random; top_k=1 takes the likeliest"),
    "typical_sampling": (False, "use top_p and top_k"),
    "typical_mass": (None, "use top_p and top_k"),
    "num_beams": (1, "there is no beam search; draw more candidates with num_autoregressive_samples"),
    "num_return_sequences": (None, "candidates are drawn with num_autoregressive_samples, and k of them returned"),
    "sample_batch_size": (None, "give autoregressive_batch_size to TextToSpeech"),
    "breathing_room": (None, "the end of speech is found by calm_rule"),
    "input_tokens": (None, "text is given as text"),
}
"""Options that scripts passed on to the original's decoder: the value that changes nothing, and the replacement."""


def without_original(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options without those of the original that change nothing. Raise OptionError for its other ones."""
    for name, value in given.items():
        if name in _ORIGINAL and (value != _ORIGINAL[name][0] or _ORIGINAL[name][0] is None):
            raise OptionError(f"{name}={value!r} is not supported: {_ORIGINAL[name][1]}")
    return {name: value for name, value in given.items() if name not in _ORIGINAL}


def refuse_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    """Raise TypeError naming the first unknown option and the nearest known one."""
    names = tuple(known)
    for name in given:
        if name not in names:
            near = get_close_matches(name, names, n=1, cutoff=0.7)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
            raise TypeError(f"unknown option {name!r}; {hint}")
