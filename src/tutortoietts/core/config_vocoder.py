"""Sizes of the models that make waveforms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tutortoietts.core.config_base import Config, check, check_multiple, require

__all__ = ["BigVGANConfig", "HifiganConfig", "StreamVocosConfig", "UnivNetConfig", "VocosConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VocosConfig(Config):
    """Sizes of Vocos: mel to waveform by ConvNeXt blocks and an inverse STFT."""

    n_mels: int = 100
    dim: int = 256
    intermediate_dim: int = 768
    layers: int = 6
    n_fft: int = 1024
    hop: int = 256

    def __post_init__(self) -> None:
        check(self)
        check_multiple(self, "n_fft", "hop")
        require(
            self.n_fft >= 4 * self.hop, type(self), "n_fft", self.n_fft, f"must be at least 4 hops ({4 * self.hop})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnivNetConfig(Config):
    """Sizes of UnivNet: mel and noise to waveform."""

    noise_dim: int = 64
    channel_size: int = 32
    dilations: tuple[int, ...] = (1, 3, 9, 27)
    strides: tuple[int, ...] = (8, 8, 4)
    lReLU_slope: float = 0.2
    kpnet_conv_size: int = 3
    kpnet_hidden_channels: int = 64
    hop_length: int = 256
    n_mel_channels: int = 100

    def __post_init__(self) -> None:
        check(self)
        total = 1
        for stride in self.strides:
            total *= stride
        limit = f"must multiply to hop_length ({self.hop_length})"
        require(total == self.hop_length, type(self), "strides", self.strides, limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class BigVGANConfig(Config):
    """Sizes of BigVGAN: mel to waveform; defaults are the public base model (14 M)."""

    IGNORED: ClassVar[frozenset[str]] = frozenset(
        """
        num_gpus batch_size learning_rate adam_b1 adam_b2 lr_decay seed resolutions mpd_reshapes use_spectral_norm
        discriminator_channel_mult segment_size num_freq num_workers dist_config fmax_for_loss fmin fmax n_fft win_size
        use_cqtd_instead_of_mrd cqtd_filters cqtd_max_filters cqtd_filters_scale cqtd_dilations cqtd_hop_lengths
        cqtd_n_octaves cqtd_bins_per_octaves use_multiscale_melloss lambda_melloss clip_grad_norm freeze_step
        discriminator normalize_volume
        """.split()
    )
    FIXED: ClassVar[Mapping[str, Any]] = {"activation": "snakebeta", "snake_logscale": True, "resblock": "1"}

    upsample_rates: tuple[int, ...] = (8, 8, 2, 2)
    upsample_kernel_sizes: tuple[int, ...] = (16, 16, 4, 4)
    upsample_initial_channel: int = 512
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    num_mels: int = 100
    sampling_rate: int = 24000
    hop_size: int = 256
    use_tanh_at_final: bool = True
    use_bias_at_final: bool = True

    def __post_init__(self) -> None:
        check(self)
        _check_upsampler(self, self.upsample_rates)


@dataclass(frozen=True, slots=True, kw_only=True)
class HifiganConfig(Config):
    """Latents and speaker latent straight to waveform; resampled linearly to the output rate before the network.

    ``cond_each_level``: the speaker is added after every upsampling too. ``final_bias``: the last layer has a bias.
    """

    FIXED: ClassVar[Mapping[str, Any]] = {"resblock_type": "1"}

    in_channels: int = 1024
    out_channels: int = 1
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    upsample_kernel_sizes: tuple[int, ...] = (16, 16, 4, 4)
    upsample_factors: tuple[int, ...] = (8, 8, 2, 2)
    upsample_initial_channel: int = 512
    cond_channels: int = 1024
    cond_each_level: bool = False
    final_bias: bool = True
    code_stride: int = 1024  # samples a code at input_sample_rate
    input_sample_rate: int = 22050
    output_sample_rate: int = 24000

    def __post_init__(self) -> None:
        check(self, zero=("cond_channels",))
        possible = bool(self.cond_channels) or not self.cond_each_level
        require(possible, type(self), "cond_each_level", self.cond_each_level, "needs cond_channels")
        _check_upsampler(self, self.upsample_factors)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamVocosConfig(Config):
    """Latents and speaker latent to mel frames, for the model's own Vocos; defaults are the bundled model's."""

    in_channels: int = 256
    cond_channels: int = 256
    dim: int = 112
    intermediate_dim: int = 256
    layers: int = 2
    ahead: int = 1  # frames that a block looks ahead, of the 6 around the one it makes
    upsample: int = 4  # columns a latent
    n_mels: int = 100
    hop: int = 256
    code_stride: int = 1024  # samples a code at input_sample_rate
    input_sample_rate: int = 22050
    output_sample_rate: int = 24000

    def __post_init__(self) -> None:
        check(self, zero=("ahead",))
        require(self.ahead <= 6, type(self), "ahead", self.ahead, "must be at most 6")


def _check_upsampler(config: Any, rates: tuple[int, ...]) -> None:
    """Check HiFi-GAN's layout: one kernel size for every rate, one list of dilations for every residual kernel."""
    cls, kernels = type(config), config.upsample_kernel_sizes
    require(len(kernels) == len(rates), cls, "upsample_kernel_sizes", kernels, f"must have {len(rates)} entries")
    dilations, sizes = config.resblock_dilation_sizes, config.resblock_kernel_sizes
    require(len(dilations) == len(sizes), cls, "resblock_dilation_sizes", dilations, f"must have {len(sizes)} entries")
