"""Tortoise voices from reference clips: mels as each model saw them in training, then its own encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from tutortoietts.audio.io import resample
from tutortoietts.audio.mel import conditioning_mel, diffusion_mel, normalize_mel
from tutortoietts.audio.speech_level import speech_crop
from tutortoietts.core.config import ModelSpec
from tutortoietts.core.errors import OptionError
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.diffusion import Diffusion
from tutortoietts.runtime.models import LoadedModels

__all__ = ["CLIP_RATE", "reference_mels", "voice_latents"]

CLIP_RATE = 22050
_CLIP_SAMPLES = 132_300  # six seconds
_DIFFUSION_RATE = 24000
_DIFFUSION_SAMPLES = 102_400


def reference_mels(models: LoadedModels, clips: Sequence[Tensor]) -> Tensor:
    """Return mels (1, clips, 80, T) of clips (1, N) at 22 050 Hz, as the autoregressive model and CVVP see them."""
    wave = torch.cat([_middle(clip) for clip in clips])
    return conditioning_mel(wave, models.mel_norms)[None]


def voice_latents(models: LoadedModels, clips: Sequence[Tensor], mode: int = 0) -> tuple[Tensor, Tensor]:
    """Encode clips (1, N) at 22 050 Hz -> speaker latent (1, D) and diffusion latent (1, 2C), float32 on the CPU.

    mode 0: a crop of each clip (its middle, and its beginning for the diffusion latent; where those hold less than half
    as much speech as another place, that one), the mean over clips; 1: all of every clip in pieces, the mean over all
    pieces; 2: the same, the mean of the clips' own means. Raise OptionError for another mode.
    """
    if mode not in (0, 1, 2):
        raise OptionError(f"latent_averaging_mode is {mode!r}, must be 0, 1 or 2")
    wide = [resample(clip, CLIP_RATE, _DIFFUSION_RATE, kernel="sinc") for clip in clips]
    speakers = [_pieces(clip, _CLIP_SAMPLES) if mode else _middle(clip) for clip in clips]
    spectra = [_pieces(clip, _DIFFUSION_SAMPLES) if mode else _beginning(clip) for clip in wide]
    with models.use("autoregressive") as module, torch.inference_mode():
        speaker = _mean([_speaker(cast(Autoregressive, module), models, some) for some in speakers], mode)
    with models.use("diffusion") as module, torch.inference_mode():
        diffusion = _mean([_spectrum(cast(Diffusion, module), models, some) for some in spectra], mode)
    return speaker.clone(), diffusion.clone()  # ordinary tensors, outside inference mode


def _speaker(model: Autoregressive, models: LoadedModels, wave: Tensor) -> Tensor:
    """Encode pieces (pieces, 132 300) -> (pieces, D)."""
    mel = conditioning_mel(wave, models.mel_norms)[:, None]
    return model.conditioning(mel.to(models.device, models.dtype_of("autoregressive"))).float().cpu()


def _spectrum(model: Diffusion, models: LoadedModels, wave: Tensor) -> Tensor:
    """Encode pieces (pieces, 102 400) -> (pieces, 2C)."""
    mel = diffusion_mel(wave)
    if cast(ModelSpec, models.spec).reference_mel == "normalized":
        mel = normalize_mel(mel)
    return model.conditioning(mel[:, None].to(models.device, models.dtype)).float().cpu()


def _mean(each: list[Tensor], mode: int) -> Tensor:
    """Average the latents of each clip's pieces -> (1, L)."""
    if mode == 2:
        each = [some.mean(dim=0, keepdim=True) for some in each]
    return torch.cat(each).mean(dim=0, keepdim=True)


def _middle(clip: Tensor) -> Tensor:
    usual = max(0, clip.shape[-1] - _CLIP_SAMPLES) // 2
    return speech_crop(clip, _CLIP_SAMPLES, CLIP_RATE, usual)


def _beginning(clip: Tensor) -> Tensor:
    return speech_crop(clip, _DIFFUSION_SAMPLES, _DIFFUSION_RATE, 0)


def _first(wave: Tensor, samples: int) -> Tensor:
    return F.pad(wave, (0, max(0, samples - wave.shape[-1])))[:, :samples]


def _pieces(wave: Tensor, samples: int) -> Tensor:
    """Cut (1, N) into consecutive (pieces, samples); the last is padded, or left out if it is less than half full."""
    whole, rest = divmod(wave.shape[-1], samples)
    count = whole + (1 if rest >= samples // 2 or whole == 0 else 0)
    return _first(wave, count * samples).reshape(count, samples)
