"""Sound files and voices, as scripts for the original load them."""

from tutortoietts.audio.io import load_audio
from tutortoietts.engine.originals import load_wav_to_torch, wav_to_univnet_mel
from tutortoietts.voices.originals import BUILTIN_VOICES_DIR, get_voice_dir, get_voices, load_voice, load_voices

__all__ = [
    "BUILTIN_VOICES_DIR",
    "get_voice_dir",
    "get_voices",
    "load_audio",
    "load_voice",
    "load_voices",
    "load_wav_to_torch",
    "wav_to_univnet_mel",
]
