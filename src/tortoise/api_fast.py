"""`from tortoise.api_fast import TextToSpeech`: the same class."""

from tortoise.api import (
    MODELS_DIR,
    TextToSpeech,
    TorchMelSpectrogram,
    format_conditioning,
    pick_best_batch_size_for_gpu,
)

__all__ = ["MODELS_DIR", "TextToSpeech", "TorchMelSpectrogram", "format_conditioning", "pick_best_batch_size_for_gpu"]
