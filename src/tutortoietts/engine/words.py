"""Word times of a result: each passage aligned, and its times moved to where its sound lies in the joined one."""

from __future__ import annotations

from collections.abc import Sequence

from tutortoietts.core.types import Word
from tutortoietts.engine.align import Alignment, align, retime, word_times
from tutortoietts.engine.pipeline import Pipeline, Placed
from tutortoietts.text.words import word_tokens

__all__ = ["alignments", "find_words"]


def alignments(pipeline: Pipeline, placed: Sequence[Placed]) -> list[Alignment]:
    """Return how the codes of each passage lie in its text: one forward pass of the autoregressive model a passage."""
    models, request = pipeline.models, pipeline.request
    heads = models.spec.alignment.heads
    speaker = request.voice.speaker.to(models.device, models.dtype_of("autoregressive"))
    with models.use("autoregressive") as model:
        return [
            align(model, speaker, one.spoken.encoded.text, one.spoken.codes, heads)  # type: ignore[arg-type]
            for one in placed
        ]


def find_words(
    pipeline: Pipeline, placed: Sequence[Placed], aligned: Sequence[Alignment] | None = None
) -> tuple[Word, ...]:
    """Return the words that are heard, in order, with their times in seconds and their places in the request's text.

    aligned: what `alignments` gave for `placed`; None: it is found.
    """
    models, request = pipeline.models, pipeline.request
    bias, code_seconds = models.spec.alignment.bias_seconds, pipeline.family.code_seconds
    tokenizer, speed = models.tokenizer_for(request.language, spoken=request.normalize), request.options.speed
    found: list[Word] = []
    for (spoken, start, end, at), alignment in zip(placed, aligned or alignments(pipeline, placed), strict=True):
        tokens = word_tokens(tokenizer, spoken.encoded.passage, request.text)
        words = word_times(alignment, tokens, bias=bias, code_seconds=code_seconds)
        if spoken.kept is not None:
            words = retime(words, spoken.kept)
        if speed != 1.0:
            words = [word._replace(start=word.start / speed, end=word.end / speed) for word in words]
        found += retime(words, [(start, end)], at)
    return tuple(found)
