"""Presets and option checks."""

from __future__ import annotations

import pytest

from tutortoietts.core.errors import OptionError
from tutortoietts.core.options import SPEECH, SpeechOptions
from tutortoietts.core.presets import PRESETS, preset_options
from tutortoietts.core.samplers import SAMPLERS, SPACINGS
from tutortoietts.sampling import SOLVERS


def test_the_originals_numbers() -> None:
    wanted = {"ultra_fast": (16, 30, None), "fast": (96, 80, 2.0), "standard": (256, 200, 2.0)}
    wanted["high_quality"] = (256, 400, 2.0)
    for name, numbers in wanted.items():
        options = preset_options(name)
        assert (options.num_autoregressive_samples, options.diffusion_iterations, options.guidance) == numbers
        assert (options.temperature, options.top_p, options.repetition_penalty) == (0.8, 0.8, 2.0)
        assert (options.diffusion_temperature, options.max_mel_tokens, options.length_penalty) == (1.0, 500, 1.0)
        assert options.sampler == "ancestral"


def test_the_optimized_numbers() -> None:
    wanted = {
        "realtime": (4, 6, None, 0.65, 0.75, 2.5, 0.8),
        "balanced": (16, 10, 2.0, 0.7, 0.8, 2.5, 1.0),
        "ultra_fast_optimized": (8, 15, None, 0.65, 0.75, 2.5, 0.8),
        "fast_optimized": (32, 40, 2.0, 0.7, 0.8, 2.5, 1.0),
        "standard_optimized": (96, 100, 2.0, 0.7, 0.85, 2.5, 1.0),
    }
    for name, numbers in wanted.items():
        o = preset_options(name)
        drawn = (o.num_autoregressive_samples, o.diffusion_iterations, o.guidance)
        assert (*drawn, o.temperature, o.top_p, o.repetition_penalty, o.diffusion_temperature) == numbers
        assert o.sampler == "dpm++2m"


def test_no_preset_starts_from_the_first_mel() -> None:
    """It has not been measured on the public checkpoints; a model's own presets may."""
    assert {preset_options(name).diffusion_start for name in PRESETS} == {"noise"}


def test_every_preset_is_valid_and_samplers_exist() -> None:
    assert all(preset_options(name) for name in PRESETS)
    assert {preset_options(name).sampler for name in PRESETS} <= set(SAMPLERS)
    assert list(SAMPLERS) == list(SOLVERS) and SPEECH["sampler"].choices == tuple(SAMPLERS)
    assert SPEECH["diffusion_spacing"].choices == (None, *SPACINGS)


def test_overrides_and_a_models_own_presets() -> None:
    assert preset_options("fast", {"top_k": 7}).top_k == 7
    own = {"quick": {"num_autoregressive_samples": 3}}
    assert preset_options("quick", own=own).num_autoregressive_samples == 3
    with pytest.raises(OptionError, match="unknown preset 'quik'; did you mean 'quick'"):
        preset_options("quik", own=own)
    with pytest.raises(TypeError, match="unknown option 'temprature'; did you mean 'temperature'"):
        preset_options("fast", {"temprature": 1.0})


@pytest.mark.parametrize(
    ("preset", "given", "message"),
    [
        ("fast", {"diffusion_start_step": 5}, "step is 5, but diffusion_start is 'noise': leave it out"),
        ("first", {"diffusion_start_step": 5, "diffusion_start": "noise"}, 'or give diffusion_start="regressed"'),
        ("ultra_fast", {"cond_free_to": 7}, "cond_free_to is 7, but cond_free is False: leave it out"),
        ("first", {"cond_free_from": 70, "cond_free": False}, "or give cond_free=True"),
    ],
)
def test_what_would_change_nothing_is_refused(preset: str, given: dict, message: str) -> None:
    """But not where the preset brings it, nor the strength of a guidance that is off: old scripts give both."""
    own = {"first": {"diffusion_start": "regressed", "diffusion_start_step": 300, "cond_free_to": 9}}
    with pytest.raises(OptionError, match=message):
        preset_options(preset, given, own=own)
    fits = {"diffusion_start": "regressed", "cond_free": True, "diffusion_iterations": 2}
    assert preset_options(preset, {**given, **fits}, own=own)
    assert preset_options("first", {"diffusion_start": "noise", "cond_free": False, "cond_free_k": 3}, own=own)


@pytest.mark.parametrize("start", ["regressed", "streamed"])
def test_an_estimate_may_be_noised_again_or_be_the_result(start: str) -> None:
    assert preset_options("fast", {"diffusion_start": start, "diffusion_start_step": 99}).diffuses
    alone = preset_options("fast", {"diffusion_start": start, "diffusion_iterations": 0})
    assert alone.diffuses == (start == "regressed")  # whose estimate is the diffusion model's own


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_autoregressive_samples": 0}, "num_autoregressive_samples is 0, outside 1..4096"),
        ({"num_autoregressive_samples": 2.5}, "must be an integer"),
        ({"num_autoregressive_samples": True}, "must be an integer"),
        ({"temperature": "hot"}, "temperature is 'hot', must be a number"),
        ({"temperature": float("inf")}, "temperature is inf, must be a number"),
        ({"top_p": 1.2}, "top_p is 1.2, outside"),
        ({"sampler": "dpm2m"}, "did you mean 'dpm\\+\\+2m'"),
        ({"diffusion_spacing": "cosine"}, "must be one of None, 'uniform'"),
        ({"cond_free": "yes"}, "cond_free is 'yes', must be True or False"),
        ({"diffusion_iterations": 0}, 'give at least 1, or diffusion_start="regressed"'),
        ({"cond_free_from": 10, "cond_free_to": 11}, "cond_free_from is 10, below cond_free_to"),
        ({"diffusion_iterations": 4001}, "outside 0..4000"),
        ({"diffusion_start": "regressed", "diffusion_start_step": 3, "diffusion_iterations": 6}, "only 4 trained"),
        ({"diffusion_start": "streamed", "diffusion_start_step": 3, "diffusion_iterations": 6}, "only 4 trained"),
        ({"diffusion_start": "stream"}, "must be one of 'noise', 'regressed', 'streamed'; did you mean 'streamed'"),
        ({"latent_averaging_mode": 3}, "outside 0..2"),
        ({"cvvp_amount": -0.1}, "outside 0..1"),
    ],
)
def test_bad_values_are_refused(options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        SpeechOptions(**options)
