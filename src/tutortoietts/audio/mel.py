"""Mel spectrograms: the two definitions that the models use.

    conditioning mel  80 bins, 22 050 Hz, power,     HTK scale     input of the autoregressive model
    diffusion mel    100 bins, 24 000 Hz, magnitude, slaney scale  output of the diffusion model, input of vocoders

Both: periodic Hann window of 1024, hop 256, centred with reflect padding, slaney area norm, log of clamp(1e-5).
They work on any device, in batches, and under autograd.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from tutortoietts.core.errors import AudioError, OptionError

__all__ = ["conditioning_mel", "denormalize_mel", "diffusion_mel", "normalize_mel"]

N_FFT = 1024
HOP = 256
CONDITIONING_RATE = 22050
CONDITIONING_BINS = 80
DIFFUSION_RATE = 24000
DIFFUSION_BINS = 100
LOG_FLOOR = 1e-5
MEL_MAX = 2.3143386840820312
MEL_MIN = -11.512925148010254


def conditioning_mel(wav22: Tensor, norms: Tensor | None = None) -> Tensor:
    """Compute the 80-bin log-mel of `wav22` (B, N) or (N,) at 22 050 Hz -> (B, 80, 1 + N // 256).

    It is divided by `norms` (80,), a file of each model (the public one: `mel_norms.pth`); None leaves it undivided.
    Raises AudioError for clips of 512 samples or fewer, OptionError for norms of another shape.
    """
    power = _stft(wav22).abs().square()
    mel = _log(_filterbank("htk", str(power.device)) @ power)
    if norms is None:
        return mel
    if tuple(norms.shape) != (CONDITIONING_BINS,):
        raise OptionError(f"mel norms have shape {tuple(norms.shape)}, must be ({CONDITIONING_BINS},)")
    return mel / norms.to(mel)[:, None]


def diffusion_mel(wav24: Tensor) -> Tensor:
    """Compute the 100-bin log-mel of `wav24` (B, N) or (N,) at 24 000 Hz -> (B, 100, 1 + N // 256), in nats.

    Raises AudioError for clips of 512 samples or fewer.
    """
    magnitude = _stft(wav24).abs()
    return _log(_filterbank("slaney", str(magnitude.device)) @ magnitude)


def normalize_mel(mel: Tensor) -> Tensor:
    """Scale a diffusion mel from nats to about -1..1, the range of the diffusion model. Same shape."""
    return 2 * (mel - MEL_MIN) / (MEL_MAX - MEL_MIN) - 1


def denormalize_mel(mel: Tensor) -> Tensor:
    """Invert `normalize_mel`. Same shape."""
    return (mel + 1) / 2 * (MEL_MAX - MEL_MIN) + MEL_MIN


def _log(energy: Tensor) -> Tensor:
    return energy.clamp(min=LOG_FLOOR).log()


def _stft(wav: Tensor) -> Tensor:
    """Compute the STFT of (B, N) or (N,) -> complex (B, 513, 1 + N // 256)."""
    if wav.ndim == 1:
        wav = wav[None]
    if wav.ndim != 2:
        raise OptionError(f"audio for a mel has shape {tuple(wav.shape)}, must be (batch, samples)")
    if wav.shape[-1] <= N_FFT // 2:
        raise AudioError(f"a clip of {wav.shape[-1]} samples is too short for a mel: give more than {N_FFT // 2}")
    wav = wav.to(torch.float32)
    window = _window(str(wav.device))
    return torch.stft(wav, N_FFT, HOP, window=window, center=True, pad_mode="reflect", return_complex=True)


# The two tables below are constants, computed once a device. They are made outside inference mode, so that a
# training step may use them whichever caller came first.


@lru_cache(maxsize=16)
def _window(device: str) -> Tensor:
    with torch.inference_mode(False):
        return torch.hann_window(N_FFT, periodic=True, dtype=torch.float64, device="cpu").to(torch.float32).to(device)


@lru_cache(maxsize=16)
def _filterbank(scale: str, device: str) -> Tensor:
    """Return triangles of slaney area norm, (bins, 513): "htk" (conditioning mel) or "slaney" (diffusion mel)."""
    with torch.inference_mode(False):
        if scale == "htk":
            rate, edges = CONDITIONING_RATE, _htk_edges(CONDITIONING_BINS, 8000.0)
        else:
            rate, edges = DIFFUSION_RATE, _slaney_edges(DIFFUSION_BINS, 12000.0)
        bins = torch.linspace(0, rate / 2, N_FFT // 2 + 1, dtype=torch.float64, device="cpu")
        low, centre, high = (edges[i : len(edges) - 2 + i, None] for i in range(3))
        rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
        triangles = torch.minimum(rising, falling).clamp(min=0) * (2 / (high - low))
        return triangles.to(torch.float32).to(device)


def _htk_edges(bins: int, top_hertz: float) -> Tensor:
    """Return `bins` + 2 frequencies in hertz, evenly spaced on mel = 2595 log10(1 + f / 700)."""
    mels = torch.linspace(0, 2595 * math.log10(1 + top_hertz / 700), bins + 2, dtype=torch.float64, device="cpu")
    return 700 * (10 ** (mels / 2595) - 1)


def _slaney_edges(bins: int, top_hertz: float) -> Tensor:
    """Return `bins` + 2 frequencies in hertz, linear (200/3 Hz a mel) to 1000 Hz, then 27 mels each factor of 6.4."""
    knee_hertz, hertz_per_mel, step = 1000.0, 200 / 3, math.log(6.4) / 27
    knee = knee_hertz / hertz_per_mel
    top = knee + math.log(top_hertz / knee_hertz) / step
    mels = torch.linspace(0, top, bins + 2, dtype=torch.float64, device="cpu")
    return torch.where(mels < knee, mels * hertz_per_mel, knee_hertz * torch.exp((mels - knee) * step))
