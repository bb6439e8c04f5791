"""A mel to a waveform, always in float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tutortoietts.core.errors import ModelError
from tutortoietts.core.types import Audio, Mel
from tutortoietts.models.univnet import UnivNet

__all__ = ["vocode"]


@torch.inference_mode()
def vocode(vocoder: nn.Module, mel: Mel, generator: torch.Generator) -> Audio:
    """Mel (B, 100, F) -> Audio (B, 1, L) in -1..1. `generator`: for a vocoder that starts from noise (UnivNet).

    Any module that maps (B, 100, F) to (B, 1, L) will do; ModelError if it gives another shape.
    """
    weight = next(vocoder.parameters(), mel.values)
    values = mel.values.to(weight.device, torch.float32)
    wave: Tensor = vocoder(values, generator=generator) if isinstance(vocoder, UnivNet) else vocoder(values)
    if wave.ndim != 3 or wave.shape[:2] != (values.shape[0], 1):
        raise ModelError(f"the vocoder gives shape {tuple(wave.shape)}, must be ({values.shape[0]}, 1, samples)")
    return Audio(samples=wave.float().clamp(-1.0, 1.0), sample_rate=mel.sample_rate)
