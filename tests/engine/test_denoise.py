"""Latents to mel: guidance in one batch equals two forwards, regressed and streamed starts, seeds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import tiny_configs
from tutortoietts.accelerate import accelerate
from tutortoietts.audio.mel import MEL_MAX, MEL_MIN, denormalize_mel
from tutortoietts.core.config import UnivNetConfig
from tutortoietts.core.errors import ModelError
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.core.types import Mel
from tutortoietts.engine.denoise import Unconditioned, denoise, mel_frames, streamed_mel
from tutortoietts.engine.vocode import vocode, vocode_all
from tutortoietts.models.diffusion import Diffusion
from tutortoietts.models.stream_vocos import StreamFront
from tutortoietts.models.univnet import UnivNet

LATENTS = torch.randn(1, 9, 32, generator=torch.Generator().manual_seed(1))
SPEAKER = 0.1 * torch.randn(1, 64, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def model() -> Diffusion:
    cfg = tiny_configs.diffusion(in_tokens=9)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Diffusion(cfg).eval().requires_grad_(False)
        for parameter in made.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    accelerate(made)
    return made


@pytest.fixture(scope="module")
def front() -> StreamFront:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = StreamFront(tiny_configs.stream_decoder("stream_vocos", 32)).eval().requires_grad_(False)
        made.out.weight *= 2  # part of the mel is beyond what vocoders know
    return made


def run(model: Diffusion, seed: int = 0, *, batched: bool = True, on_step=None, kept=None, **options) -> Tensor:
    given = {name: options.pop(name, None) for name in ("capture", "first")}
    how = {"batched": batched, "on_step": on_step, "unconditioned": kept, **given}
    chosen = SpeechOptions(**{"diffusion_iterations": 4, "sampler": "dpm++2m", **options})
    return denoise(model, LATENTS, SPEAKER, chosen, torch.Generator().manual_seed(seed), **how).values


def test_frames() -> None:
    assert [mel_frames(codes) for codes in (1, 17, 118)] == [4, 74, 513]
    assert mel_frames(9) == 9 * 4 * 24000 // 22050


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpm++2m", "unipc"])
def test_guidance_in_one_batch_equals_two_forwards(model: Diffusion, sampler: str) -> None:
    fast, slow = (run(model, sampler=sampler, batched=batched) for batched in (True, False))
    assert fast.shape == (1, 100, mel_frames(9))
    assert (fast - slow).norm() < 2e-5 * slow.norm()
    assert not torch.allclose(fast, run(model, sampler=sampler, cond_free=False), atol=1e-2)


def test_more_steps_than_are_prepared_at_once(model: Diffusion) -> None:
    fast, slow = (run(model, diffusion_iterations=70, batched=batched, cond_free=False) for batched in (True, False))
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=2e-3)


def rows_seen(model: Diffusion, monkeypatch: pytest.MonkeyPatch, **options) -> tuple[list[int], list[int]]:
    """How many rows each call of the integrator and of the rest of the forward had."""
    seen: dict[str, list[int]] = {"integrate": [], "denoise": []}
    for name, place in (("integrate", 0), ("denoise", 2)):
        method = getattr(Diffusion, name)

        def counted(self, *given, method=method, name=name, place=place):
            seen[name].append(given[place].shape[0])
            return method(self, *given)

        monkeypatch.setattr(Diffusion, name, counted)
    run(model, **options)
    return seen["integrate"], seen["denoise"]


def captured(model: Diffusion, monkeypatch: pytest.MonkeyPatch, **options) -> tuple[list[int], Tensor]:
    """Rows of every forward that was captured, and the mel. A replay is the step itself, as a graph would be."""
    rows: list[int] = []

    def capture(step, state):
        assert state == []
        before = len(seen)
        step()
        rows.append(seen[before])
        return step

    seen: list[int] = []
    whole = Diffusion.denoise
    with monkeypatch.context() as patch:
        patch.setattr(Diffusion, "denoise", lambda self, x, m, i, b: seen.append(len(i)) or whole(self, x, m, i, b))
        return rows, run(model, capture=capture, **options)


@pytest.mark.parametrize("sampler", ["ancestral", "unipc"])
def test_fixed_shapes_change_nothing(model: Diffusion, monkeypatch: pytest.MonkeyPatch, sampler: str) -> None:
    """The same buffers at every step: what a CUDA graph sees."""
    some = {"sampler": sampler, "diffusion_iterations": 12, "cond_free_to": 2000}
    for options, rows in (({}, [2]), ({"cond_free": False}, [1]), (some, [2, 1])):
        given = {"sampler": sampler, "diffusion_iterations": 40, "diffusion_spacing": "uniform", **options}
        found, mel = captured(model, monkeypatch, **given)
        assert found == rows
        torch.testing.assert_close(mel, run(model, batched=False, **given), rtol=1e-4, atol=2e-3)
    assert captured(model, monkeypatch, sampler=sampler, diffusion_iterations=4)[0] == []  # not worth it


def test_unguided_steps_cost_one_row(model: Diffusion, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"diffusion_spacing": "uniform", "cond_free_from": 3000, "cond_free_to": 1000}  # 3999 2666 1333 0
    assert rows_seen(model, monkeypatch, **given)[1] == [1, 2, 2, 1]
    part = run(model, **given)
    torch.testing.assert_close(part, run(model, batched=False, **given), rtol=1e-4, atol=1e-3)
    whole, none = run(model, diffusion_spacing="uniform"), run(model, diffusion_spacing="uniform", cond_free=False)
    assert not torch.allclose(part, whole, atol=1e-2) and not torch.allclose(part, none, atol=1e-2)


def test_the_unconditional_integrator_is_shared_by_a_request(model: Diffusion, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, alone = Unconditioned(), run(model, 5)
    run(model, 4, kept=kept)
    torch.testing.assert_close(run(model, 5, kept=kept), alone, rtol=1e-4, atol=1e-3)
    assert rows_seen(model, monkeypatch, kept=kept) == ([1] * 4, [2] * 4)
    small = Unconditioned(most_bytes=4 * 2 * mel_frames(9) * 32)  # two steps
    run(model, kept=small)
    assert rows_seen(model, monkeypatch, kept=small)[0].count(1) == 2


def test_mels_are_in_the_range_that_vocoders_know(model: Diffusion) -> None:
    mel = run(model, cond_free_k=20.0)
    assert MEL_MIN - 1e-4 <= mel.min() and mel.max() <= MEL_MAX + 1e-4


def test_seeds_and_the_noise_scale(model: Diffusion) -> None:
    assert torch.equal(run(model, 3), run(model, 3))
    assert not torch.allclose(run(model, 3), run(model, 4))
    still = run(model, 3, diffusion_temperature=0.0)
    assert torch.equal(still, run(model, 4, diffusion_temperature=0.0))


def test_regression_alone_and_as_a_start(model: Diffusion) -> None:
    with torch.inference_mode():
        aligned = model.align(LATENTS, SPEAKER, mel_frames(9))
        first = denormalize_mel(model.regress(aligned).clamp(-1, 1))
    assert torch.equal(run(model, diffusion_start="regressed", diffusion_iterations=0), first)
    near, far = (run(model, diffusion_start="regressed", diffusion_start_step=step) for step in (20, 3000))
    assert (near - first).abs().mean() < (far - first).abs().mean()
    assert not torch.allclose(near, first)


def test_a_streamed_start(model: Diffusion, front: StreamFront) -> None:
    first = streamed_mel(front, LATENTS, SPEAKER[:, :32])
    assert first.shape == (1, 100, mel_frames(9)) and first.dtype == torch.float32
    assert first.abs().max() == 1 and first.abs().median() < 1
    whole = denormalize_mel(first)
    assert torch.equal(run(model, diffusion_start="streamed", diffusion_iterations=0, first=first), whole)
    near, far = (run(model, diffusion_start="streamed", diffusion_start_step=step, first=first) for step in (20, 3000))
    assert (near - whole).abs().mean() < (far - whole).abs().mean()
    assert not torch.allclose(near, whole)
    slow = run(model, diffusion_start="streamed", diffusion_start_step=20, first=first, batched=False)
    torch.testing.assert_close(near, slow, rtol=1e-4, atol=2e-3)


def test_a_streamed_start_has_as_many_frames_as_the_diffusion(model: Diffusion, front: StreamFront) -> None:
    counts = (1, 2, 17, 118)
    assert [front.frame_count(codes) for codes in counts] == [mel_frames(codes) for codes in counts]
    first = streamed_mel(front, LATENTS, SPEAKER[:, :32])[..., :30]
    assert run(model, diffusion_start="streamed", first=first).shape == (1, 100, 30)


def test_steps_are_reported(model: Diffusion) -> None:
    seen: list[tuple[int, int]] = []
    run(model, on_step=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_bfloat16_is_near(model: Diffusion) -> None:
    half = Diffusion(model.cfg).eval().requires_grad_(False)
    half.load_state_dict(model.state_dict())
    exact, rough = run(model, cond_free=False), run(half.bfloat16(), cond_free=False)
    assert rough.dtype == torch.float32
    assert (exact - rough).norm() / exact.norm() < 0.1


class Hum(torch.nn.Module):
    """A vocoder in so many words."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, mel: Tensor) -> Tensor:
        return mel.mean(dim=1, keepdim=True).repeat_interleave(256, dim=2).expand(-1, self.channels, -1)


def test_any_module_of_the_right_shapes_is_a_vocoder() -> None:
    mel = Mel(values=torch.full((1, 100, 7), 3.0))
    audio = vocode(Hum(1), mel, torch.Generator())
    assert audio.samples.shape == (1, 1, 7 * 256) and audio.samples.max() == 1.0
    with pytest.raises(ModelError, match="vocoder gives shape \\(1, 2, 1792\\)"):
        vocode(Hum(2), mel, torch.Generator())


def test_mels_of_one_length_share_a_batch() -> None:
    seen: list[int] = []

    class Counted(Hum):
        def forward(self, mel: Tensor) -> Tensor:
            seen.append(len(mel))
            return super().forward(mel)

    lengths = (7, 9, 7, 7, 9, 4)
    mels = [Mel(values=torch.full((1, 100, n), 0.1 * place)) for place, n in enumerate(lengths)]
    many = vocode_all(Counted(1), mels, [torch.Generator()] * len(mels))
    assert seen == [3, 2, 1]
    for mel, audio in zip(mels, many, strict=True):
        assert torch.equal(audio.samples, vocode(Hum(1), mel, torch.Generator()).samples)


def test_univnets_mels_are_taken_one_by_one() -> None:
    """Each with its own noise."""
    cfg = UnivNetConfig(channel_size=4, kpnet_hidden_channels=4, noise_dim=4)
    vocoder, mels = UnivNet(cfg).eval(), [Mel(values=torch.randn(1, 100, 3)) for _ in range(2)]
    seeds = (3, 4)
    many = vocode_all(vocoder, mels, [torch.Generator().manual_seed(seed) for seed in seeds])
    for mel, seed, audio in zip(mels, seeds, many, strict=True):
        assert torch.equal(audio.samples, vocode(vocoder, mel, torch.Generator().manual_seed(seed)).samples)
