"""Stage 1: render speech. Each shard is one ``.npz``: 16 kHz samples, texts and phone times of a few hundred clips."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from tutortoietts.train.corpus import Corpus
from tutortoietts.train.flite import Flite, Utterance

RATE = 16000
# Gains that bring every voice to about -21 dB full scale. WARPS are further speakers made of a voice, so that the
# speaker latent learns a continuous space: x is the percent to which all is resampled (pitch, formants and pace),
# p the percent to which the pitch alone is moved first (flite's rms has no such setting).
GAINS = {"slt": 0.65, "rms": 1.15, "awb": 1.0, "kal16": 2.4}
WARPS = {
    "slt": "x080 x080p125 x086p085 x086p115 x093p075 x093 x100p080 x100p125 x108p090 x116p080 x116",
    "rms": "x080 x086 x093 x108 x116 x125 x135 x148",
    "kal16": "x080 x080p150 x086 x086p130 x093 x093p150 x100p125 x100p150 "
    "x108 x108p080 x108p130 x116 x116p075 x125 x135",
}
SHARD_SECONDS = 900.0
LEAD_SECONDS, TAIL_SECONDS = 0.06, 0.20


@dataclass(frozen=True, slots=True)
class Clip:
    """One spoken sentence: ``samples`` (N,) int16 at 16 kHz, ``phones`` (P,) and their ``ends`` (P,) in seconds."""

    speaker: str
    text: str
    samples: npt.NDArray[np.int16]
    phones: npt.NDArray[np.int8]
    ends: npt.NDArray[np.float32]


def speakers() -> list[str]:
    """Return every training speaker: the voices, then the ones derived from them."""
    return [*WARPS, *(voice + warp for voice, warps in WARPS.items() for warp in warps.split())]


def _trim(said: Utterance, gain: float) -> Utterance:
    """Cut the leading pause to LEAD_SECONDS and make the trailing one TAIL_SECONDS; 10 ms fades hide the cuts."""
    samples = np.clip(said.samples * gain, -32767, 32767).astype(np.int16)
    start = max(0, int((said.ends[0] - LEAD_SECONDS) * said.rate)) if said.phones[0] == 0 else 0
    last = said.ends[-2] if said.phones[-1] == 0 and len(said.ends) > 1 else said.ends[-1]
    stop = int((last + TAIL_SECONDS) * said.rate)
    cut = samples[start:stop].astype(np.float32)
    fade = np.linspace(0, 1, said.rate // 100, dtype=np.float32)
    cut[: len(fade)] *= fade
    cut[-len(fade) :] *= fade[::-1]
    cut = np.pad(cut, (0, max(0, stop - start - len(cut))))
    ends = np.minimum(said.ends - start / said.rate, (stop - start) / said.rate).astype(np.float32)
    ends[-1] = len(cut) / said.rate
    return Utterance(cut.astype(np.int16), said.rate, said.phones, ends)


def render(flite: Flite, speaker: str, text: str) -> Clip:
    """Speak ``text`` as ``speaker``: a voice of flite's, perhaps with one of its WARPS behind the name."""
    voice, _, warp = speaker.partition("x")
    percent, _, pitch = warp.partition("p")
    said = _trim(flite.speak(voice, text, int(pitch or 100) / 100), GAINS[voice])
    if not warp:
        return Clip(speaker, text, said.samples, said.phones, said.ends)
    factor = int(percent) / 100
    warped = soxr.resample(said.samples, RATE * factor, RATE)
    return Clip(speaker, text, warped, said.phones, (said.ends / factor).astype(np.float32))


def render_shard(path: Path, flite: Flite, corpus: Corpus, speaker: str, seed: int) -> None:
    """Write about SHARD_SECONDS of speech to ``path`` unless it is there already."""
    if path.exists():
        return
    clips, total = list[Clip](), 0.0
    for text in corpus.sentences(seed):
        clips.append(render(flite, speaker, text))
        total += len(clips[-1].samples) / RATE
        if total >= SHARD_SECONDS:
            break
    write_shard(path, clips)


def write_arrays(path: Path, meta: object, **arrays: npt.NDArray[Any]) -> None:
    """Write arrays and ``meta`` (anything JSON can hold) as one ``.npz``: complete or not there at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)
    partial.rename(path)


def write_shard(path: Path, clips: list[Clip]) -> None:
    """Write rendered clips as one file."""
    write_arrays(
        path,
        [[c.speaker, c.text, len(c.samples), len(c.phones)] for c in clips],
        samples=np.concatenate([c.samples for c in clips]),
        phones=np.concatenate([c.phones for c in clips]),
        ends=np.concatenate([c.ends for c in clips]),
    )


def read_shard(path: Path) -> Iterator[Clip]:
    """Return the clips of one shard."""
    with np.load(path) as data:
        meta, samples, phones, ends = json.loads(data["meta"].tobytes()), data["samples"], data["phones"], data["ends"]
    at = segment = 0
    for speaker, text, length, count in meta:
        part = slice(segment, segment + count)
        yield Clip(speaker, text, samples[at : at + length], phones[part], ends[part])
        at, segment = at + length, segment + count


def render_all(folder: Path, hours: dict[str, float], excluded: list[str], worker: int = 0, workers: int = 1) -> None:
    """Render ``hours`` of each speaker into ``folder``, speakers in turn; resumable.

    ``workers`` processes share the list of shards.
    """
    flite, corpus = Flite(), Corpus(excluded)
    shards = {name: round(3600 * h / SHARD_SECONDS) for name, h in hours.items()}
    jobs = [(n / total, name, n) for name, total in shards.items() for n in range(total)]
    for _, name, n in sorted(jobs)[worker::workers]:
        render_shard(folder / f"{name}_{n:03d}.npz", flite, corpus, name, seed=zlib.crc32(f"{name} {n}".encode()))
