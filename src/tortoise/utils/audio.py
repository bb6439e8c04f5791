"""`load_audio`, `load_voice`, `load_voices`."""

from tutortoietts.audio.io import load_audio
from tutortoietts.voices.originals import load_voice, load_voices

__all__ = ["load_audio", "load_voice", "load_voices"]
