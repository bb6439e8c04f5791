"""Mel spectrograms: the two definitions that the models use.

    conditioning mel  80 bins, 22 050 Hz, power,     HTK scale     input of the autoregressive models
    diffusion mel    100 bins, 24 000 Hz, magnitude, slaney scale  output of the diffusion model, input of vocoders
    speaker mel       64 bins, 16 000 Hz, power,     HTK scale     input of the speaker encoder of XTTS

The first two: periodic Hann window of 1024, hop 256, centred with reflect padding, slaney area norm, log of
clamp(1e-5). All work on any device, in batches, and under autograd.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from tutortoietts.core.errors import AudioError, OptionError

__all__ = [
    "conditioning_mel",
    "denormalize_mel",
    "diffusion_mel",
    "normalize_mel",
    "speaker_features",
    "speaker_filters",
    "speaker_mel",
]

N_FFT = 1024
HOP = 256
CONDITIONING_RATE = 22050
CONDITIONING_BINS = 80
DIFFUSION_RATE = 24000
DIFFUSION_BINS = 100
LOG_FLOOR = 1e-5
MEL_MAX = 2.3143386840820312
MEL_MIN = -11.512925148010254
XTTS_N_FFT = 2048  # of the conditioning mel; its window stays 1024, centred
SPEAKER_RATE = 16000
SPEAKER_BINS = 64
SPEAKER_N_FFT = 512
SPEAKER_HOP = 160
SPEAKER_WINDOW = 400
PRE_EMPHASIS = 0.97


def conditioning_mel(wav22: Tensor, norms: Tensor | None = None, n_fft: int = N_FFT) -> Tensor:
    """Compute the 80-bin log-mel of `wav22` (B, N) or (N,) at 22 050 Hz -> (B, 80, 1 + N // 256).

    It is divided by `norms` (80,), a file of each model (the public one: `mel_norms.pth`); None leaves it undivided.
    `n_fft`: size of the transform, in the middle of which the window lies; 1024 for Tortoise, `XTTS_N_FFT` for XTTS.
    Raises AudioError for clips of n_fft / 2 samples or fewer, OptionError for norms of another shape.
    """
    power = _stft(wav22, n_fft).abs().square()
    mel = _log(_filterbank("htk", str(power.device), n_fft) @ power)
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


def speaker_mel(wav16: Tensor) -> Tensor:
    """Compute the 64-bin mel of `wav16` (B, N) or (N,) at 16 000 Hz -> (B, 64, 1 + N // 160), power, not logarithmic.

    High frequencies are emphasised first: y[t] = x[t] - 0.97 x[t-1]. Periodic Hamming window of 400, no area norm.
    Raises AudioError for clips of 256 samples or fewer.
    """
    wav = _checked(wav16, SPEAKER_N_FFT)
    before = torch.cat([wav[:, 1:2], wav[:, :-1]], dim=1)  # the sample before the first is the second, mirrored
    window, wav = _hamming(str(wav.device)), wav - PRE_EMPHASIS * before
    spectrum = torch.stft(wav, SPEAKER_N_FFT, SPEAKER_HOP, SPEAKER_WINDOW, window, return_complex=True)
    return speaker_filters(str(wav.device)) @ spectrum.abs().square()


def speaker_features(wav16: Tensor) -> Tensor:
    """Compute the speaker encoder's input from `wav16` (B, N) or (N,) -> (B, 64, 1 + N // 160).

    The logarithm of `speaker_mel`, each band with mean 0 and variance 1 over time. Raises as `speaker_mel`.
    """
    logs = (speaker_mel(wav16) + 1e-6).log()
    variance, mean = torch.var_mean(logs, dim=-1, correction=0, keepdim=True)
    return (logs - mean) / (variance + 1e-5).sqrt()


def normalize_mel(mel: Tensor) -> Tensor:
    """Scale a diffusion mel from nats to about -1..1, the range of the diffusion model. Same shape."""
    return 2 * (mel - MEL_MIN) / (MEL_MAX - MEL_MIN) - 1


def denormalize_mel(mel: Tensor) -> Tensor:
    """Invert `normalize_mel`. Same shape."""
    return (mel + 1) / 2 * (MEL_MAX - MEL_MIN) + MEL_MIN


def _log(energy: Tensor) -> Tensor:
    return energy.clamp(min=LOG_FLOOR).log()


def _stft(wav: Tensor, n_fft: int = N_FFT) -> Tensor:
    """Compute the STFT of (B, N) or (N,) -> complex (B, n_fft / 2 + 1, 1 + N // 256)."""
    wav = _checked(wav, n_fft)
    window = _window(str(wav.device))
    return torch.stft(wav, n_fft, HOP, N_FFT, window, center=True, pad_mode="reflect", return_complex=True)


def _checked(wav: Tensor, n_fft: int) -> Tensor:
    """Return (B, N) or (N,) as (B, N) float32, long enough to be mirrored at its ends."""
    if wav.ndim == 1:
        wav = wav[None]
    if wav.ndim != 2:
        raise OptionError(f"audio for a mel has shape {tuple(wav.shape)}, must be (batch, samples)")
    if wav.shape[-1] <= n_fft // 2:
        raise AudioError(f"a clip of {wav.shape[-1]} samples is too short for a mel: give more than {n_fft // 2}")
    return wav.to(torch.float32)


# The tables below are constants, computed once a device. They are made outside inference mode, so that a
# training step may use them whichever caller came first.


@lru_cache(maxsize=16)
def _window(device: str) -> Tensor:
    with torch.inference_mode(False):
        return torch.hann_window(N_FFT, periodic=True, dtype=torch.float64, device="cpu").to(torch.float32).to(device)


@lru_cache(maxsize=16)
def _hamming(device: str) -> Tensor:
    with torch.inference_mode(False):
        return torch.hamming_window(SPEAKER_WINDOW, dtype=torch.float64, device="cpu").to(torch.float32).to(device)


@lru_cache(maxsize=16)
def _filterbank(scale: str, device: str, n_fft: int = N_FFT) -> Tensor:
    """Return triangles of slaney area norm, (bins, n_fft / 2 + 1): "htk" (conditioning mel) or "slaney" (diffusion)."""
    with torch.inference_mode(False):
        if scale == "htk":
            rate, edges = CONDITIONING_RATE, _htk_edges(CONDITIONING_BINS, 8000.0)
        else:
            rate, edges = DIFFUSION_RATE, _slaney_edges(DIFFUSION_BINS, 12000.0)
        area = 2 / (edges[2:] - edges[:-2])
        return (_triangles(edges, rate, n_fft) * area[:, None]).to(torch.float32).to(device)


@lru_cache(maxsize=16)
def speaker_filters(device: str = "cpu") -> Tensor:
    """Return the bands of the speaker mel, (64, 257): triangles of height 1 on the HTK scale, up to 8000 Hz."""
    with torch.inference_mode(False):
        edges = _htk_edges(SPEAKER_BINS, SPEAKER_RATE / 2)
        return _triangles(edges, SPEAKER_RATE, SPEAKER_N_FFT).to(torch.float32).to(device)


def _triangles(edges: Tensor, rate: int, n_fft: int) -> Tensor:
    """(bands, n_fft / 2 + 1) of height 1 between `bands` + 2 edges in hertz, float64."""
    bins = torch.linspace(0, rate / 2, n_fft // 2 + 1, dtype=torch.float64, device="cpu")
    low, centre, high = (edges[i : len(edges) - 2 + i, None] for i in range(3))
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return torch.minimum(rising, falling).clamp(min=0)


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
