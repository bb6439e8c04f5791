"""The real engine as a book's speaker: `TextToSpeech` with its options fixed."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tutortoietts.api import TextToSpeech
from tutortoietts.book.speaker import Speaker, Spoken
from tutortoietts.cache.files import replace_file
from tutortoietts.core.paths import cache_dir
from tutortoietts.core.types import Voice
from tutortoietts.engine.pipeline import Pipeline, Placed
from tutortoietts.engine.request import resolve_options
from tutortoietts.engine.words import alignments, find_words
from tutortoietts.runtime.memory import returning_memory
from tutortoietts.voices.names import RANDOM

__all__ = ["EngineFactory", "EngineSpeaker", "worst_loss"]

CALIBRATION = Path(__file__).parent / "calibration.json"  # of `benchmarks/book_checks.py`
LONGEST = 200
CODES_A_CHARACTER = 3.0
LOSS_CODES = 3


class EngineSpeaker:
    """A loaded model that speaks with one preset and its options.

    Square brackets are spoken: in books they are text. The voice "random" is one voice for the whole book, of `seed`.
    """

    def __init__(
        self, tts: TextToSpeech, *, preset: str | None = None, options: Mapping[str, Any] | None = None, seed: int = 0,
        language: str = "en",
    ) -> None:  # fmt: skip
        self.tts, self.preset, self.options, self.seed = tts, preset, dict(options or {}), seed
        self.language = _known(language, tts._voices.family.languages)
        self.sample_rate = tts.sample_rate
        self.desired_length = min(LONGEST, int(tts.spec.autoregressive.max_mel_tokens / CODES_A_CHARACTER))
        self._resolved = resolve_options(tts.spec, preset, self.options, None)
        self._calibration: dict[str, Any] = json.loads(CALIBRATION.read_text(encoding="utf-8")).get(tts.model, {})
        self._voices: dict[str, Voice] = {}
        self._identity: dict[str, Any] | None = None

    def identity(self) -> Mapping[str, Any]:
        """Return the digests of the weights, the resolved options and the precision."""
        if self._identity is None:
            source, family = self.tts._models.source, self.tts._voices.family
            parts = [*family.components(self.tts._models, self._resolved, streamed=False), "tokenizer"]
            self._identity = {
                "model": self.tts.model,
                "weights": {name: _file_digest(source.file(name)) for name in parts},
                "options": json.loads(json.dumps(asdict(self._resolved), default=str)),
                "precision": self.tts.precision,
                "language": self.language,
                "sample_rate": self.sample_rate,
            }
        return self._identity

    def voice_digest(self, voice: str) -> str:
        """Return the digest of the voice's latents. Raises VoiceError, AudioError."""
        found = self._voice(voice)
        digest = hashlib.sha256()
        for latent in (found.speaker, found.diffusion):
            digest.update(b"-" if latent is None else latent.detach().to("cpu", torch.float32).numpy().tobytes())
        return digest.hexdigest()

    def pace(self, voice: str) -> float | None:
        """Return the voice's seconds a character where it was measured (calibration.json)."""
        found = self._calibration.get("pace", {}).get(voice)
        return None if found is None else float(found)

    @property
    def loss_limit(self) -> float | None:
        """Highest loss of a reading that says the text, None where it was not measured for this model."""
        found = self._calibration.get("loss_limit")
        return None if found is None else float(found)

    def speak(self, text: str, voice: str, seed: int) -> Spoken:
        """Speak a text that is in spoken form. Raises as `TextToSpeech.speak`."""
        tts = self.tts
        request = tts._request(
            text, None, self._voice(voice), preset=self.preset, given=self.options, seed=seed, normalize=False,
            language=self.language,
        )  # fmt: skip
        pipeline = tts._pipeline(request, None)
        with returning_memory(tts.device):
            ((samples, placed),) = pipeline.whole()
            aligned = alignments(pipeline, placed)
            words = find_words(pipeline, placed, aligned)
        loss = worst_loss(alignment.losses for alignment in aligned)
        evidence = {"finished": _finished(pipeline, placed), "loss": loss}
        return Spoken(samples=samples.flatten(), sample_rate=self.sample_rate, words=words, evidence=evidence)

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


def worst_loss(losses: Iterable[Tensor]) -> float:
    """Return the mean of the three highest losses of single codes (S,), in nats, of the worst passage.

    Codes of other words than the text's, or of a word left out or said twice, are unlikely under the text.
    """
    return max((float(one.topk(min(LOSS_CODES, len(one))).values.mean()) for one in losses), default=0.0)


def _finished(pipeline: Pipeline, placed: Sequence[Placed]) -> float:
    """1 when every passage stopped by itself, 0 when one was cut off at the most codes."""
    most = pipeline.request.options.max_mel_tokens
    return float(all(one.spoken.codes.shape[1] < most for one in placed))


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


def _file_digest(path: Path) -> str:
    """The digest of a file, remembered by its size and time, since weights are large and seldom change."""
    stat = path.stat()
    key = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
    memory = cache_dir() / "digests.json"
    try:
        known: dict[str, str] = json.loads(memory.read_text(encoding="utf-8"))
        if isinstance(known.get(key), str):
            return known[key]
    except (OSError, ValueError, AttributeError):
        known = {}
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        replace_file(memory, json.dumps({**known, key: digest.hexdigest()}).encode(), durable=False)
    except OSError as error:
        logging.getLogger(__name__).debug("digests are not remembered: %s", error)
    return digest.hexdigest()
