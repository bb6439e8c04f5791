"""`TextToSpeech`: load a voice model, speak texts.

tts = TextToSpeech()
speech = tts.speak("Hello there.", voice="anna")            # Speech: samples, sample_rate, words, save(path)
for chunk in tts.stream("A long text ..."): ...              # (samples,) float32 each
"""

from tutortoietts.api.text_to_speech import TextToSpeech
from tutortoietts.engine.speech import Speech, SpeechStream

__all__ = ["Speech", "SpeechStream", "TextToSpeech"]
