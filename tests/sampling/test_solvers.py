"""Diffusion solvers: analytic Gaussian data, golden files (in test_golden_sampling.py), seeds, limits."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from tutortoietts.core.errors import OptionError
from tutortoietts.core.samplers import SAMPLERS, Sampler
from tutortoietts.sampling import SOLVERS, SPACINGS, plan, sample
from tutortoietts.sampling.guidance import ramp
from tutortoietts.sampling.rows import row_generators
from tutortoietts.sampling.schedule import trained_schedule
from tutortoietts.sampling.solvers import Trajectory

SCHEDULE = trained_schedule()
DEVIATION = 0.3


def midpoint(trajectory: Trajectory, x: Tensor) -> Tensor:
    """A sampler with two forward passes a step, the second between the planned steps (DPM-Solver++ 2S, arXiv
    2211.01095): half a step down in lambda, then the whole step with the estimate found there."""
    schedule = trajectory.schedule

    def down(x: Tensor, x0: Tensor, step: float, next_step: float) -> Tensor:
        h = schedule.lam(next_step) - schedule.lam(step)
        return schedule.sigma(next_step) / schedule.sigma(step) * x - schedule.alpha(next_step) * math.expm1(-h) * x0

    for index, step in enumerate(trajectory.steps):
        x0, _ = trajectory.clean(x, step)
        if index + 1 == len(trajectory.steps):
            x = x0
        else:
            next_step = trajectory.steps[index + 1]
            middle = schedule.step_at((schedule.lam(step) + schedule.lam(next_step)) / 2)
            x1, _ = trajectory.clean(down(x, x0, step, middle), middle)
            x = down(x, x1, step, next_step)
        trajectory.done(index)
    return x


@pytest.fixture
def two_forwards(monkeypatch: pytest.MonkeyPatch) -> str:
    """`midpoint`, declared by one entry for the length of a test."""
    monkeypatch.setitem(SAMPLERS, "midpoint", Sampler(function=f"{__name__}:midpoint", forwards=2))  # type: ignore[arg-type]
    return "midpoint"


def gaussian(x: Tensor, step: float) -> Tensor:
    """The exact noise estimate when data is normal with deviation 0.3."""
    alpha, sigma = SCHEDULE.alpha(step), SCHEDULE.sigma(step)
    return sigma * x / (alpha**2 * DEVIATION**2 + sigma**2)


def continuous(x: Tensor, step: float) -> Tensor:
    """The same for the schedule in continuous time, t = step / 4000, beta from 0.1 to 20."""
    t = step / 4000
    log_abar = -(0.1 * t + 19.9 * t * t / 2)
    variance = -math.expm1(log_abar)
    return math.sqrt(variance) * x / (math.exp(log_abar) * DEVIATION**2 + variance)


def two_humps(x: Tensor, step: float) -> Tensor:
    """Data at -0.5 and 0.5, each with deviation 0.1: not linear in x."""
    alpha, sigma = SCHEDULE.alpha(step), SCHEDULE.sigma(step)
    variance = (0.1 * alpha) ** 2 + sigma**2
    mean = 0.5 * alpha * torch.tanh(x * 0.5 * alpha / variance)
    return sigma * (x - mean) / variance


def error(solver: str, steps: int, model=gaussian, **options) -> float:
    """Relative error of the deviation; these solvers are linear here, so one unit of noise tells it exactly."""
    out = sample(model, torch.ones(1, 1, 1, dtype=torch.float64), solver=solver, steps=steps, **options)
    return out.item() / DEVIATION - 1


@pytest.mark.parametrize(("steps", "limit"), [(10, 0.012), (20, 0.003), (100, 0.0003)])
def test_default_solver_gives_the_deviation_of_the_data(steps: int, limit: float) -> None:
    assert abs(error("dpm++2m", steps)) < limit
    assert abs(error("dpm++2m", steps, continuous)) < limit + 0.001  # the two schedules differ by one step in 4000


def test_default_solver_on_random_noise() -> None:
    noise = torch.randn(1, 100, 2000, generator=torch.Generator().manual_seed(0))
    for steps, limit in ((10, 0.04), (20, 0.02), (100, 0.003)):
        assert abs(sample(gaussian, noise, steps=steps).std().item() / noise.std().item() / DEVIATION - 1) < limit


@pytest.mark.parametrize("solver", ["dpm++2m", "unipc"])
@pytest.mark.parametrize("spacing", ["logsnr", "sinh"])
def test_second_order(solver: str, spacing: str) -> None:
    exact = error(solver, 2000, spacing=spacing)
    few, many = (abs(error(solver, steps, spacing=spacing) - exact) for steps in (20, 80))
    assert 1.7 < math.log(few / many, 4) < 3.2


def test_spacing_of_the_multistep_as_published() -> None:
    """Log-SNR spacing: the known figures of a plain second-order multistep, within a few tenths."""
    assert error("dpm++2m", 10, spacing="logsnr") == pytest.approx(0.034, abs=0.004)
    assert error("dpm++2m", 20, spacing="logsnr") == pytest.approx(0.018, abs=0.004)


def test_default_spacing_is_the_best_of_all() -> None:
    for steps in (10, 20):
        best = min(abs(error("dpm++2m", steps, spacing=spacing)) for spacing in SPACINGS)
        assert abs(error("dpm++2m", steps)) == best


def test_approaches_the_fine_ddim_solution() -> None:
    noise = torch.linspace(-3, 3, 601).view(1, 1, -1)
    fine = sample(two_humps, noise, solver="ddim", steps=4000, clip=False)
    distance = [
        (sample(two_humps, noise, steps=steps) - fine).norm().item() / fine.norm().item() for steps in (5, 10, 20, 40)
    ]
    assert all(later < earlier / 2 for earlier, later in pairwise(distance)), distance
    assert distance[-1] < 0.01


@pytest.mark.parametrize("solver", ["ancestral", "dpm++2m_sde"])
def test_stochastic_solvers_give_the_deviation(solver: str) -> None:
    noise = torch.randn(1, 100, 400, generator=torch.Generator().manual_seed(1))
    steps = 400 if solver == "ancestral" else 40
    out = sample(gaussian, noise, solver=solver, steps=steps, generator=torch.Generator().manual_seed(2))
    assert out.std().item() == pytest.approx(DEVIATION, rel=0.03)


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_shallow_start_keeps_the_start(solver: str) -> None:
    """From a low step the result stays near a start that the data could have given; from the top it does not."""
    start = torch.full((1, 2, 50), 0.4)
    noise = torch.randn(1, 2, 50, generator=torch.Generator().manual_seed(3))
    make = torch.Generator().manual_seed(4)
    near = sample(two_humps, noise, solver=solver, steps=6, start=start, start_step=100, generator=make)
    assert (near - 0.5).abs().max() < 0.35
    far = sample(two_humps, noise, solver=solver, steps=20, start=start, start_step=3999, generator=make)
    assert (far < 0).any()


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_each_step_takes_its_forwards(solver: str) -> None:
    shown: list[float] = []
    calls: list[tuple[int, int]] = []

    def model(x: Tensor, step: float) -> Tensor:
        shown.append(step)
        return gaussian(x, step)

    planned = plan(solver, 7)
    sample(model, torch.zeros(1, 1, 4), solver=solver, steps=7, on_step=lambda done, of: calls.append((done, of)))
    assert len(shown) == 6 * SAMPLERS[solver].forwards + 1 and [step for step in shown if step in planned] == planned
    assert calls == [(done, 7) for done in range(1, 8)]
    assert shown[0] == 3999 and shown[-1] == 0 and shown == sorted(shown, reverse=True)


def test_a_sampler_with_two_forwards_a_step(two_forwards: str) -> None:
    """One function and one entry are enough: it is planned, guided, converges by its order and may ramp guidance."""
    test_each_step_takes_its_forwards(two_forwards)
    exact = error(two_forwards, 1000, spacing="logsnr")
    few, many = (abs(error(two_forwards, steps, spacing="logsnr") - exact) for steps in (20, 80))
    assert 1.7 < math.log(few / many, 4) < 3.2
    noise = torch.randn(1, 2, 20, generator=torch.Generator().manual_seed(6))
    ramped = sample(
        lambda x, step: (gaussian(x, step), two_humps(x, step)), noise, two_forwards, 6, 2.0, guidance_ramp=True
    )
    strength = ramp(2.0, plan(two_forwards, 6))

    def by_hand(x: Tensor, step: float) -> Tensor:
        return gaussian(x, step) + strength(step) * (gaussian(x, step) - two_humps(x, step))

    torch.testing.assert_close(ramped, sample(by_hand, noise, two_forwards, 6))


def test_a_ramp_between_the_steps() -> None:
    strength = ramp(2.0, [3999.0, 1000.0, 0.0])
    assert [strength(step) for step in (3999.0, 1000.0, 0.0)] == [2 / 3, 4 / 3, 2.0]
    assert strength(500.0) == pytest.approx(5 / 3) and strength(2499.5) == pytest.approx(1.0)


@pytest.mark.parametrize("solver", ["ancestral", "dpm++2m_sde"])
def test_rows_do_not_depend_on_the_batch(solver: str) -> None:
    noise = torch.randn(3, 2, 20, generator=torch.Generator().manual_seed(5))
    whole = sample(gaussian, noise, solver=solver, steps=5, generator=row_generators(7, 3))
    alone = sample(gaussian, noise[2:], solver=solver, steps=5, generator=row_generators(7, 3)[2:])
    torch.testing.assert_close(whole[2:], alone)


def test_guidance_combines_the_pair() -> None:
    noise = torch.randn(1, 2, 20, generator=torch.Generator().manual_seed(6))

    def pair(x: Tensor, step: float) -> tuple[Tensor, Tensor]:
        return gaussian(x, step), two_humps(x, step)

    def by_hand(x: Tensor, step: float) -> Tensor:
        return 3 * gaussian(x, step) - 2 * two_humps(x, step)

    guided = sample(pair, noise, steps=8, guidance=2.0)
    torch.testing.assert_close(guided, sample(by_hand, noise, steps=8))
    assert not torch.allclose(guided, sample(gaussian, noise, steps=8))
    with pytest.raises(OptionError, match="returns \\(conditional"):
        sample(gaussian, noise, guidance=2.0)
    with pytest.raises(OptionError, match="guidance is None"):
        sample(pair, noise)


def test_guidance_may_be_left_out_of_some_steps() -> None:
    noise, places = torch.randn(1, 2, 50, generator=torch.Generator().manual_seed(0)), plan("dpm++2m", 8)
    low, high = places[5], places[2]

    def mixed(x: Tensor, step: float) -> Tensor | tuple[Tensor, Tensor]:
        return (gaussian(x, step), 0.5 * gaussian(x, step)) if low <= step <= high else gaussian(x, step)

    def pair(x: Tensor, step: float) -> tuple[Tensor, Tensor]:
        return gaussian(x, step), 0.5 * gaussian(x, step)

    def by_hand(x: Tensor, step: float) -> Tensor:
        return (2.0 if low <= step <= high else 1.0) * gaussian(x, step)  # 3 c - 2 * c / 2

    want = sample(by_hand, noise, steps=8)
    for model in (mixed, pair):
        torch.testing.assert_close(sample(model, noise, steps=8, guidance=2.0, guidance_interval=(low, high)), want)
    with pytest.raises(OptionError, match="returns \\(conditional"):
        sample(mixed, noise, steps=8, guidance=2.0)


def test_variance_half_is_used_by_ancestral_only() -> None:
    noise = torch.randn(1, 2, 50, generator=torch.Generator().manual_seed(8))

    def wide(x: Tensor, step: float) -> Tensor:
        return torch.cat([gaussian(x, step), torch.ones_like(x)], dim=1)

    for solver in ("ddim", "dpm++2m", "unipc"):
        assert torch.equal(sample(wide, noise, solver=solver), sample(gaussian, noise, solver=solver))
    first, second = (
        sample(model, noise, solver="ancestral", generator=torch.Generator().manual_seed(9))
        for model in (wide, gaussian)
    )
    assert not torch.allclose(first, second)


def test_clip() -> None:
    def loud(x: Tensor, step: float) -> Tensor:
        return (x - SCHEDULE.alpha(step) * 4.0) / SCHEDULE.sigma(step)  # the clean value is 4

    noise = torch.zeros(1, 1, 3)
    for solver in SOLVERS:
        assert sample(loud, noise, solver=solver, clip=True).max() == 1.0
        assert sample(loud, noise, solver=solver, clip=False).max() == pytest.approx(4.0, rel=1e-3)
    assert sample(loud, noise, solver="ddim").max() == 1.0
    assert sample(loud, noise).max() > 3.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "dpm++2n"}, "did you mean 'dpm\\+\\+2m"),
        ({"steps": 0}, "0 diffusion steps outside 1..4000"),
        ({"steps": 4001, "solver": "ddim"}, "4001 diffusion steps outside 1..4000"),
        ({"spacing": "cosine"}, "unknown diffusion spacing 'cosine'"),
        ({"spacing": "cosine", "steps": 1}, "unknown diffusion spacing 'cosine'"),
        ({"start_step": 0, "start": torch.zeros(1, 1, 4)}, "10 diffusion steps from start_step 0: .* take 1"),
        ({"start_step": 5000, "start": torch.zeros(1, 1, 4)}, "start_step 5000 outside 0..3999"),
        ({"start_step": 50}, "start and start_step belong together"),
        ({"start": torch.zeros(1, 1, 5), "start_step": 50}, "must be that of noise"),
        ({"step_noise": torch.zeros(3, 1, 1, 4)}, "holds 3 steps, 10 are needed"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        sample(gaussian, torch.zeros(1, 1, 4), **options)


def test_schedule_is_the_trained_one() -> None:
    betas = torch.linspace(2.5e-5, 5e-3, 4000, dtype=torch.float64)
    abar = torch.cumprod(1 - betas, 0)
    for step in (0, 1, 1234, 3999):
        assert SCHEDULE.alpha(step) == pytest.approx(abar[step].sqrt().item(), rel=1e-9)
        assert SCHEDULE.step_at(SCHEDULE.lam(step)) == pytest.approx(step, abs=1e-6)
    assert SCHEDULE.alpha(10) > SCHEDULE.alpha(10.5) > SCHEDULE.alpha(11)
    assert SCHEDULE.step_at(99.0) == 0 and SCHEDULE.step_at(-99.0) == 3999
