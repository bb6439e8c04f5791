"""Word times of whole and streamed speech, through joins and cuts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tutortoietts.api import TextToSpeech
from tutortoietts.core.errors import OptionError
from tutortoietts.core.types import Word

TEXT = "One two, Dr. Three. It costs $5 [not this] and that is a lot of money for a pen. Four five."


@pytest.fixture(scope="module")
def tts(streaming_model: Path) -> TextToSpeech:
    return TextToSpeech(model=streaming_model, device="cpu")


def check(words: tuple[Word, ...], seconds: float) -> None:
    shown = [TEXT[slice(*word.chars)] for word in words]
    assert shown == [word.word for word in words]
    assert shown == "One two Dr Three It costs $5 and that is a lot of money for a pen Four five".split()
    assert all(0 <= word.start <= word.end <= seconds + 1e-6 for word in words)
    assert all(one.start <= other.start for one, other in pairwise(words))


def test_words_of_a_text_of_several_passages(tts: TextToSpeech) -> None:
    speech = tts.speak(TEXT, seed=1)
    assert speech.report.passages > 1
    check(speech.words, speech.seconds)
    assert speech.words is speech.words


@pytest.mark.parametrize("decoder", ["stream", "diffusion"])
def test_words_of_a_stream(tts: TextToSpeech, decoder: str) -> None:
    stream = tts.stream(TEXT, seed=1, decoder=decoder)
    with pytest.raises(OptionError, match="a stream's words is known at its end: take all chunks first"):
        _ = stream.words
    seconds = sum(map(len, stream)) / stream.sample_rate
    check(stream.words, seconds)
    assert stream.report.audio_seconds == pytest.approx(seconds)


def test_a_stream_of_one_passage_has_the_times_of_the_whole(tts: TextToSpeech) -> None:
    options = {"seed": 3, "num_autoregressive_samples": 1}
    whole = tts.speak("One two three four.", **options).words
    stream = tts.stream("One two three four.", decoder="diffusion", **options)
    list(stream)
    assert stream.words == whole
