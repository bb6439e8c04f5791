"""`from tortoise.api import TextToSpeech`, and the functions beside it."""

from tutortoietts.api import TextToSpeech
from tutortoietts.engine.originals import (
    MODELS_DIR,
    classify_audio_clip,
    format_conditioning,
    pick_best_batch_size_for_gpu,
)
from tutortoietts.engine.originals import MelSpectrogram as TorchMelSpectrogram

__all__ = [
    "MODELS_DIR",
    "TextToSpeech",
    "TorchMelSpectrogram",
    "classify_audio_clip",
    "format_conditioning",
    "pick_best_batch_size_for_gpu",
]
