"""The source synthesisers, spoken once and kept: what a trained voice is measured against.

Voices: flite's slt, rms, awb, kal16 (program ``flite``); ``kal16xNNN``, kal16 resampled by NNN percent (higher and
smaller above 100); ``espeak`` and ``espeak+VARIANT`` (program ``espeak-ng``, for voices that no training saw).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import soundfile

import recognise

FLITE = ("slt", "rms", "awb", "kal16")
_VOICE = re.compile(r"(slt|rms|awb|kal16)(x\d{2,3})?|espeak(\+\w+)?")


def is_source(voice: str) -> bool:
    """Whether this machine's synthesisers have a voice of this name."""
    return _VOICE.fullmatch(voice) is not None


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


def speak(voice: str, text: str) -> Path:
    """``text`` by a source voice, as a kept 16-bit WAV. ValueError for an unknown voice."""
    match = _VOICE.fullmatch(voice)
    if not match:
        raise ValueError(f"no source voice {voice!r}; there are {', '.join(FLITE)}, kal16xNNN, espeak, espeak+VARIANT")
    base, percent = match[1], match[2]
    version = _program("flite" if base else "espeak-ng")
    key = hashlib.sha256(f"{version}\n{voice}\n{text}".encode()).hexdigest()[:20]
    path = cache_folder() / "speech" / f"{key}.wav"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{key}.{os.getpid()}.part")
    if percent:
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
    """Every sentence by one voice."""
    return [speak(voice, text) for text in sentences]


def figures(voice: str, sentences: Sequence[str]) -> dict[str, Any]:
    """``recognise.score`` of a source voice over all the sentences, kept."""
    key = hashlib.sha256("\n".join([recognise.fingerprint(), voice, *sentences]).encode()).hexdigest()[:20]
    path = cache_folder() / "figures" / f"{voice}-{key}.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    report = recognise.score([(clip, i) for i, clip in enumerate(spoken(voice, sentences))], sentences)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    partial.write_text(json.dumps(report))
    partial.replace(path)
    return report
