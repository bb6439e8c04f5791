"""`load_voice` and `load_voices`, as scripts for the original Tortoise call them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from tutortoietts.core.errors import VoiceError
from tutortoietts.voices.clips import load_clips
from tutortoietts.voices.files import SUFFIX, read_original, read_voice
from tutortoietts.voices.names import RANDOM
from tutortoietts.voices.store import ORIGINAL_MODEL, VoiceSource, VoiceStore, bundled_folders

__all__ = [
    "BUILTIN_VOICES_DIR",
    "Clips",
    "LatentPair",
    "get_voice_dir",
    "get_voices",
    "load_voice",
    "load_voices",
]

_log = logging.getLogger(__name__)

Clips = list[Tensor]
LatentPair = tuple[Tensor, "Tensor | None"]
Folders = Iterable[str | os.PathLike[str]]

BUILTIN_VOICES_DIR = str(bundled_folders()[0])
"""Folder of the bundled voices."""


def get_voice_dir() -> str:
    """Return the folder of the user's voices."""
    return str(VoiceStore().folder)


def get_voices(extra_voice_dirs: Folders = ()) -> dict[str, list[str]]:
    """Return the files of every voice, clips first and latents where there are none, by name."""
    voices = VoiceStore(extra_folders=extra_voice_dirs).voices()
    return {voice.name: [str(path) for path in (voice.clips or voice.latents)] for voice in voices}


def load_voice(
    voice: str, extra_voice_dirs: Folders = (), *, model: str | None = None
) -> tuple[Clips | None, LatentPair | None]:
    """Load a voice by name or path: (clips, None), or (None, latents) if it has no clips; "random": (None, None).

    Clips are (1, N) float32 at 22 050 Hz, latents (speaker (1, D), diffusion (1, 2C) or None). "a+b" is `load_voices`
    of both. `model` chooses among latents of several models.
    Raises VoiceError for an unknown voice, AudioError for clips that cannot be used.
    """
    if voice.strip().lower() == RANDOM:
        return None, None
    store = VoiceStore(extra_folders=extra_voice_dirs)
    terms = store.terms(voice)
    if len(terms) > 1 or terms[0][1] != 1.0:
        if len({weight for _, weight in terms}) > 1:
            raise VoiceError(f"weights in {voice!r} need latents: give the mix itself to TextToSpeech as the voice")
        return load_voices([name for name, _ in terms], extra_voice_dirs, model=model)
    source = store.find(terms[0][0])
    if source.clips:
        return load_clips(source.clips), None
    return None, _pair(source, model)


def load_voices(
    voices: Sequence[str], extra_voice_dirs: Folders = (), *, model: str | None = None
) -> tuple[Clips | None, LatentPair | None]:
    """Load several voices as one: all clips, or the mean of the latents; (None, None) if "random" is among them.

    Raises VoiceError as `load_voice`, for no voices, and when voices of clips are mixed with voices of latents.
    """
    if not voices:
        raise VoiceError("no voices given: name at least one")
    if any(voice.strip().lower() == RANDOM for voice in voices):
        if len(voices) > 1:
            _log.warning("a random voice cannot be mixed with others: only a random one is used")
        return None, None
    folders = list(extra_voice_dirs)
    loaded = [load_voice(voice, folders, model=model) for voice in voices]
    clips = [clip for some, _ in loaded for clip in some or ()]
    pairs = [pair for _, pair in loaded if pair is not None]
    if not pairs:
        return clips, None
    if clips:
        raise VoiceError(f"voices {', '.join(voices)} are clips and latents: mix only voices of one kind")
    if len({tuple(speaker.shape) for speaker, _ in pairs}) > 1:
        raise VoiceError(f"voices {', '.join(voices)} belong to models of different size and cannot be mixed")
    speaker = torch.stack([speaker for speaker, _ in pairs]).mean(0)
    diffusions = [diffusion for _, diffusion in pairs if diffusion is not None]
    return None, (speaker, torch.stack(diffusions).mean(0) if len(diffusions) == len(pairs) else None)


def _pair(source: VoiceSource, model: str | None) -> LatentPair:
    fitting = [file for file in source.latents if model is None or source.model_of(file) == model]
    if not fitting:
        raise VoiceError(f"voice {source.name!r} was made for {', '.join(source.models)}, not for {model}")
    if len({source.model_of(file) for file in fitting}) > 1:
        raise VoiceError(f"voice {source.name!r} has latents for {', '.join(source.models)}: say which with model=")
    file = fitting[0]
    voice = read_voice(file) if file.suffix == SUFFIX else read_original(file, ORIGINAL_MODEL)
    return voice.speaker, voice.diffusion
