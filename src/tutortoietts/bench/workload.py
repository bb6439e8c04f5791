"""Workload of a measurement: one sentence, spoken repeatedly in the same way through the public API."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch

from tutortoietts.api import TextToSpeech
from tutortoietts.bench.random_model import RANDOM_FULL, RANDOM_XTTS, RandomXtts, random_full, random_xtts
from tutortoietts.core.config import ModelSpec
from tutortoietts.core.errors import OptionError
from tutortoietts.core.presets import SpeechOptions, known_names, preset_options
from tutortoietts.core.streaming import refuse_unheard
from tutortoietts.engine.families import family_of
from tutortoietts.engine.request import resolve_streaming
from tutortoietts.runtime.source import PUBLIC
from tutortoietts.runtime.xtts_source import XTTS

__all__ = ["SENTENCE", "Plan", "Sample", "StreamSample", "Workload", "open_model"]

SENTENCE = "A steady hand and a clear voice are worth more than a clever machine."
RANDOM_CODES = 111  # 5.2 s, what a sentence of 70 characters takes
_NAMED, _RANDOM = ("bundled", PUBLIC, XTTS), (RANDOM_FULL, RANDOM_XTTS)
_CLIP_SAMPLES = 132_300  # six seconds at 22 050 Hz


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Plan of a measurement. `codes`: number that every candidate draws; None leaves the end to the model.

    `options`: of `TextToSpeech.tts`, on top of the preset. `runs` are measured, `warmup` are not.
    """

    text: str = SENTENCE
    preset: str | None = None
    voice: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    codes: int | None = None
    runs: int = 3
    warmup: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("codes", 1), ("runs", 1), ("warmup", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(f"{name} is {value}, must be at least {least}")
        self.check_codes(self.codes)

    def check_codes(self, codes: int | None) -> None:
        """Raise OptionError if the options contradict the number of codes."""
        forced = [name for name in ("min_mel_tokens", "max_mel_tokens") if name in self.options]
        if codes is not None and forced:
            raise OptionError(f"codes {codes} says exactly how many; leave {forced[0]} out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run: seconds in total and by stage, seconds of audio, passages spoken one after the other."""

    seconds: float
    stages: Mapping[str, float]
    audio_seconds: float
    parts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSample:
    """One streamed run: seconds until the first chunk and until the last."""

    first_seconds: float
    seconds: float
    audio_seconds: float


def open_model(engine: Mapping[str, Any]) -> TextToSpeech:
    """Return `TextToSpeech` of these arguments; `model` may also be one of the random ones.

    Raises OptionError, ModelError.
    """
    model = engine.get("model", "bundled")
    if model not in _RANDOM:
        if not (model in _NAMED or Path(model).expanduser().is_dir()):
            raise OptionError(f"model {str(model)!r} is none of {', '.join((*_NAMED, *_RANDOM))} and no directory")
        return TextToSpeech(**engine)
    rest = {name: value for name, value in engine.items() if name != "model"}
    if model == RANDOM_XTTS:
        if rest.pop("vocoder", None) is not None:
            raise OptionError(
                f"vocoder={engine['vocoder']!r} is not for {RANDOM_XTTS}, which has one decoder: leave it out"
            )
        return TextToSpeech(model=random_xtts(), **rest)
    return TextToSpeech(model=random_full(rest.pop("vocoder", None)), **rest)


def _heard(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a stream from latents can honour: none of ranking and diffusion."""
    heard = {}
    for name, value in options.items():
        with suppress(OptionError):
            refuse_unheard({name: value}, known_names())
            heard[name] = value
    return heard


class Workload:
    """A model and a plan that fits it. Raises OptionError before any work if it does not."""

    def __init__(self, tts: TextToSpeech, plan: Plan) -> None:
        codes = RANDOM_CODES if plan.codes is None and tts.model in _RANDOM else plan.codes
        plan.check_codes(codes)
        limit = tts.spec.autoregressive.max_mel_tokens
        if codes is not None and codes > limit:
            raise OptionError(f"codes is {codes}, outside 1..{limit} for this model")
        self.tts, self.plan, self.codes = tts, plan, codes
        self.preset = plan.preset or tts.default_preset
        self.given = dict(plan.options)
        if codes is not None:
            self.given |= {"min_mel_tokens": codes, "max_mel_tokens": codes}
        self.options: SpeechOptions = preset_options(self.preset, self.given, own=tts.spec.presets)
        self.voice = {"voice_samples": plan.voice} if plan.voice is not None else self._own_voice()

    def _own_voice(self) -> dict[str, Any]:
        """Return no arguments for the model's default voice; for random weights, which have none, random latents."""
        source = self.tts._models.source
        if isinstance(source, RandomXtts):
            return {"conditioning_latents": source.voice()}
        if self.tts.model != RANDOM_FULL:
            return {}
        generator, spec = torch.Generator().manual_seed(self.plan.seed), self.tts.spec
        widths = spec.autoregressive.model_dim, 2 * cast(ModelSpec, spec).diffusion.model_channels
        return {"conditioning_latents": tuple(0.1 * torch.randn(1, width, generator=generator) for width in widths)}

    @property
    def denoises(self) -> bool:
        """True if a mel is made by diffusion, False if sound is made straight from the latents."""
        return "denoise" in family_of(self.tts.spec).stages

    @property
    def ranked(self) -> bool:
        """True if candidates are ranked by how well they say the text."""
        several, spec = self.options.num_autoregressive_samples > 1, self.tts.spec
        return several and self.options.cvvp_amount < 1 and (spec.clvp is not None or spec.ctc is not None)

    @property
    def decoder(self) -> str:
        """Decoder of the stream: straight from latents if the model can."""
        return resolve_streaming(self.tts._models).decoder

    def run(self) -> Sample:
        """Speak once."""
        started = time.perf_counter()
        self.tts.tts_with_preset(
            self.plan.text,
            preset=self.preset,
            verbose=False,
            use_deterministic_seed=self.plan.seed,
            **self.voice,
            **self.given,
        )
        seconds, report = time.perf_counter() - started, self.tts.last_report
        stages = {} if report is None else dict(report.stages)
        loading = stages.pop("load", 0.0)
        return Sample(
            seconds=seconds - loading,
            stages=stages,
            audio_seconds=0.0 if report is None else report.audio_seconds,
            parts=1 if report is None else report.passages,
        )

    def stream(self) -> StreamSample:
        """Speak once, streamed, to the end."""
        started, first, samples = time.perf_counter(), None, 0
        given = self.given if self.decoder == "diffusion" else _heard(self.given)
        chunks = self.tts.tts_stream(
            self.plan.text,
            preset=self.preset,
            use_deterministic_seed=self.plan.seed,
            decoder=self.decoder,
            **self.voice,
            **given,
        )
        with closing(chunks) as chunks:  # type: ignore[type-var]
            for chunk in chunks:
                first = first or time.perf_counter() - started
                samples += chunk.shape[-1]
        seconds = time.perf_counter() - started
        return StreamSample(
            first_seconds=first or seconds, seconds=seconds, audio_seconds=samples / self.tts.sample_rate
        )

    def condition(self) -> float:
        """Return the seconds to make a voice from one clip of six seconds (noise)."""
        clip = 0.1 * torch.randn(1, _CLIP_SAMPLES, generator=torch.Generator().manual_seed(self.plan.seed))
        started = time.perf_counter()
        self.tts.get_conditioning_latents(clip)
        return time.perf_counter() - started

    def tokenize(self) -> tuple[float, int]:
        """Return the seconds to clean and tokenize the text, and its number of tokens."""
        started = time.perf_counter()
        tokenizer = self.tts.tokenizer
        ids = tokenizer.ids(tokenizer.clean(self.plan.text))  # of any length: what is spoken is split
        return time.perf_counter() - started, len(ids)
