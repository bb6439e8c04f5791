"""Multiply-adds of what only XTTS has: the perceiver and the speaker encoder, which make a voice from a clip."""

from __future__ import annotations

from tutortoietts.core.config_xtts import SpeakerEncoderConfig, XttsConfig

__all__ = ["perceiver_macs", "speaker_encoder_macs"]


def perceiver_macs(cfg: XttsConfig, steps: int) -> int:
    """Count the multiply-adds of the perceiver over the steps of one chunk."""
    dim, inner, wide = cfg.model_dim, cfg.perceiver_heads * cfg.perceiver_head_dim, int(cfg.model_dim * 4 * 2 / 3)
    latents, keys = cfg.prompt_latents, cfg.prompt_latents + steps
    attention = 2 * latents * dim * inner + keys * dim * 2 * inner + 2 * latents * keys * inner
    return cfg.perceiver_layers * (attention + latents * (dim * 2 * wide + wide * dim))


def speaker_encoder_macs(cfg: SpeakerEncoderConfig, frames: int) -> int:
    """Count the multiply-adds of the ResNet over the frames of one clip."""
    bands, width, total = cfg.input_dim, cfg.num_filters[0], 9 * cfg.num_filters[0] * cfg.input_dim * frames
    for stage, (blocks, channels) in enumerate(zip(cfg.layers, cfg.num_filters, strict=True)):
        if stage:
            bands, frames = -(-bands // 2), -(-frames // 2)
        places, squeeze = bands * frames, 2 * channels * (channels // 8)
        total += places * 9 * (width * channels + channels**2) + squeeze
        total += places * width * channels if stage or width != channels else 0
        total += (blocks - 1) * (places * 18 * channels**2 + squeeze)
        width = channels
    pooled = width * bands
    return total + 2 * frames * pooled * 128 + 2 * pooled * cfg.proj_dim
