"""`from tortoise.api import TextToSpeech`."""

from tutortoietts.api import TextToSpeech

__all__ = ["TextToSpeech"]
