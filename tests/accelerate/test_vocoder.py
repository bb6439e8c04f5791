"""Vocoders by our own convolutions: their own forward passes are the reference."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from tutortoietts.accelerate import accelerate, why_not
from tutortoietts.accelerate.vocoder import AcceleratedBigVGAN, AcceleratedHifigan
from tutortoietts.core.config import BigVGANConfig, HifiganConfig
from tutortoietts.core.errors import OptionError
from tutortoietts.models.bigvgan import BigVGAN
from tutortoietts.models.hifigan import Hifigan
from tutortoietts.native.build import VARIABLE
from tutortoietts.native.vocoder_conv import can_convolve

UPSAMPLER = {
    "upsample_initial_channel": 8,
    "resblock_kernel_sizes": (3, 5),
    "resblock_dilation_sizes": ((1, 3), (1, 2)),
}
SIZES = {"even": ((4, 2), (8, 4)), "wide": ((8, 4), (16, 8)), "odd": ((3, 5), (5, 9))}
Vocoder = BigVGAN | Hifigan
needs_compiler = pytest.mark.skipif(not can_convolve(), reason="no C compiler, or no AVX2")


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make(kind: str, sizes: str = "even") -> Vocoder:
    factors, kernels = SIZES[sizes]
    shape = {"upsample_kernel_sizes": kernels, **UPSAMPLER}
    hop = factors[0] * factors[1]
    if kind == "bigvgan":
        model: Vocoder = BigVGAN(BigVGANConfig(upsample_rates=factors, num_mels=5, hop_size=hop, **shape))
    else:
        widths = {"in_channels": 6, "cond_channels": 3, "code_stride": 4 * hop}
        model = Hifigan(HifiganConfig(upsample_factors=factors, **widths, **shape))
    with torch.no_grad():
        for seed, parameter in enumerate(model.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed) * (0.3 if parameter.ndim == 1 else 0.1))
    return model


def inputs_of(kind: str) -> tuple[Tensor, ...]:
    return (draw(2, 5, 40),) if kind == "bigvgan" else (draw(2, 11, 6), draw(2, 3))


@pytest.mark.parametrize("kind", ["bigvgan", "hifigan"])
@pytest.mark.parametrize("precision", [None, "bf16", "int8"])
def test_forwards_are_those_of_the_reference(kind: str, precision: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For several rows; gradients, and machines without a compiler, go through torch."""
    model, inputs = make(kind), inputs_of(kind)
    with torch.no_grad():
        monkeypatch.setenv(VARIABLE, "0")
        accelerate(model)
        assert type(model) in (BigVGAN, Hifigan) and why_not(model) is not None
        slow = model(*inputs)
        monkeypatch.delenv(VARIABLE)
        accelerate(model, "cpu", precision if can_convolve() else None)
        fast = model(*inputs)
    assert isinstance(model, AcceleratedBigVGAN | AcceleratedHifigan) == can_convolve() == (why_not(model) is None)
    assert fast.shape == slow.shape and slow.abs().max() > 0.01
    assert (fast - slow).norm() < 1e-5 * slow.norm()
    assert torch.equal(fast, slow) == (not can_convolve())
    torch.testing.assert_close(model(*inputs), slow)
    assert model(*inputs).requires_grad


@needs_compiler
@pytest.mark.parametrize("kind", ["bigvgan", "hifigan"])
def test_weights_are_those_of_the_last_call(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = accelerate(make(kind)), inputs_of(kind)
    with torch.no_grad():
        before = model(*inputs)
        model.conv_post.weight.mul_(2)
        assert torch.equal(model(*inputs), before)
        assert torch.equal(copy.deepcopy(model)(*inputs), before)
        accelerate(model)
        after = model(*inputs)
        assert not torch.allclose(after, before)
        monkeypatch.setenv(VARIABLE, "0")
        torch.testing.assert_close(accelerate(model)(*inputs), after)
        assert type(model) in (BigVGAN, Hifigan)


def hooked(model: Vocoder) -> None:
    model.ups[0].register_forward_hook(lambda *_: None)


def replaced(model: Vocoder) -> None:
    model.conv_pre = torch.nn.Sequential(model.conv_pre)


@needs_compiler
@pytest.mark.parametrize("kind", ["bigvgan", "hifigan"])
@pytest.mark.parametrize("change", [hooked, replaced])
def test_changed_vocoders_are_left_to_torch(kind: str, change) -> None:
    model = make(kind)
    change(model)
    assert type(accelerate(model)) in (BigVGAN, Hifigan) and why_not(model) is not None


def test_another_precision_is_refused() -> None:
    with pytest.raises(OptionError, match="precision is 'half', must be one of auto, fp32"):
        accelerate(make("hifigan"), precision="half")


def test_lowered_convolutions_stay_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where our convolutions do not run, bf16 lowers torch's."""
    monkeypatch.setenv(VARIABLE, "0")
    decoder, latents, speaker = make("hifigan").requires_grad_(False), draw(1, 12, 6), draw(1, 3)
    exact = decoder(latents, speaker)
    accelerate(decoder, precision="bf16")
    assert decoder.conv_pre.weight.dtype == torch.bfloat16 and decoder.conv_post.weight.dtype == torch.float32
    lowered = decoder(latents.bfloat16(), speaker.bfloat16())
    assert lowered.dtype == torch.float32 and decoder.frames(latents).dtype == torch.float32
    assert 0 < (lowered - exact).norm() < 0.03 * exact.norm()
