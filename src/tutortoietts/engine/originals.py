"""Functions and classes that scripts written for the original Tortoise import beside `TextToSpeech`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.audio.io import read_audio
from tutortoietts.audio.mel import conditioning_mel, diffusion_mel, normalize_mel
from tutortoietts.core.errors import OptionError
from tutortoietts.core.paths import expanded
from tutortoietts.engine.detect import detect
from tutortoietts.runtime.device import pick_device
from tutortoietts.runtime.memory import free_bytes
from tutortoietts.text.tokenizer import Tokenizer
from tutortoietts.voices.clips import crop_clip
from tutortoietts.weights.fetch import fetch
from tutortoietts.weights.load import load_tensor
from tutortoietts.weights.registry import lookup

__all__ = [
    "MODELS_DIR",
    "MelSpectrogram",
    "VoiceTokenizer",
    "classify_audio_clip",
    "format_conditioning",
    "get_device",
    "load_wav_to_torch",
    "pick_best_batch_size_for_gpu",
    "wav_to_univnet_mel",
]

MODELS_DIR = os.environ.get(
    "TORTOISE_MODELS_DIR", os.path.join(os.path.expanduser("~"), ".cache", "tortoise", "models")
)
"""Folder that public checkpoints are looked for in, as the original names it."""

_CONDITIONING_SAMPLES = 132_300
_BATCHES = ((14, 16), (10, 8), (7, 4))  # free GiB, candidates at once


def pick_best_batch_size_for_gpu() -> int:
    """Return a number of candidates to decode at once that suits the GPU's free memory: 16, 8, 4 or 1."""
    device = pick_device(None)
    if device.type != "cuda":
        return 1 if device.type == "cpu" else 16
    free = free_bytes(device) / (1 << 30)
    return next((size for gigabytes, size in _BATCHES if free > gigabytes), 1)


def classify_audio_clip(clip: Tensor) -> Tensor:
    """Return the probability (), float32, that Tortoise made a clip (1, N) at 24 000 Hz. Raises as `detect`."""
    return torch.tensor(detect(clip))


def format_conditioning(
    clip: Tensor, cond_length: int = _CONDITIONING_SAMPLES, device: str | torch.device = "cpu"
) -> Tensor:
    """Return the conditioning mel (1, 80, T) of `cond_length` samples of a clip (1, N) at 22 050 Hz."""
    wave = F.pad(clip, (0, max(0, cond_length - clip.shape[-1])))
    mel: Tensor = MelSpectrogram()(crop_clip(wave, cond_length))
    return mel.to(device)


def get_device() -> str:
    """Return the name of the fastest device present, such as "cuda:0" or "cpu"."""
    return str(pick_device(None))


def load_wav_to_torch(full_path: str | os.PathLike[str]) -> tuple[Tensor, int]:
    """Return the first channel of a sound file (N,) float32 and its sample rate."""
    samples, rate = read_audio(full_path)
    return samples[0], rate


def wav_to_univnet_mel(wav: Tensor, do_normalization: bool = False, device: str | torch.device = "cpu") -> Tensor:
    """Return the diffusion mel (B, 100, T) of sound (B, N) at 24 000 Hz, in nats or scaled to about -1..1."""
    mel = diffusion_mel(wav.to(device))
    return normalize_mel(mel) if do_normalization else mel


class MelSpectrogram(nn.Module):
    """`TorchMelSpectrogram`: sound (B, N) or (B, 1, N) at 22 050 Hz -> conditioning mel (B, 80, T).

    mel_norm_file: another file of mel norms than the public one. Other sizes than the public ones are refused.
    """

    def __init__(self, mel_norm_file: str | os.PathLike[str] | None = None, **sizes: Any) -> None:
        super().__init__()
        for name, value in sizes.items():
            if value != _SIZES.get(name, object()):
                usual = f"{_SIZES[name]} only" if name in _SIZES else "no such argument"
                raise OptionError(f"TorchMelSpectrogram: {name} is {value!r}, but here it has {usual}: leave it out")
        path = fetch(lookup("mel_norms")) if mel_norm_file is None else expanded(mel_norm_file)
        self.mel_norms = load_tensor(Path(path))

    def forward(self, inp: Tensor) -> Tensor:
        """Return the mel (B, 80, T)."""
        return conditioning_mel(inp[:, 0] if inp.ndim == 3 else inp, self.mel_norms)


_SIZES = {
    "filter_length": 1024,
    "hop_length": 256,
    "win_length": 1024,
    "n_mel_channels": 80,
    "mel_fmin": 0,
    "mel_fmax": 8000,
    "sampling_rate": 22050,
    "normalize": False,
}


class VoiceTokenizer:
    """`VoiceBpeTokenizer`: text to token ids as the original gives them, and back.

    vocab_file: a `tokenizers` file; None: the public one. use_basic_cleaners: only lower-case the text.
    """

    def __init__(self, vocab_file: str | os.PathLike[str] | None = None, use_basic_cleaners: bool = False) -> None:
        path = fetch(lookup("tokenizer")) if vocab_file is None else expanded(vocab_file)
        self._tokenizer = Tokenizer(Path(path), cleaner_name="basic" if use_basic_cleaners else "english")

    def preprocess_text(self, txt: str) -> str:
        """Return the cleaned text."""
        return self._tokenizer.clean(txt)

    def encode(self, txt: str) -> list[int]:
        """Return the token ids of a text."""
        return list(self._tokenizer.ids(self._tokenizer.clean(txt)))

    def decode(self, seq: Tensor | list[int]) -> str:
        """Return the text of token ids."""
        ids = seq.tolist() if isinstance(seq, Tensor) else list(seq)
        return self._tokenizer.decode(ids)
