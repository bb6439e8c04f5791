"""`VoiceBpeTokenizer`."""

from tutortoietts.engine.originals import VoiceTokenizer as VoiceBpeTokenizer

__all__ = ["VoiceBpeTokenizer"]
