"""The arithmetic of the limits: against the figures of the full-size model, and against what torch counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tutortoietts.bench import limits
from tutortoietts.bench.limits import Formats, Phase, Shape, Sizes, stage_phases
from tutortoietts.bench.limits_vocoder import vocoder_macs
from tutortoietts.core.config import (
    CONFIGS,
    AutoregressiveConfig,
    BigVGANConfig,
    ClvpConfig,
    CtcConfig,
    CvvpConfig,
    DiffusionConfig,
    HifiganConfig,
)
from tutortoietts.core.config_xtts import SpeakerEncoderConfig, XttsConfig
from tutortoietts.core.errors import OptionError
from tutortoietts.weights.load import model_class

FULL = Sizes(
    autoregressive=AutoregressiveConfig(), diffusion=DiffusionConfig(), vocoder=BigVGANConfig(), clvp=ClvpConfig()
)
SENTENCE = Shape(text=70, codes=111, candidates=1, forwards=15)
AUTOREGRESSIVE = AutoregressiveConfig(
    layers=2, model_dim=48, heads=3, number_mel_codes=34, start_mel_token=32, stop_mel_token=33, conditioning_blocks=2
)
XTTS = XttsConfig(layers=2, model_dim=48, heads=3, conditioning_blocks=2, prompt_latents=5, perceiver_head_dim=8)
SPEAKER = SpeakerEncoderConfig(input_dim=16, proj_dim=24, layers=(2, 1, 2), num_filters=(8, 8, 16))
DIFFUSION = DiffusionConfig(
    model_channels=64,
    num_layers=2,
    in_latent_channels=48,
    in_tokens=3,
    num_heads=2,
    latent_conditioner_blocks=2,
    contextual_embedder_blocks=1,
    integrator_layers=1,
    head_residual_blocks=2,
    latent_upsample=2,
)
CTC = CtcConfig(dim=48, intermediate_dim=80, layers=2)
CLVP = ClvpConfig(
    dim_text=32,
    dim_speech=48,
    dim_latent=16,
    text_enc_depth=1,
    text_heads=3,
    speech_enc_depth=2,
    speech_heads=2,
    head_dim=16,
    rotary_dim=8,
)
VOCODERS: dict[str, dict[str, Any]] = {
    "vocos": {"dim": 32, "intermediate_dim": 48, "layers": 2},
    "univnet": {"noise_dim": 8, "channel_size": 8, "kpnet_hidden_channels": 16, "dilations": (1, 3)},
    "bigvgan": {
        "upsample_rates": (4, 2),
        "upsample_kernel_sizes": (8, 4),
        "upsample_initial_channel": 32,
        "resblock_kernel_sizes": (3, 5),
        "resblock_dilation_sizes": ((1, 3), (1, 3)),
        "num_mels": 16,
    },
    "hifigan": {
        "upsample_factors": (4, 2),
        "upsample_kernel_sizes": (8, 4),
        "upsample_initial_channel": 32,
        "resblock_kernel_sizes": (3, 5),
        "resblock_dilation_sizes": ((1, 3), (1, 3)),
        "in_channels": 16,
        "cond_channels": 12,
    },
}


def counted(work: Callable[[], object]) -> int:
    """Operations of the matrix products and convolutions, by torch's count."""
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def convolved(model: nn.Module, work: Callable[[], object]) -> int:
    """Multiply-adds of a model's convolution layers alone."""
    total = 0

    def count(layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        turned = isinstance(layer, nn.ConvTranspose1d)
        size = inputs[0].numel() * layer.out_channels if turned else output.numel() * layer.in_channels
        total += size * layer.kernel_size[0] // layer.groups

    for layer in model.modules():
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        work()
    return total


def test_the_figures_of_the_full_size_model() -> None:
    cfg = FULL.autoregressive
    assert limits.block_weights(cfg) == pytest.approx(377e6, rel=0.01)
    assert 2 * limits.block_weights(cfg) == pytest.approx(0.75e9, rel=0.01)
    assert 2 * limits.cached_numbers(cfg) == pytest.approx(123e3, rel=0.01)
    assert 2 * limits.forward_macs(FULL.diffusion, 483) == pytest.approx(133e9, rel=0.01)
    assert 2 * limits.frame_weights(FULL.diffusion) == pytest.approx(0.25e9, rel=0.02)
    assert SENTENCE.frames == 483


def test_a_code() -> None:
    model = model_class("autoregressive")(AUTOREGRESSIVE).eval()
    cache = model.allocate_cache(3, 20)
    model.hidden_states(torch.randn(3, 9, 48), cache, position=0)
    step = counted(lambda: model.mel_logits(model.hidden_states(torch.randn(3, 1, 48), cache, position=9)))
    assert step == 2 * 3 * (limits.step_weights(AUTOREGRESSIVE) + limits.attention_macs(AUTOREGRESSIVE, 10))
    heard = counted(lambda: model.conditioning(torch.randn(1, 1, 80, 30)))
    assert heard == 2 * limits.speaker_macs(AUTOREGRESSIVE, 30)
    text = torch.ones(1, 7, dtype=torch.int64)
    assert model.prefix(torch.zeros(1, 48), torch.nn.functional.pad(text, (0, 1))).shape[1] == (
        limits.prefix_positions(AUTOREGRESSIVE, 7)
    )
    assert cache.keys.numel() * 2 == 3 * 20 * limits.cached_numbers(AUTOREGRESSIVE)


def test_a_voice_and_a_prefix_of_xtts() -> None:
    model = model_class("xtts")(XTTS).eval().requires_grad_(False)
    text = torch.ones(1, 7, dtype=torch.int64)
    assert model.prefix(torch.zeros(1, 5, 48), text).shape[1] == limits.prefix_positions(XTTS, 7)
    heard = counted(lambda: model.conditioning(torch.randn(1, 80, 30)))
    assert heard == 2 * (limits.speaker_macs(XTTS, 30) + limits.perceiver_macs(XTTS, 30))
    encoder = model_class("speaker_encoder")(SPEAKER).eval()
    assert counted(lambda: encoder(torch.randn(1, 16, 37))) == 2 * limits.speaker_encoder_macs(SPEAKER, 37)


def test_stages_of_xtts() -> None:
    sizes = Sizes(autoregressive=XTTS, decoder=HifiganConfig(), speaker_encoder=SPEAKER)
    phases = stage_phases(sizes, Shape(text=7, codes=11, candidates=1, forwards=0), Formats())
    assert {stage: [one.name for one in some] for stage, some in phases.items()} == {
        "condition": ["prompt", "vector"],
        "codes": ["prefix", "steps"],
        "decoder": ["waveform"],
    }


def test_a_diffusion_forward() -> None:
    model = model_class("diffusion")(DIFFUSION).eval()
    aligned, conditioning = torch.randn(1, 64, 23), torch.randn(1, 128)
    forward = counted(lambda: model(torch.randn(1, 100, 23), torch.tensor([5]), aligned))
    assert forward == 2 * limits.forward_macs(DIFFUSION, 23)
    assert counted(lambda: model.align(torch.randn(1, 6, 48), conditioning, 23)) == 2 * limits.align_macs(DIFFUSION, 6)
    assert counted(lambda: model.conditioning(torch.randn(1, 1, 100, 31))) == 2 * limits.spectrum_macs(DIFFUSION, 31)


def test_ranking() -> None:
    model = model_class("clvp")(CLVP).eval()
    shape = Shape(text=8, codes=11, candidates=3, forwards=1)
    text, rows = limits._agreement(CLVP, shape, Formats())
    ids = torch.ones(1, 9, dtype=torch.int64)
    assert counted(lambda: model.encode_text(ids)) == text.operations
    assert counted(lambda: model.encode_codes(torch.ones(3, 11, dtype=torch.int64))) == rows.operations


def test_recognition() -> None:
    model = model_class("ctc")(CTC).eval()
    total = counted(lambda: model.states(torch.ones(3, 11, dtype=torch.int64), torch.full((3,), 11)))
    total += counted(lambda: model.out(torch.randn(3, 11, CTC.dim)))
    assert limits._recognition(CTC, Shape(text=8, codes=11, candidates=3, forwards=1)).operations == total


@pytest.mark.parametrize("kind", VOCODERS)
def test_vocoders(kind: str) -> None:
    cfg = CONFIGS[kind](**VOCODERS[kind])
    model = model_class(kind)(cfg).eval()
    if kind == "hifigan":
        total = counted(lambda: model.synthesize(torch.randn(1, 16, 13), torch.randn(1, 12)))
    elif kind == "bigvgan":
        total = 2 * convolved(model, lambda: model(torch.randn(1, 16, 13)))
        # the filters of the activations are no convolutions on every device; the samples of all levels, times width
        samples = 13 * (4 * 16 * 2 * 4 + 8 * 8 * 2 * 4) + 13 * 8 * 8
        total += 2 * 24 * samples
    else:
        total = counted(lambda: model(torch.randn(1, 100, 13)))
    assert total == 2 * vocoder_macs(cfg, 13)


def test_the_slower_of_memory_and_arithmetic_decides() -> None:
    phase = Phase(name="steps", operations=100.0, bytes=30.0, times=2)
    assert phase.seconds(bandwidth=10.0, rate=50.0) == 6.0
    assert phase.seconds(bandwidth=10.0, rate=20.0) == 10.0


def test_stages_grow_with_what_is_asked() -> None:
    def seconds(shape: Shape, formats: Formats = Formats()) -> dict[str, float]:  # noqa: B008
        phases = stage_phases(FULL, shape, formats)
        return {stage: sum(phase.seconds(18e9, 86e9) for phase in some) for stage, some in phases.items()}

    one = seconds(SENTENCE)
    assert set(one) == {"condition", "codes", "diffusion", "vocoder"}
    assert one["diffusion"] / 15 == pytest.approx(133e9 / 86e9, rel=0.05)
    half = seconds(SENTENCE, Formats(autoregressive=2.0, cache=2.0))
    prefix = 74 * 2 * 377e6 / 86e9  # the processor decides there, in every format
    assert half["codes"] - prefix == pytest.approx(111 * 0.77e9 / 18e9, rel=0.05)
    assert one["codes"] - prefix == pytest.approx(2 * (half["codes"] - prefix), rel=0.05)
    many = seconds(Shape(text=70, codes=111, candidates=8, forwards=15, guided=15, parts=2))
    assert many["diffusion"] == pytest.approx(4 * one["diffusion"], rel=0.01)
    some = seconds(replace(SENTENCE, guided=5))
    assert some["diffusion"] == pytest.approx(20 / 15 * one["diffusion"], rel=0.01)
    assert many["ranking"] > 0 and many["codes"] > 2 * one["codes"] and many["condition"] == one["condition"]


def test_an_unknown_vocoder() -> None:
    with pytest.raises(OptionError, match="CvvpConfig"):
        vocoder_macs(CvvpConfig(), 5)
