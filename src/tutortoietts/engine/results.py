"""Run a pipeline and wrap what comes out: `Speech`, or a `SpeechStream`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import torch
from torch import Tensor

from tutortoietts.core.errors import ModelError, OptionError
from tutortoietts.engine.pipeline import Pipeline, Placed
from tutortoietts.engine.progress import Report, show_progress
from tutortoietts.engine.speech import Speech, SpeechStream
from tutortoietts.engine.streaming.stream import stream
from tutortoietts.engine.words import Reading
from tutortoietts.runtime.memory import returning_memory

__all__ = ["open_stream", "speak"]


def speak(pipeline: Pipeline, *, verbose: bool = False) -> list[Speech]:
    """Speak the whole request and return its k results, best first. verbose: show progress on stderr."""
    rate, request = pipeline.family.sample_rate, pipeline.request
    with returning_memory(pipeline.models.device), show_progress(pipeline.progress, verbose):
        results = pipeline.whole()
    for samples, _ in results:
        _check_sound(samples, pipeline.models.spec.name)
    report = _report(pipeline, results[0][0].shape[-1])
    terms = pipeline.family.terms
    return [
        Speech(samples.flatten(), rate, request.seed, report, Reading(pipeline, placed), terms)
        for samples, placed in results
    ]


def open_stream(
    pipeline: Pipeline,
    *,
    verbose: bool = False,
    finished: Callable[[Report], None] | None = None,
    keep: Callable[[Tensor, Reading], None] | None = None,
) -> SpeechStream:
    """Return the request's sound in chunks, made as they are taken.

    finished: called with the report at the end. keep: called then with all samples (N,) and how they were spoken.
    """
    request, placed, reports = pipeline.request, list[Placed](), list[Report]()
    if request.streaming is None:
        raise OptionError("a request that is to be streamed says how: build it with streaming=...")
    made, reading = stream(pipeline, request.streaming, placed.append), Reading(pipeline, placed)

    def chunks() -> Iterator[Tensor]:
        samples, kept = 0, list[Tensor]()
        with returning_memory(pipeline.models.device), show_progress(pipeline.progress, verbose), closing(made):  # type: ignore[type-var]
            for chunk in made:
                _check_sound(chunk, pipeline.models.spec.name)
                samples += chunk.shape[-1]
                if keep is not None:
                    kept.append(chunk.clone())
                yield chunk
        reports.append(_report(pipeline, samples))
        if finished is not None:
            finished(reports[0])
        if keep is not None:
            keep(torch.cat(kept), reading)

    rate, stop = pipeline.family.sample_rate, pipeline.progress.stop
    return SpeechStream(chunks(), rate, request.seed, stop, lambda: reports[0], lambda: reading.words)


def _check_sound(samples: Tensor, model: str) -> None:
    """Raise ModelError for sound that is no numbers, which would be heard as a bang."""
    if not bool(samples.isfinite().all()):
        raise ModelError(
            f"the model {model!r} made sound that is no numbers: its weights or the voice are damaged, or the "
            "precision is too low for them; try another voice, or precision='fp32'"
        )


def _report(pipeline: Pipeline, samples: int) -> Report:
    request = pipeline.request
    return Report(
        stages=pipeline.progress.ordered_stages(),
        audio_seconds=samples / pipeline.family.sample_rate,
        passages=len(request.passages),
        candidates=request.options.num_autoregressive_samples,
        seed=request.seed,
        redraws=pipeline.progress.redraws,
        faults=dict(pipeline.progress.faults),
    )
