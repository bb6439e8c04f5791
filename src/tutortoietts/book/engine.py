"""The real engine as a book's speaker: `TextToSpeech` with its options fixed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tutortoietts.api import TextToSpeech
from tutortoietts.api.identity import latents_digest, model_identity
from tutortoietts.book.speaker import Speaker
from tutortoietts.core.types import Voice
from tutortoietts.engine.check import Limits, calibration_of, evidence_of
from tutortoietts.engine.finish import Spoken
from tutortoietts.engine.pipeline import DrawnPassage, Pipeline, SpokenPassage
from tutortoietts.engine.request import resolve_options
from tutortoietts.engine.rerank import Candidate
from tutortoietts.engine.words import Reading, alignments
from tutortoietts.runtime.memory import returning_memory
from tutortoietts.voices.names import RANDOM

__all__ = ["EngineFactory", "EngineSpeaker"]

LONGEST = 200
CODES_A_CHARACTER = 3.0
KEPT = 4  # candidates of a draw, the best and those that may take its place


class EngineSpeaker:
    """A loaded model that speaks with one preset and its options.

    Square brackets are spoken: in books they are text. The voice "random" is one voice for the whole book, of `seed`.
    """

    def __init__(
        self, tts: TextToSpeech, *, preset: str | None = None, options: Mapping[str, Any] | None = None, seed: int = 0,
        language: str = "en",
    ) -> None:  # fmt: skip
        self.tts, self.preset, self.options, self.seed = tts, preset, dict(options or {}), seed
        self.languages, self.terms = tts._voices.family.languages, tts.terms
        self.language = _known(language, self.languages)
        self.sample_rate = tts.sample_rate
        self.desired_length = min(LONGEST, int(tts.spec.autoregressive.max_mel_tokens / CODES_A_CHARACTER))
        self._resolved = resolve_options(tts.spec, preset, self.options, None)
        self._calibration = calibration_of(tts.model)
        self._voices: dict[str, Voice] = {}
        self._identity: dict[str, Any] | None = None

    def identity(self) -> Mapping[str, Any]:
        """Return the digests of the weights, the resolved options and the precision."""
        if self._identity is None:
            own = {"language": self.language, "sample_rate": self.sample_rate}
            self._identity = {**model_identity(self.tts._models, self._resolved), **own}
        return self._identity

    def voice_digest(self, voice: str) -> str:
        """Return the digest of the voice's latents. Raises VoiceError, AudioError."""
        found = self._voice(voice)
        return latents_digest((found.speaker, found.diffusion))

    def pace(self, voice: str) -> float | None:
        """Return the voice's seconds a character where it was measured."""
        return self._calibration.pace.get(voice)

    @property
    def candidates(self) -> int:
        """Number of candidates of each draw."""
        return self._resolved.num_autoregressive_samples

    @property
    def limits(self) -> Limits:
        """The limits of a take, with those that were measured of this model."""
        return self._calibration.limits

    def speak(self, text: str, voice: str, seed: int) -> Spoken:
        """Speak a text that is in spoken form. Raises as `TextToSpeech.speak`."""
        return next(iter(self.readings(text, voice, seed)))

    def readings(self, text: str, voice: str, seed: int, language: str = "") -> Iterator[Spoken]:
        """Yield the reading of a seed, then those of its next best candidates that, by their codes, may be better.

        The candidates are drawn once; each is made sound only when it is taken. Raises as `TextToSpeech.speak`.
        """
        pipeline = self._pipeline(text, voice, seed, language or self.language)
        with returning_memory(self.tts.device):
            pipeline.load()
            numbers = range(len(pipeline.request.passages))
            if pipeline.request.from_latents:
                yield self._spoken(pipeline, [pipeline.speak(number)[0] for number in numbers])
                return
            drawn = [pipeline.draw(number) for number in numbers]
            for place in range(max(len(one.candidates) for one in drawn)):
                chosen = [(one, one.candidates[min(place, len(one.candidates) - 1)]) for one in drawn]
                if place == 0 or self._promising(pipeline, chosen):
                    yield self._spoken(pipeline, [pipeline.render(one, candidate) for one, candidate in chosen])

    def _pipeline(self, text: str, voice: str, seed: int, language: str) -> Pipeline:
        request = self.tts._request(
            text, None, self._voice(voice), preset=self.preset, given=self.options, seed=seed, normalize=False,
            language=language, k=min(KEPT, self.candidates),
        )  # fmt: skip
        return self.tts._pipeline(request, None)

    def _promising(self, pipeline: Pipeline, chosen: Sequence[tuple[DrawnPassage, Candidate]]) -> bool:
        """Return whether candidates ended by themselves and say the text, as far as their codes tell."""
        if not all(candidate.finished for _, candidate in chosen):
            return False
        codes = [(one.encoded, candidate.codes.ids[:1, : int(candidate.codes.lengths[0])]) for one, candidate in chosen]
        loss, most = evidence_of(alignments(pipeline, codes), [True])["loss"], self.limits.loss
        return most is None or loss <= most

    def _spoken(self, pipeline: Pipeline, spoken: Sequence[SpokenPassage]) -> Spoken:
        samples, placed = pipeline.joined(spoken)
        reading = Reading(pipeline, placed)
        return Spoken(
            samples=samples.flatten(),
            sample_rate=self.sample_rate,
            words=reading.words,
            evidence=evidence_of(reading.alignments, [one.spoken.finished for one in placed]),
        )

    def _voice(self, voice: str) -> Voice:
        if voice not in self._voices:
            if voice == RANDOM:
                speaker, diffusion = self.tts.get_random_conditioning_latents(self.seed)
            else:
                given: Any = voice or None
                mode = self._resolved.latent_averaging_mode
                speaker, diffusion = self.tts.get_conditioning_latents(given, latent_averaging_mode=mode)
            self._voices[voice] = Voice(name=voice, model=self.tts.model, speaker=speaker, diffusion=diffusion)
        return self._voices[voice]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFactory:
    """Loads the model anew, here or in a worker. engine: arguments of `TextToSpeech`; the rest as `EngineSpeaker`."""

    engine: Mapping[str, Any] = field(default_factory=dict)
    preset: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    language: str = "en"

    def __call__(self) -> Speaker:
        """Return the speaker. Raises ModelError, FetchError, OptionError."""
        tts = TextToSpeech(**{**self.engine, "enable_redaction": False})
        return EngineSpeaker(tts, preset=self.preset, options=self.options, seed=self.seed, language=self.language)


def _known(language: str, languages: Sequence[str]) -> str:
    """Return the tag as the model knows it: whole, or its first part; else "en" if it knows that, else its first."""
    tags = {tag.lower(): tag for tag in languages}
    for name in (language.lower(), language.lower().partition("-")[0], "en"):
        if name in tags:
            return tags[name]
    return languages[0] if languages else "en"
