"""Word times of a result: each passage aligned, and its times moved to where its sound lies in the joined one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from torch import Tensor

from tutortoietts.core.types import Word
from tutortoietts.engine.align import Alignment, align, retime, word_times
from tutortoietts.engine.pipeline import EncodedPassage, Pipeline, Placed
from tutortoietts.text.words import word_tokens

__all__ = ["Reading", "alignments", "find_words"]


class Reading:
    """Passages of one sound, with the codes they were made from; words and checks follow from them when first read."""

    def __init__(self, pipeline: Pipeline, placed: Sequence[Placed]) -> None:
        self.pipeline, self.placed = pipeline, placed

    @cached_property
    def passages(self) -> list[tuple[EncodedPassage, Tensor]]:
        """The passages that are heard, with their codes (1, S)."""
        return [(one.spoken.encoded, one.spoken.codes) for one in self.placed]

    @cached_property
    def alignments(self) -> list[Alignment]:
        """Alignment of each passage's codes with its text."""
        return alignments(self.pipeline, self.passages)

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """The words that are heard, with their times."""
        return find_words(self.pipeline, self.placed, self.alignments)


def alignments(pipeline: Pipeline, passages: Sequence[tuple[EncodedPassage, Tensor]]) -> list[Alignment]:
    """Return how the codes (1, S) of each passage lie in its text: one forward pass of the decoder a passage."""
    models, request = pipeline.models, pipeline.request
    heads = models.spec.alignment.heads
    speaker = request.voice.speaker.to(models.device, models.dtype_of("autoregressive"))
    with models.use("autoregressive") as model:
        return [
            align(model, speaker, encoded.text, codes, heads)  # type: ignore[arg-type]
            for encoded, codes in passages
        ]


def find_words(pipeline: Pipeline, placed: Sequence[Placed], aligned: Sequence[Alignment]) -> tuple[Word, ...]:
    """Return the words that are heard, in order, with their times in seconds and their places in the request's text.

    aligned: what `alignments` gave for the passages.
    """
    models, request = pipeline.models, pipeline.request
    bias, code_seconds = models.spec.alignment.bias_seconds, pipeline.family.code_seconds
    tokenizer, speed = models.tokenizer_for(request.language, spoken=request.normalize), request.options.speed
    found: list[Word] = []
    for (spoken, start, end, at), alignment in zip(placed, aligned, strict=True):
        tokens = word_tokens(tokenizer, spoken.encoded.passage, request.text)
        words = word_times(alignment, tokens, bias=bias, code_seconds=code_seconds)
        if spoken.kept is not None:
            words = retime(words, spoken.kept)
        if speed != 1.0:
            words = [word._replace(start=word.start / speed, end=word.end / speed) for word in words]
        found += retime(words, [(start, end)], at)
    return tuple(found)
