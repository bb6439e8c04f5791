"""The convolutional models against slow, obvious versions of themselves; the golden files are in test_golden."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tutortoietts.core.config import BigVGANConfig, HifiganConfig, RandomLatentConfig, UnivNetConfig
from tutortoietts.core.errors import OptionError
from tutortoietts.models import bigvgan, univnet
from tutortoietts.models.bigvgan import BigVGAN, antialias_filter
from tutortoietts.models.hifigan import Hifigan
from tutortoietts.models.random_latent import RandomLatent
from tutortoietts.models.univnet import UnivNet
from tutortoietts.weights.convert import convert

UNIVNET = UnivNetConfig(noise_dim=4, channel_size=4, n_mel_channels=5, strides=(4, 2), hop_length=8, dilations=(1, 3))
UPSAMPLER = {
    "upsample_kernel_sizes": (8, 4),
    "upsample_initial_channel": 8,
    "resblock_kernel_sizes": (3, 5),
    "resblock_dilation_sizes": ((1, 3), (1, 2)),
}
BIGVGAN = BigVGANConfig(upsample_rates=(4, 2), num_mels=5, hop_size=8, **UPSAMPLER)  # type: ignore[arg-type]
HIFIGAN = HifiganConfig(upsample_factors=(4, 2), in_channels=6, cond_channels=3, code_stride=32, **UPSAMPLER)  # type: ignore[arg-type]


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_location_variable_convolution_uses_each_frames_own_kernel() -> None:
    batch, inputs, outputs, width, frames, hop = 2, 3, 4, 3, 5, 6
    x, kernels, biases = (
        draw(batch, inputs, frames * hop),
        draw(batch, inputs, outputs, width, frames, seed=2),
        draw(batch, outputs, frames, seed=3),
    )
    ours = univnet._location_variable_conv(x, kernels, biases, hop)
    padded = F.pad(x, (1, 1))
    for frame in range(frames):
        piece = padded[:, :, frame * hop : (frame + 1) * hop + 2]
        for row in range(batch):
            weight = kernels[row, ..., frame].transpose(0, 1)
            want = F.conv1d(piece[row : row + 1], weight, biases[row, :, frame])
            torch.testing.assert_close(ours[row : row + 1, :, frame * hop : (frame + 1) * hop], want)


def test_univnet_noise_comes_from_the_generator_or_the_caller() -> None:
    model, mel = UnivNet(UNIVNET).eval(), draw(2, 5, 7)
    with torch.no_grad():
        one = model(mel, generator=torch.Generator().manual_seed(4))
        again = model(mel, generator=torch.Generator().manual_seed(4))
        other = model(mel, generator=torch.Generator().manual_seed(5))
        given = model(mel, z=draw(2, 4, 17, seed=4))
    assert one.shape == (2, 1, 7 * 8)
    assert torch.equal(one, again) and torch.equal(one, given)
    assert not torch.equal(one, other)


def test_univnet_ends_as_if_silence_followed() -> None:
    model, mel = UnivNet(UNIVNET).eval(), draw(1, 5, 7)
    quiet = torch.cat([mel, torch.full((1, 5, 40), -11.5129)], dim=2)
    with torch.no_grad():
        short = model(mel, z=draw(1, 4, 17))
        long = model(quiet, z=torch.cat([draw(1, 4, 17), torch.zeros(1, 4, 40)], dim=2))[..., : 7 * 8]
    torch.testing.assert_close(short, long)


@pytest.mark.parametrize("length", [1, 2, 7, 16])
def test_antialiased_rate_changes_are_the_textbook_ones(length: int) -> None:
    x, taps = draw(2, 3, length), antialias_filter()
    assert taps.sum().item() == pytest.approx(1, abs=1e-6)
    each = taps.expand(3, 1, -1)
    padded = F.pad(x, (5, 5), mode="replicate")
    doubled = 2 * F.conv_transpose1d(padded, each, stride=2, groups=3)[..., 15:-15]
    torch.testing.assert_close(bigvgan._double(x, taps), doubled)
    halved = F.conv1d(F.pad(doubled, (5, 6), mode="replicate"), each, stride=2, groups=3)
    torch.testing.assert_close(bigvgan._halve(doubled, taps), halved)


@pytest.mark.parametrize("length", [1, 2, 5, 200])
def test_activations_in_blocks_are_the_same(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The general way, of training and other devices, is the reference; blocks of 300 hold a part of the rows."""
    monkeypatch.setattr(bigvgan, "_BLOCK", 300)
    activation = bigvgan.SnakeBeta(3)
    with torch.no_grad():
        activation.alpha.copy_(draw(3))
        activation.beta.copy_(draw(3, seed=2))
    x = draw(2, 3, length)
    slow = activation(x)
    assert slow.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(activation(x), slow)
        torch.testing.assert_close(activation(x.transpose(1, 2).contiguous().transpose(1, 2)), slow)


@pytest.mark.parametrize("final", [True, False])
def test_bigvgan_with_and_without_its_final_parts(final: bool) -> None:
    settings = {name: getattr(BIGVGAN, name) for name in ("upsample_rates", "num_mels", "hop_size")}
    cfg = BigVGANConfig(use_bias_at_final=final, use_tanh_at_final=final, **settings, **UPSAMPLER)  # type: ignore[arg-type]
    model = BigVGAN(cfg)
    assert ("conv_post.bias" in model.state_dict()) == final
    before: list[Tensor] = []
    model.conv_post.register_forward_hook(lambda module, inputs, output: before.append(output))
    with torch.no_grad():
        model.conv_post.weight.mul_(20)
        wave = model(draw(2, 5, 6))
    assert wave.shape == (2, 1, 6 * 8)
    assert before[0].abs().max() > 1 > before[0].abs().min()
    torch.testing.assert_close(wave, before[0].tanh() if final else before[0].clamp(-1, 1))


def test_hifigan_stretches_by_global_positions() -> None:
    model, latents = Hifigan(HIFIGAN), draw(1, 9, 6)
    frames = model.frames(latents)
    columns = 32 // 8
    assert frames.shape == (1, 6, math.floor(9 * columns * 24000 / 22050))

    def stretched(x: Tensor, factor: float, count: int) -> Tensor:
        place = ((torch.arange(count) + 0.5) / factor - 0.5).clamp(0, x.shape[2] - 1)
        left = place.floor().long().clamp(max=x.shape[2] - 2)
        share = place - left
        return x[..., left] * (1 - share) + x[..., left + 1] * share

    wide = stretched(latents.transpose(1, 2), columns, 9 * columns)
    torch.testing.assert_close(frames, stretched(wide, 24000 / 22050, frames.shape[2]), rtol=1e-4, atol=1e-4)


def test_hifigan_at_one_rate_and_without_a_speaker() -> None:
    settings = {"upsample_factors": (4, 2), "in_channels": 6, "code_stride": 32, **UPSAMPLER}
    model = Hifigan(HifiganConfig(cond_channels=0, output_sample_rate=22050, **settings))  # type: ignore[arg-type]
    assert model(draw(2, 5, 6)).shape == (2, 1, 5 * 32)
    with pytest.raises(OptionError, match="speaker"):
        Hifigan(HIFIGAN)(draw(1, 5, 6))


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (UnivNet(UNIVNET), (draw(1, 5, 4), draw(1, 4, 14))),
        (BigVGAN(BIGVGAN), (draw(1, 5, 4),)),
        (Hifigan(HIFIGAN), (draw(1, 5, 6), draw(1, 3))),
    ],
    ids=["univnet", "bigvgan", "hifigan"],
)
def test_gradients_reach_every_weight_and_rows_do_not_mix(model: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
    model(*inputs).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    more = tuple(torch.cat([x, draw(*x.shape, seed=9)]) for x in inputs)
    with torch.no_grad():
        torch.testing.assert_close(model(*more)[:1], model(*inputs))


def test_random_latent_is_the_equalised_network() -> None:
    cfg = RandomLatentConfig(channels=8)
    theirs = {f"layers.{i}.weight": draw(8, 8, seed=i) for i in range(6)}
    theirs |= {f"layers.{i}.bias": draw(8, seed=10 + i) for i in range(6)}
    model = RandomLatent(cfg)
    model.load_state_dict(convert("random_latent", theirs))
    x = noise = draw(3, 8, seed=20)
    for i in range(5):
        weight, bias = theirs[f"layers.{i}.weight"] * (0.1 / math.sqrt(8)), theirs[f"layers.{i}.bias"] * 0.1
        x = F.leaky_relu(F.linear(x, weight, bias), 0.2) * math.sqrt(2)
    want = F.linear(x, theirs["layers.5.weight"], theirs["layers.5.bias"])
    torch.testing.assert_close(model(noise), want)
