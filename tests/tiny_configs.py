"""Configurations of a size for tests; every argument changes one of their values."""

from __future__ import annotations

from typing import Any

from tutortoietts.core.config import AutoregressiveConfig, ClvpConfig, DiffusionConfig


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
