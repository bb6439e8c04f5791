"""Sizes of the models for codes, latents and mels, and of those that rank them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tutortoietts.core.config_base import Config, check, check_multiple, require

__all__ = [
    "AutoregressiveConfig",
    "ClassifierConfig",
    "ClvpConfig",
    "CtcConfig",
    "CvvpConfig",
    "DiffusionConfig",
    "DvaeConfig",
    "RandomLatentConfig",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoregressiveConfig(Config):
    """Sizes of the autoregressive model: text to codes.

    Position tables have ``max_text_tokens + 2`` and ``mel_positions`` entries.
    """

    IGNORED: ClassVar[frozenset[str]] = frozenset({"train_solo_embeddings", "checkpointing", "use_mel_codes_as_input"})

    layers: int = 30
    model_dim: int = 1024
    heads: int = 16
    max_text_tokens: int = 402
    max_mel_tokens: int = 604
    max_conditioning_inputs: int = 2
    number_text_tokens: int = 255
    start_text_token: int = 255
    stop_text_token: int = 0
    number_mel_codes: int = 8194
    start_mel_token: int = 8192
    stop_mel_token: int = 8193
    conditioning_blocks: int = 6
    mel_channels: int = 80

    def __post_init__(self) -> None:
        check(self, zero=("start_text_token", "stop_text_token", "start_mel_token", "stop_mel_token"))
        check_multiple(self, "model_dim", "heads")
        for name in ("start_mel_token", "stop_mel_token"):
            value = getattr(self, name)
            require(value < self.number_mel_codes, type(self), name, value, f"must be below {self.number_mel_codes}")
        for name in ("start_text_token", "stop_text_token"):
            value = getattr(self, name)
            require(value < self.text_vocabulary, type(self), name, value, f"must be below {self.text_vocabulary}")

    @property
    def text_vocabulary(self) -> int:
        """Rows of the text embedding: the tokens and one more, the start token."""
        return self.number_text_tokens + 1

    @property
    def text_positions(self) -> int:
        """Longest text, start token and final stop token included."""
        return self.max_text_tokens + 2

    @property
    def mel_positions(self) -> int:
        """Longest row of codes, start code and stop code included."""
        return self.max_mel_tokens + 2 + self.max_conditioning_inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class ClvpConfig(Config):
    """Sizes of CLVP: agreement of text and codes. The sequence lengths are those of the original's training."""

    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {"use_xformers", "text_mask_percentage", "voice_mask_percentage", "wav_token_compression"}
    )

    dim_text: int = 768
    dim_speech: int = 768
    dim_latent: int = 768
    num_text_tokens: int = 256
    text_enc_depth: int = 20
    text_seq_len: int = 350
    text_heads: int = 12
    num_speech_tokens: int = 8192
    speech_enc_depth: int = 20
    speech_heads: int = 12
    speech_seq_len: int = 430
    head_dim: int = 64
    rotary_dim: int = 32
    feed_forward_mult: int = 2

    def __post_init__(self) -> None:
        check(self)
        limit = f"must be even and at most head_dim ({self.head_dim})"
        require(
            self.rotary_dim % 2 == 0 and self.rotary_dim <= self.head_dim,
            type(self),
            "rotary_dim",
            self.rotary_dim,
            limit,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CtcConfig(Config):
    """Sizes of the recogniser of codes that ranks candidates; the public model has none.

    ``upsample``: number of characters at most that a code can say.
    """

    dim: int = 256
    intermediate_dim: int = 768
    layers: int = 5
    upsample: int = 2
    num_text_tokens: int = 39
    num_speech_tokens: int = 1024

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class CvvpConfig(Config):
    """Sizes of CVVP: agreement of a reference clip's mel and codes."""

    IGNORED: ClassVar[frozenset[str]] = frozenset({"dropout", "cond_mask_percentage", "speech_mask_percentage"})

    model_dim: int = 512
    transformer_heads: int = 8
    mel_codes: int = 8192
    conditioning_enc_depth: int = 8
    speech_enc_depth: int = 8
    latent_multiplier: int = 1
    mel_channels: int = 80
    head_dim: int = 64
    rotary_dim: int = 32

    def __post_init__(self) -> None:
        check(self)
        check_multiple(self, "model_dim", "transformer_heads")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffusionConfig(Config):
    """Sizes of the diffusion model: latents to mel.

    The counts after ``num_heads`` are constants of the original, here for small models.
    ``latent_upsample``: number of positions that each latent becomes before it is repeated over its mel frames.
    """

    IGNORED: ClassVar[frozenset[str]] = frozenset({"dropout", "use_fp16", "layer_drop", "unconditioned_percentage"})
    FIXED: ClassVar[Mapping[str, Any]] = {"freeze_everything_except_autoregressive_inputs": False}

    model_channels: int = 1024
    num_layers: int = 10
    in_channels: int = 100
    out_channels: int = 200
    in_latent_channels: int = 1024
    in_tokens: int = 8193
    num_heads: int = 16
    latent_conditioner_blocks: int = 4
    contextual_embedder_blocks: int = 5
    code_converter_blocks: int = 3
    integrator_layers: int = 3
    head_residual_blocks: int = 3
    latent_upsample: int = 1

    def __post_init__(self) -> None:
        blocks = ("latent_conditioner_blocks", "contextual_embedder_blocks", "code_converter_blocks")
        check(self, zero=(*blocks, "integrator_layers", "head_residual_blocks"))
        check_multiple(self, "model_channels", "num_heads")
        expected = 2 * self.in_channels
        require(
            self.out_channels == expected,
            type(self),
            "out_channels",
            self.out_channels,
            f"must be twice in_channels ({expected}): noise estimate and variance",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DvaeConfig(Config):
    """Sizes of the DVAE: mel to codes and back."""

    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {
            "smooth_l1_loss",
            "straight_through",
            "record_codes",
            "discretization_loss_averaging_steps",
            "lr_quantizer_args",
        }
    )
    FIXED: ClassVar[Mapping[str, Any]] = {
        "positional_dims": 1,
        "normalization": None,
        "use_transposed_convs": False,
        "stride": 2,
        "activation": "relu",
        "encoder_norm": False,
    }

    channels: int = 80
    num_tokens: int = 8192
    codebook_dim: int = 512
    hidden_dim: int = 512
    num_resnet_blocks: int = 3
    kernel_size: int = 3
    num_layers: int = 2

    def __post_init__(self) -> None:
        check(self, zero=("num_resnet_blocks",))
        require(self.kernel_size % 2 == 1, type(self), "kernel_size", self.kernel_size, "must be odd")


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomLatentConfig(Config):
    """Sizes of the random-voice model: normal noise to a speaker latent; ``layers`` equalised layers and one plain."""

    channels: int = 1024
    layers: int = 5

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierConfig(Config):
    """Sizes of the classifier that tells waveforms made by Tortoise."""

    IGNORED: ClassVar[frozenset[str]] = frozenset({"dropout", "distribute_zero_label"})

    classes: int = 2
    spec_dim: int = 1
    embedding_dim: int = 512
    depth: int = 5
    downsample_factor: int = 4
    resnet_blocks: int = 2
    attn_blocks: int = 4
    num_attn_heads: int = 4
    base_channels: int = 32
    kernel_size: int = 5

    def __post_init__(self) -> None:
        check(self, zero=("attn_blocks",))
        check_multiple(self, "embedding_dim", "num_attn_heads")
