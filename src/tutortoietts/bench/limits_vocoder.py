"""Multiply-adds of the models that make waveforms, from their sizes."""

from __future__ import annotations

from collections.abc import Sequence

from tutortoietts.core.config import BigVGANConfig, Config, HifiganConfig, UnivNetConfig, VocosConfig
from tutortoietts.core.errors import OptionError

__all__ = ["vocoder_macs"]

_FILTER_MACS = 24  # a channel and sample of BigVGAN's activations: to twice the rate and back, 12 taps each
_UNIVNET_TAIL = 10  # frames of silence behind the mel


def vocoder_macs(cfg: Config, frames: int) -> int:
    """Multiply-adds for `frames` of mel (of the stretched latents, for Hifigan). Raises OptionError for other kinds."""
    if isinstance(cfg, BigVGANConfig):
        last = 7 + _FILTER_MACS
        return _upsampler(
            frames,
            (cfg.num_mels, cfg.upsample_initial_channel, last),
            (cfg.upsample_rates, cfg.upsample_kernel_sizes),
            (cfg.resblock_kernel_sizes, cfg.resblock_dilation_sizes),
            _FILTER_MACS,
        )
    if isinstance(cfg, HifiganConfig):
        speaker = cfg.cond_channels * cfg.upsample_initial_channel
        return speaker + _upsampler(
            frames,
            (cfg.in_channels, cfg.upsample_initial_channel, 7 * cfg.out_channels),
            (cfg.upsample_factors, cfg.upsample_kernel_sizes),
            (cfg.resblock_kernel_sizes, cfg.resblock_dilation_sizes),
            0,
        )
    if isinstance(cfg, UnivNetConfig):
        return _univnet(cfg, frames + _UNIVNET_TAIL)
    if isinstance(cfg, VocosConfig):
        block = 7 * cfg.dim + 2 * cfg.dim * cfg.intermediate_dim
        return frames * (7 * cfg.n_mels * cfg.dim + cfg.layers * block + cfg.dim * (cfg.n_fft + 2))
    raise OptionError(f"no arithmetic for a vocoder of {type(cfg).__name__}; bench knows bigvgan, univnet and vocos")


def _upsampler(
    frames: int,
    ends: tuple[int, int, int],
    rates: tuple[Sequence[int], Sequence[int]],
    residual: tuple[Sequence[int], Sequence[Sequence[int]]],
    filters: int,
) -> int:
    """HiFi-GAN's layout. ends: channels in, width of the first level, multiply-adds a last channel and sample;
    filters: multiply-adds of an activation, a channel and sample."""
    channels, width, last = ends
    length, total = frames, 7 * channels * width * frames
    for rate, kernel in zip(*rates, strict=True):
        total += length * width * (width // 2) * kernel
        length, width = length * rate, width // 2
        for size, dilations in zip(*residual, strict=True):
            total += 2 * len(dilations) * length * width * (width * size + filters)
    return total + length * width * last


def _univnet(cfg: UnivNetConfig, frames: int) -> int:
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
