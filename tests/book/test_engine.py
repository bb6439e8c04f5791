"""The real engine as a speaker: who it is, its voices, words and evidence; both families of models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tiny_xtts import make_tiny_release
from tutortoietts.api import TextToSpeech
from tutortoietts.book.engine import KEPT, EngineFactory, EngineSpeaker
from tutortoietts.core.errors import VoiceError
from tutortoietts.engine.check import Limits, check_speech, evidence_of, judge
from tutortoietts.engine.finish import finish
from tutortoietts.engine.pipeline import DrawnPassage, Pipeline, SpokenPassage
from tutortoietts.engine.rerank import Candidate
from tutortoietts.engine.words import Reading, alignments


@pytest.fixture(scope="module")
def speaker() -> EngineSpeaker:
    return EngineSpeaker(TextToSpeech(enable_redaction=False))


def test_bundled_speech(speaker: EngineSpeaker) -> None:
    text = "The old clock on the wall is slow."
    first, again, other = (speaker.speak(text, "clara", seed) for seed in (1, 1, 2))
    assert bool((first.samples == again.samples).all())
    assert first.samples.shape != other.samples.shape or not bool((first.samples == other.samples).all())
    assert [word.word for word in first.words] == "The old clock on the wall is slow".split()
    assert all(text[slice(*word.chars)].startswith(word.word) for word in first.words)
    assert first.evidence["finished"] == 1 and 0.5 < first.evidence["loss"] < 6
    assert speaker.limits.loss is None or first.evidence["loss"] < speaker.limits.loss


def test_candidates_of_one_draw(speaker: EngineSpeaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is what `TextToSpeech.speak` says; none is made sound before it is taken."""
    text, rendered = "The old clock on the wall is slow.", []
    best = speaker.tts.speak(text, voice="clara", seed=1, normalize=False)
    render = Pipeline.render

    def counted(pipeline: Pipeline, drawn: DrawnPassage, candidate: Candidate) -> SpokenPassage:
        rendered.append(candidate.row)
        return render(pipeline, drawn, candidate)

    monkeypatch.setattr(Pipeline, "render", counted)
    readings = speaker.readings(text, "clara", 1)
    assert torch.equal(next(readings).samples, best.samples) and len(rendered) == 1
    others = list(readings)
    assert len(rendered) == 1 + len(others) <= KEPT and len(set(rendered)) == len(rendered)
    assert all(other.evidence["loss"] <= (speaker.limits.loss or 1e9) for other in others)
    monkeypatch.setattr(EngineSpeaker, "limits", Limits(loss=0.0))
    assert len(list(speaker.readings(text, "clara", 1))) == 1  # what cannot be better is not made sound


def test_a_speech_checks_itself(speaker: EngineSpeaker) -> None:
    tts, text = speaker.tts, "The old clock on the wall is slow."
    spoken = next(speaker.readings(text, "clara", 1))
    good = tts.speak(text, voice="clara", seed=1).check()
    assert good.good and good.faults == () and [one.text for one in good.passages] == [text]
    verdict = judge(spoken, finish(spoken), text, pace=speaker.pace("clara"), limits=speaker.limits)
    assert good.passages[0].verdict == verdict  # the code that books use
    other = tts.speak("The cold rock in the hall is low.", voice="clara", seed=1)
    as_if = Reading(other.reading.pipeline, [
        one._replace(spoken=replace(one.spoken, encoded=tts.speak(text, seed=1).reading.placed[0].spoken.encoded))
        for one in other.reading.placed
    ])  # fmt: skip
    assert any("other words" in fault for fault in check_speech(other.samples, other.sample_rate, as_if).faults)
    cut = tts.speak(text, voice="clara", seed=1, max_mel_tokens=20).check()
    assert "never came to an end" in cut.faults
    deaf = tts.speak(text, voice="clara", seed=1).check(heard=lambda samples, rate, text: "something else entirely")
    assert any("heard with" in fault for fault in deaf.faults)
    long = tts.speak(f"{text} " * 4, voice="clara", seed=1).check()
    assert len(long.passages) > 1 and all(0 <= one.start < one.end for one in long.passages)


def test_a_word_said_twice(speaker: EngineSpeaker) -> None:
    text = "The old clock on the wall is slow."
    as_text = speaker.tts.speak(text, voice="clara", seed=1).reading
    said = speaker.tts.speak("The old clock clock on the wall is slow.", voice="clara", seed=1).reading
    found = evidence_of(alignments(as_text.pipeline, [(as_text.passages[0][0], said.passages[0][1])]), [True])
    assert speaker.limits.loss is not None and found["loss"] > speaker.limits.loss
    assert evidence_of(as_text.alignments, [True])["loss"] < speaker.limits.loss


def test_brackets_are_text(speaker: EngineSpeaker) -> None:
    shown = speaker.speak("He said [the king] was there.", "clara", 1)
    assert "king" in [word.word.strip("[]") for word in shown.words]


def test_identity_and_voices(speaker: EngineSpeaker) -> None:
    identity = speaker.identity()
    assert EngineFactory()().identity() == identity
    assert EngineFactory(options={"temperature": 0.9})().identity() != identity
    assert EngineFactory(preset="high_quality")().identity() != identity
    assert len({speaker.voice_digest(voice) for voice in ("clara", "joe", "random")}) == 3
    assert speaker.voice_digest("random") == EngineFactory()().voice_digest("random")
    assert speaker.voice_digest("random") != EngineFactory(seed=1)().voice_digest("random")
    with pytest.raises(VoiceError):
        speaker.voice_digest("nobody")


def test_languages(speaker: EngineSpeaker) -> None:
    assert speaker.language == "en"
    assert EngineSpeaker(speaker.tts, language="en-GB").language == "en-GB"
    assert EngineSpeaker(speaker.tts, language="xx").language.startswith("en")


def test_xtts(tmp_path: Path) -> None:
    tts = TextToSpeech(make_tiny_release(tmp_path / "model"), enable_redaction=False)
    speaker = EngineSpeaker(tts, language="de-DE")
    assert speaker.language.startswith("de") and set(speaker.identity()["weights"]) == {
        "autoregressive", "stream_decoder", "tokenizer",
    }  # fmt: skip
    spoken = speaker.speak("Hallo, da ist ein Satz.", "Ana Example", 1)
    assert len(spoken.samples) > 0 and spoken.sample_rate == 24000 and "loss" in spoken.evidence
    text = "le jour se"
    german, french = (next(speaker.readings(text, "Ana Example", 1, language)) for language in ("", "fr"))
    assert not torch.equal(german.samples, french.samples)
    own = next(EngineSpeaker(tts, language="fr").readings(text, "Ana Example", 1))
    assert torch.equal(own.samples, french.samples)
    assert speaker.terms == tts.terms != ""
