"""Word times of a result: each passage aligned, and its times moved to where its sound lies in the joined one."""

from __future__ import annotations

from collections.abc import Sequence

from tutortoietts.core.types import Word
from tutortoietts.engine.align import align, retime, word_times
from tutortoietts.engine.pipeline import Pipeline, Placed
from tutortoietts.text.words import word_tokens

__all__ = ["find_words"]


def find_words(pipeline: Pipeline, placed: Sequence[Placed]) -> tuple[Word, ...]:
    """Return the words that are heard, in order, with their times in seconds and their places in the request's text.

    One forward pass of the autoregressive model a passage.
    """
    models, request = pipeline.models, pipeline.request
    spec = models.spec.alignment
    speaker = request.voice.speaker.to(models.device, models.dtype_of("autoregressive"))
    found: list[Word] = []
    with models.use("autoregressive") as model:
        for spoken, start, end, at in placed:
            encoded = spoken.encoded
            passage = encoded.passage
            tokens = word_tokens(models.tokenizer, passage, request.text)
            alignment = align(model, speaker, encoded.text, spoken.codes, spec.heads)  # type: ignore[arg-type]
            words = word_times(alignment, tokens, bias=spec.bias_seconds, code_seconds=pipeline.family.code_seconds)
            if spoken.kept is not None:
                words = retime(words, spoken.kept)
            found += retime(words, [(start, end)], at)
    return tuple(found)
