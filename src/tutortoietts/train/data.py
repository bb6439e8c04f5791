"""Stage 1: render speech. Each shard is one ``.npz``: 24 kHz samples, texts and phone times of some eighty clips."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from tutortoietts.train.corpus import Corpus
from tutortoietts.train.flite import Flite
from tutortoietts.train.kokoro import STYLES as STYLE_NAMES
from tutortoietts.train.kokoro import Kokoro
from tutortoietts.train.phones import Espeak, Utterance
from tutortoietts.train.piper import Piper

RATE = 24000
SHARD_SECONDS = 300.0
LEAD_SECONDS, TAIL_SECONDS = 0.06, 0.20
SPEECH_DBFS, PEAK = -21.0, 0.97
JOE_NOISE = 0.3  # of the voice's own: as natural to judges (P.808), and easier to learn
# Speakers by teacher, and how many hours of each. A name says how it is made: styles of Kokoro with their percentages
# (none: 100), then x, the percent to which all is resampled (pitch and formants together, at the same pace), and p,
# the percent by which the fundamental frequency alone is multiplied (Kokoro only).
NAMES = {"michael": "owen", "joe": "joe", "heart": "clara"}  # of the voices in the model that ships, the default first
# Piper renders six times as fast as Kokoro, and what its voice teaches of reading letters serves the others, too
VOICES = {"joe": 16.0, "heart": 2.5, "michael": 2.5}
STYLES = {"alpha": 2.0, "kumo": 2.0, "gongitsune": 0.75, "nezumi": 0.75}
DERIVED_HOURS = 0.25
DERIVED = {
    "joe": "joex084 joex092 joex108 joex116 joex126",
    "kokoro": "alloy aoede bella jessica kore nicole nova sarah sky adam echo fenrir liam onyx puck alice emma "
    "isabella lily daniel fable george heartx090 michaelx112 heart50michael50 bella60emma40x108 fenrir50george50 "
    "alpha50kumo50 alpha75kumo25 alpha25kumo75 alpha50nezumi50 gongitsune50nezumi50 alpha50gongitsune50 "
    "nezumi70kumo30 gongitsune30kumo70 alpha120kumo-20 kumo120nezumi-20 alphax088 alphax112 kumox088 kumox114 "
    "nezumix092p085 gongitsunex108p110 alphap080 kumop125 alpha50kumo50x092p115 gongitsune60kumo40p080 "
    "alpha60nezumi40x116",
}
FLITE = {"rms": 0.5, "slt": 0.5, "kal16": 0.5}  # at 16 kHz; no voices of the model that ships
TEACHERS = ("joe", "kokoro", "flite")
# never in training
UNKNOWN = ("tebukuro", "gongitsune50kumo50", "nezumi50kumo50x108", "alpha40tebukuro60p090", "river", "eric", "lewis")
ALL_STYLES = ("joe", *STYLE_NAMES)
_STYLE = rf"({'|'.join(ALL_STYLES)})(-?\d+)?"
_NAME = re.compile(rf"(?P<styles>(?:{_STYLE})+)(?:x(?P<warp>\d{{3}}))?(?:p(?P<pitch>\d{{3}}))?")


@dataclass(frozen=True, slots=True)
class Clip:
    """One spoken sentence: ``samples`` (N,) int16 at RATE, ``phones`` (P,) and their ``ends`` (P,) in seconds."""

    speaker: str
    text: str
    samples: npt.NDArray[np.int16]
    phones: npt.NDArray[np.int8]
    ends: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Speaker:
    """A speaker and how it is made: see the names above. ``styles`` is empty for Piper's voice."""

    styles: dict[str, float]
    warp: float = 1.0
    pitch: float = 1.0


def parse_speaker(name: str) -> Speaker:
    """Return the speaker of a name like ``alpha60nezumi40x116``; ValueError for another form."""
    match = _NAME.fullmatch(name)
    if not match:
        raise ValueError(f"no speaker {name!r}: styles with percentages, then xNNN, then pNNN")
    warp, pitch = (int(match[part] or 100) / 100 for part in ("warp", "pitch"))
    styles = {s: int(share or 100) / 100 for s, share in re.findall(_STYLE, match["styles"])}
    return Speaker({} if list(styles) == ["joe"] else styles, warp, pitch)


def teacher_of(name: str) -> str:
    """Return the teacher of a speaker."""
    if name in FLITE:
        return "flite"
    return "kokoro" if parse_speaker(name).styles else "joe"


def speakers(teachers: tuple[str, ...] = tuple(DERIVED)) -> dict[str, float]:
    """Return hours of every training speaker of these teachers: the voices first, then the ones derived from them."""
    named = {name: hours for name, hours in (VOICES | STYLES).items() if teacher_of(name) in teachers}
    named |= FLITE if "flite" in teachers else {}
    return named | {name: DERIVED_HOURS for teacher in teachers for name in DERIVED.get(teacher, "").split()}


def trim(said: Utterance) -> Utterance:
    """Bring to RATE and SPEECH_DBFS, with LEAD_SECONDS before the first phone and TAIL_SECONDS after the last one."""
    samples = said.samples if said.rate == RATE else soxr.resample(said.samples, said.rate, RATE)
    spoken = np.flatnonzero(said.phones)
    first, last = (spoken[0], spoken[-1]) if len(spoken) else (0, len(said.phones) - 1)
    begins = float(said.ends[first - 1]) if first else 0.0
    start, stop = round((begins - LEAD_SECONDS) * RATE), round((float(said.ends[last]) + TAIL_SECONDS) * RATE)
    padded = np.pad(samples, (max(0, -start), max(0, stop - len(samples))))
    cut = padded[max(0, start) : max(0, start) + stop - start].astype(np.float32)
    speech = cut[round(LEAD_SECONDS * RATE) : -round(TAIL_SECONDS * RATE)]
    loud = float(np.sqrt(np.mean(speech**2))) if len(speech) else 0.0
    cut *= min(10 ** (SPEECH_DBFS / 20) / max(loud, 1e-4), PEAK / max(float(np.abs(cut).max()), 1e-4))
    fade = np.linspace(0, 1, RATE // 100, dtype=np.float32)
    cut[: len(fade)] *= fade
    cut[-len(fade) :] *= fade[::-1]
    ends = np.clip(said.ends - start / RATE, 0, len(cut) / RATE).astype(np.float32)
    ends[-1] = len(cut) / RATE
    return Utterance(cut, RATE, said.phones, ends)


class Teachers:
    """Every teacher, loaded when first needed."""

    def __init__(self, threads: int = 1) -> None:
        self._espeak, self._threads = Espeak(), threads
        self._joe: Piper | None = None
        self._kokoro: Kokoro | None = None
        self._flite: Flite | None = None

    def speak(self, speaker: str, text: str, joe_noise: float = JOE_NOISE) -> Clip:
        """Speak ``text`` as ``speaker``. Single capital letters are spelled; the clip's text is in lower case."""
        how = parse_speaker(speaker)
        if speaker in FLITE:
            self._flite = self._flite or Flite()
            said = self._flite.speak(speaker, text)
        elif how.styles:
            self._kokoro = self._kokoro or Kokoro(self._espeak, self._threads)
            said = self._kokoro.speak(text, how.styles, 1 / how.warp, how.pitch)
        else:
            self._joe = self._joe or Piper(self._espeak, self._threads)
            said = self._joe.speak(text, 1 / how.warp, joe_noise)
        if how.warp != 1:
            warped = soxr.resample(said.samples, said.rate * how.warp, said.rate)
            said = Utterance(warped, said.rate, said.phones, (said.ends / how.warp).astype(np.float32))
        cut = trim(said)
        return Clip(speaker, text.lower(), np.round(cut.samples * 32767).astype(np.int16), cut.phones, cut.ends)


def render_shard(path: Path, teachers: Teachers, corpus: Corpus, speaker: str, seed: int) -> None:
    """Write about SHARD_SECONDS of speech to ``path`` unless it is there already."""
    if path.exists():
        return
    clips, total = list[Clip](), 0.0
    for text in corpus.sentences(seed):
        clips.append(teachers.speak(speaker, text))
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
    teachers, corpus = Teachers(), Corpus(excluded)
    shards = {name: max(1, round(3600 * h / SHARD_SECONDS)) for name, h in hours.items()}
    # a speaker's first quarter hour is worth more than another's third hour
    jobs = [((n + 0.25) / total, name, n) for name, total in shards.items() for n in range(total)]
    for _, name, n in sorted(jobs, key=lambda job: job[0])[worker::workers]:
        render_shard(folder / f"{name}_{n:03d}.npz", teachers, corpus, name, seed=zlib.crc32(f"{name} {n}".encode()))
