"""Inputs of the later stages: waveforms at the models' rates, mels, and the phone under each code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr
import torch
from torch import Tensor

from tutortoietts.audio.mel import conditioning_mel
from tutortoietts.train.data import RATE, Clip, read_shard, write_arrays

SAMPLES_PER_CODE = 1024  # at 22 050 Hz
UNSEEN = 4  # of this many shards one is kept from the autoregressive model, for what learns from its latents


def wav22(clip: Clip, warp: float = 1.0) -> Tensor:
    """Return the clip at 22 050 Hz, zero-padded to full codes: (S * 1024,); ``warp`` times as high and as fast."""
    wave = soxr.resample(clip.samples.astype(np.float32) / 32768, RATE * warp, 22050)
    return torch.from_numpy(np.pad(wave, (0, -len(wave) % SAMPLES_PER_CODE)))


def wav24(clip: Clip) -> Tensor:
    """Return the clip at 24 000 Hz, (N,) float32."""
    return torch.from_numpy(clip.samples.astype(np.float32) / 32768)


def code_mel(clip: Clip, norms: Tensor | None, warp: float = 1.0) -> Tensor:
    """Return the conditioning mel of exactly four frames a code: (80, 4 S)."""
    return conditioning_mel(wav22(clip, warp)[None], norms)[0, :, :-1]


def phone_at(clip: Clip, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
    """Return the phone being spoken at each of ``seconds`` (T,); silence after the end."""
    index = np.searchsorted(clip.ends, seconds, side="right")
    return np.where(index < len(clip.ends), clip.phones[np.minimum(index, len(clip.ends) - 1)], 0).astype(np.int8)


def half_code_phones(clip: Clip, codes: int, warp: float = 1.0) -> npt.NDArray[np.int8]:
    """Return the phones at a quarter and three quarters of every code: (2 S,)."""
    return phone_at(clip, (np.arange(2 * codes) + 0.5) * SAMPLES_PER_CODE / 2 / 22050 * warp)


def speaker_of(path: Path) -> str:
    """Return whose speech a shard is: all of its name but the number."""
    return path.stem.rpartition("_")[0]


def unseen(path: Path) -> bool:
    """Return whether the autoregressive model never trains on this shard: every UNSEEN-th of a speaker."""
    return int(path.stem.rpartition("_")[2]) % UNSEEN == UNSEEN - 1


def shards(
    folder: Path, per_speaker: int | None = None, speakers: list[str] | None = None, unseen_first: bool = False
) -> list[Path]:
    """Return rendered shards by name, at most ``per_speaker`` of each speaker."""
    chosen: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.npz"), key=lambda path: (unseen_first and not unseen(path), path)):
        chosen.setdefault(speaker_of(path), []).append(path)
    return [p for name, paths in chosen.items() if speakers is None or name in speakers for p in paths[:per_speaker]]


def measure_norms(paths: list[Path], clips_each: int = 60) -> Tensor:
    """Measure the mean magnitude of every conditioning mel bin, (80,): dividing by it brings bins to about -1."""
    mels = []
    for path in paths:
        for n, clip in enumerate(read_shard(path)):
            if n == clips_each:
                break
            mels.append(code_mel(clip, None))
    return torch.cat(mels, 1).abs().mean(1)


@dataclass(frozen=True, slots=True)
class CodedClip:
    """A clip as the autoregressive model trains on it: ``codes`` (S,) and the phone in the middle of each, (S,)."""

    speaker: str
    text: str
    codes: npt.NDArray[np.int16]
    phones: npt.NDArray[np.int8]


def write_coded(path: Path, clips: list[CodedClip]) -> None:
    """Write coded clips as one file."""
    write_arrays(
        path,
        [[c.speaker, c.text, len(c.codes)] for c in clips],
        codes=np.concatenate([c.codes for c in clips]),
        phones=np.concatenate([c.phones for c in clips]),
    )


def read_coded(path: Path) -> Iterator[CodedClip]:
    """Return the clips of one file of codes."""
    with np.load(path) as data:
        meta, codes, phones = json.loads(data["meta"].tobytes()), data["codes"], data["phones"]
    at = 0
    for speaker, text, length in meta:
        yield CodedClip(speaker, text, codes[at : at + length], phones[at : at + length])
        at += length
