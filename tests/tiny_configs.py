"""Configurations of a size for tests; every argument changes one of their values."""

from __future__ import annotations

from typing import Any

from tutortoietts.core.config import (
    AutoregressiveConfig,
    ClvpConfig,
    CtcConfig,
    DiffusionConfig,
    HifiganConfig,
    ModelSpec,
    StreamVocosConfig,
    TokenizerSpec,
    VocosConfig,
)


def autoregressive(codes: int = 24, **changes: Any) -> AutoregressiveConfig:
    """Two layers of 32, with so many codes before start and stop."""
    values = {
        "layers": 2,
        "model_dim": 32,
        "heads": 2,
        "max_text_tokens": 40,
        "max_mel_tokens": 60,
        "number_mel_codes": codes + 2,
        "start_mel_token": codes,
        "stop_mel_token": codes + 1,
        "conditioning_blocks": 1,
    }
    return AutoregressiveConfig(**{**values, **changes})


def diffusion(**changes: Any) -> DiffusionConfig:
    """One layer of 32, and one block of everything before it."""
    values = {
        "model_channels": 32,
        "num_layers": 1,
        "in_latent_channels": 32,
        "num_heads": 2,
        "latent_conditioner_blocks": 1,
        "contextual_embedder_blocks": 1,
        "code_converter_blocks": 1,
        "integrator_layers": 1,
        "head_residual_blocks": 1,
    }
    return DiffusionConfig(**{**values, **changes})


def clvp(**changes: Any) -> ClvpConfig:
    """One layer of 32 on either side."""
    values = {
        "dim_text": 32,
        "dim_speech": 32,
        "dim_latent": 16,
        "text_enc_depth": 1,
        "text_heads": 2,
        "speech_enc_depth": 1,
        "speech_heads": 2,
        "head_dim": 16,
        "rotary_dim": 8,
    }
    return ClvpConfig(**{**values, **changes})


def ctc(**changes: Any) -> CtcConfig:
    """Two layers of 32."""
    return CtcConfig(**{"dim": 32, "intermediate_dim": 48, "layers": 2, **changes})


def stream_decoder(kind: str, width: int = 64) -> StreamVocosConfig | HifiganConfig:
    """Of "stream_vocos" or "hifigan": a narrow one, over latents and a speaker latent of `width`."""
    if kind == "stream_vocos":
        return StreamVocosConfig(in_channels=width, cond_channels=width, dim=32, intermediate_dim=48)
    return HifiganConfig(
        in_channels=width,
        cond_channels=width,
        upsample_initial_channel=16,
        upsample_factors=(16, 16),
        upsample_kernel_sizes=(32, 32),
        resblock_kernel_sizes=(3, 5),
        resblock_dilation_sizes=((1, 3), (1, 3)),
    )


def model(streaming: str | None = None, codes: int = 32, width: int = 64) -> ModelSpec:
    """A whole voice model of `width`, its preset "tiny"; `streaming`: with a `stream_decoder` of that kind."""
    return ModelSpec(
        name="tiny",
        default_preset="tiny",
        tokenizer=TokenizerSpec(file="tokenizer.json", cleaner="english"),
        autoregressive=autoregressive(codes, model_dim=width, max_text_tokens=402),
        diffusion=diffusion(model_channels=width, in_latent_channels=width, in_tokens=codes + 1),
        clvp=clvp(dim_latent=32, num_speech_tokens=codes),
        vocoder=VocosConfig(dim=32, intermediate_dim=64, layers=1),
        stream_decoder=None if streaming is None else stream_decoder(streaming, width),
        calm_token=None,
        presets={"tiny": {"num_autoregressive_samples": 2, "diffusion_iterations": 2, "max_mel_tokens": 12}},
    )
