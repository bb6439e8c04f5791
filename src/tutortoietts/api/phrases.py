"""Phrases of `TextToSpeech` that were spoken before: found by everything that makes their sound, and kept bit for bit.

An entry is the samples in float32 and a note with the codes that they were made from, so that words and checks of a
kept phrase are those of the first time. No text is stored. Not kept: speech without a seed of the caller's, speech
that did not end by itself, and speech of components that were replaced by modules, which have no digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy
import torch
from torch import Tensor

from tutortoietts.api.identity import latents_digest, model_identity
from tutortoietts.cache.files import SAMPLES
from tutortoietts.cache.keys import phrase_key
from tutortoietts.cache.phrases import PhraseCache
from tutortoietts.engine.pipeline import Pipeline, Placed, SpokenPassage
from tutortoietts.engine.progress import Progress, Report
from tutortoietts.engine.request import Request
from tutortoietts.engine.speech import Speech, SpeechStream
from tutortoietts.engine.words import Reading
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.version import __version__

__all__ = ["Phrases", "open_phrases"]

_CHUNK_SECONDS = 1.0  # of a stream that is not being made, but read


def open_phrases(given: bool | str | os.PathLike[str] | PhraseCache, models: LoadedModels) -> Phrases | None:
    """Return the phrases of `TextToSpeech(phrase_cache=...)`: False: none; True: those of the user; else a folder."""
    if given is False or given is None:
        return None
    if isinstance(given, PhraseCache):
        return Phrases(given, models)
    return Phrases(PhraseCache(None if given is True else given), models)


class Phrases:
    """The phrases of one loaded model in a phrase cache, which processes and threads may share."""

    def __init__(self, cache: PhraseCache, models: LoadedModels) -> None:
        self.cache, self.models = cache, models

    def takes(self, request: Request) -> bool:
        """Return whether speech of a request may be kept: it can be requested again."""
        return request.seeded and not self.models.replaced

    def speech(self, pipeline: Pipeline) -> list[Speech] | None:
        """Return the results of a request from the cache, best first; None unless all of them are there."""
        request = pipeline.request
        if not self.takes(request):
            return None
        results = []
        for result in range(request.k):
            started = time.perf_counter()
            found = self._find(pipeline, result)
            if found is None:
                return None
            samples, reading = found
            report = _report(request, len(samples) / pipeline.family.sample_rate, time.perf_counter() - started)
            rate, terms = pipeline.family.sample_rate, pipeline.family.terms
            results.append(Speech(samples, rate, request.seed, report, reading, terms, cached=True))
        return results

    def stream(self, pipeline: Pipeline) -> SpeechStream | None:
        """Return a request's stream from the cache, None if it is not there."""
        speeches = self.speech(pipeline)
        if speeches is None:
            return None
        speech, stop = speeches[0], pipeline.progress.stop
        return SpeechStream(
            _chunks(pipeline.progress, torch.split(speech.samples, round(_CHUNK_SECONDS * speech.sample_rate))),
            speech.sample_rate,
            speech.seed,
            stop,
            lambda: speech.report,
            lambda: speech.words,
            cached=True,
        )

    def keep(self, samples: Tensor, reading: Reading, result: int = 0) -> None:
        """Keep a result of a request: samples (N,)."""
        pipeline, placed = reading.pipeline, reading.placed
        if not self.takes(pipeline.request) or not all(one.spoken.finished for one in placed):
            return
        data = samples.detach().to("cpu", torch.float32).contiguous().numpy().astype("<f4").tobytes()
        note = {"sample_rate": pipeline.family.sample_rate, "samples": len(samples), "placed": _noted(placed)}
        self.cache.put(self.key(pipeline, result), data, note, SAMPLES)

    def key(self, pipeline: Pipeline, result: int = 0) -> str:
        """Return the key of a result of a request."""
        request, models, family = pipeline.request, self.models, pipeline.family
        made = {
            "kind": "speech",
            "version": __version__,
            "spec": hashlib.sha256(repr(models.spec).encode()).hexdigest(),
            "device": models.device.type,
            "torch": torch.__version__,
            "native": os.environ.get("TUTORTOIETTS_NATIVE", ""),
            "kv_cache": request.kv_cache,
            "language": request.language,
            "normalize": request.normalize,
            "tokenizer_basic": models.source.tokenizer_basic,
            "sample_rate": family.sample_rate,
            "streaming": None if request.streaming is None else asdict(request.streaming),
            "k": request.k,
            "result": result,
        }
        spoken = [(passage.text, passage.hidden) for passage in request.passages]
        return phrase_key(
            identity={**model_identity(models, request.options, streamed=request.from_latents), **made},
            voice=latents_digest((request.voice.speaker, request.voice.diffusion, request.mels)),
            spoken=json.dumps(spoken, ensure_ascii=False),
            seed=request.seed,
        )

    def _find(self, pipeline: Pipeline, result: int) -> tuple[Tensor, Reading] | None:
        found = self.cache.load(self.key(pipeline, result))
        if found is None:
            return None
        data, note = found
        samples = torch.from_numpy(numpy.frombuffer(data, dtype="<f4").astype("f4"))
        return samples, Reading(pipeline, _Placed(pipeline, note["placed"]))


class _Placed(Sequence[Placed]):
    """The passages of a kept phrase, tokenized when they are first looked at."""

    def __init__(self, pipeline: Pipeline, notes: Sequence[Mapping[str, Any]]) -> None:
        self._pipeline, self._notes = pipeline, notes

    def __len__(self) -> int:
        return len(self._notes)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        note = self._notes[index]
        spoken = SpokenPassage(
            encoded=self._pipeline.encode(note["number"]),
            samples=torch.zeros(1, 1, 0),
            codes=torch.tensor([note["codes"]], device=self._pipeline.models.device),
            kept=note["kept"],
        )
        return Placed(spoken, note["start"], note["end"], note["at"])


def _chunks(progress: Progress, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
    for number, chunk in enumerate(chunks):
        progress.step("cache", number, len(chunks))
        yield chunk


def _noted(placed: Sequence[Placed]) -> list[dict[str, Any]]:
    return [
        {
            "number": one.spoken.encoded.number,
            "codes": one.spoken.codes[0].tolist(),
            "kept": None if one.spoken.kept is None else [list(span) for span in one.spoken.kept],
            "start": one.start,
            "end": one.end,
            "at": one.at,
        }
        for one in placed
    ]


def _report(request: Request, audio_seconds: float, seconds: float) -> Report:
    return Report(
        stages={"cache": seconds},
        audio_seconds=audio_seconds,
        passages=len(request.passages),
        candidates=request.options.num_autoregressive_samples,
        seed=request.seed,
    )
