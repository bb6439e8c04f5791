"""Voices: clips and latents on disk, mixed and kept. `VoiceStore` is the store, `load_voice` the original's call."""

from tutortoietts.voices.clips import crop_clip, expand_samples, load_clips
from tutortoietts.voices.files import read_voice, write_voice
from tutortoietts.voices.originals import load_voice, load_voices
from tutortoietts.voices.store import VoiceSource, VoiceStore, default_folder

__all__ = [
    "VoiceSource",
    "VoiceStore",
    "crop_clip",
    "default_folder",
    "expand_samples",
    "load_clips",
    "load_voice",
    "load_voices",
    "read_voice",
    "write_voice",
]
