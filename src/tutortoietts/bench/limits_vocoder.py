"""Multiply-adds of the models that make waveforms, from their sizes."""

from __future__ import annotations

from collections.abc import Sequence

from tutortoietts.core.components import COMPONENTS, kind_of, resolve
from tutortoietts.core.config import BigVGANConfig, Config, HifiganConfig, UnivNetConfig, VocosConfig
from tutortoietts.core.errors import OptionError

__all__ = ["bigvgan_macs", "hifigan_macs", "univnet_macs", "vocoder_macs", "vocos_macs"]

_FILTER_MACS = 24  # a channel and sample of BigVGAN's activations: to twice the rate and back, 12 taps each
_UNIVNET_TAIL = 10  # frames of silence behind the mel


def vocoder_macs(cfg: Config, frames: int) -> int:
    """Return the multiply-adds for `frames` of mel (of the stretched latents, for Hifigan).

    Raises OptionError for a model whose entry in `core.components` names no such function.
    """
    count = COMPONENTS[kind_of(cfg)].macs
    if count is None:
        known = ", ".join(kind for kind, one in COMPONENTS.items() if one.macs)
        raise OptionError(f"no arithmetic for a vocoder of {type(cfg).__name__}; bench knows {known}")
    return int(resolve(count)(cfg, frames))


def bigvgan_macs(cfg: BigVGANConfig, frames: int) -> int:
    """Return the multiply-adds of BigVGAN for `frames` of mel."""
    return _upsampler(
        frames,
        (cfg.num_mels, cfg.upsample_initial_channel, 7 + _FILTER_MACS),
        (cfg.upsample_rates, cfg.upsample_kernel_sizes),
        (cfg.resblock_kernel_sizes, cfg.resblock_dilation_sizes),
        _FILTER_MACS,
    )


def hifigan_macs(cfg: HifiganConfig, frames: int) -> int:
    """Return the multiply-adds of the HiFi-GAN decoder for `frames` of stretched latents."""
    speaker = cfg.cond_channels * cfg.upsample_initial_channel
    return speaker + _upsampler(
        frames,
        (cfg.in_channels, cfg.upsample_initial_channel, 7 * cfg.out_channels),
        (cfg.upsample_factors, cfg.upsample_kernel_sizes),
        (cfg.resblock_kernel_sizes, cfg.resblock_dilation_sizes),
        0,
    )


def vocos_macs(cfg: VocosConfig, frames: int) -> int:
    """Return the multiply-adds of Vocos for `frames` of mel."""
    block = 7 * cfg.dim + 2 * cfg.dim * cfg.intermediate_dim
    return frames * (7 * cfg.n_mels * cfg.dim + cfg.layers * block + cfg.dim * (cfg.n_fft + 2))


def univnet_macs(cfg: UnivNetConfig, frames: int) -> int:
    """Return the multiply-adds of UnivNet for `frames` of mel and the silence behind them."""
    frames += _UNIVNET_TAIL
    width, hidden, size = cfg.channel_size, cfg.kpnet_hidden_channels, cfg.kpnet_conv_size
    layers = len(cfg.dilations)
    predicted = layers * (width * 2 * width * 3 + 2 * width)  # kernels and biases a frame
    predictor = 5 * cfg.n_mel_channels * hidden + 6 * size * hidden**2 + size * hidden * predicted
    total, length = 7 * cfg.noise_dim * width * frames, frames
    for stride in cfg.strides:
        total += length * width**2 * 2 * stride
        length *= stride
        total += frames * predictor + length * layers * (3 * width**2 + 6 * width**2)
    return total + 7 * width * length


def _upsampler(
    frames: int,
    ends: tuple[int, int, int],
    rates: tuple[Sequence[int], Sequence[int]],
    residual: tuple[Sequence[int], Sequence[Sequence[int]]],
    filters: int,
) -> int:
    """Count HiFi-GAN's layout. ends: channels in, width of the first level, multiply-adds a last channel and sample;
    filters: multiply-adds of an activation, a channel and sample."""
    channels, width, last = ends
    length, total = frames, 7 * channels * width * frames
    for rate, kernel in zip(*rates, strict=True):
        total += length * width * (width // 2) * kernel
        length, width = length * rate, width // 2
        for size, dilations in zip(*residual, strict=True):
            total += 2 * len(dilations) * length * width * (width * size + filters)
    return total + length * width * last
