"""Stream a request: chunks of sound while more is being made.

From latents (`from_latents`): window by window while codes are drawn; joined, the chunks are the whole passage.
By the whole pipeline: passage by passage, the next being made while one plays; joined, they are `Pipeline.whole`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

import torch
from torch import Tensor

from tutortoietts.audio.stitch import FADE_SECONDS, PAUSE_SECONDS, fade, trim_edges
from tutortoietts.core.errors import AudioError
from tutortoietts.core.streaming import Streaming
from tutortoietts.engine.pipeline import NOTHING_LEFT, Pipeline, Placed
from tutortoietts.engine.streaming.from_latents import stream_from_latents
from tutortoietts.engine.streaming.prefetch import prefetch

__all__ = ["stream"]

_PAUSE_SECONDS = 0.1  # between passages from latents, besides the silence that they begin and end with

Heard = Callable[[Placed], None]


def stream(pipeline: Pipeline, streaming: Streaming, heard: Heard | None = None) -> Iterator[Tensor]:
    """Yield chunks (samples,) float32 on the CPU. Closing the iterator ends the work within a step.

    heard: called with each passage when its last chunk is made. From latents the request must have one candidate.
    Raise AudioError if nothing is left to hear.
    """
    noted = heard or (lambda passage: None)
    stop = pipeline.progress.stop
    chunks: Iterator[Tensor]
    if streaming.decoder == "diffusion":
        chunks = prefetch(_by_passage(pipeline, noted), stop)
    elif pipeline.models.offload:  # whose components belong to one thread in use, and must not wait for a listener
        chunks = prefetch(_from_latents(pipeline, streaming, noted), stop, waiting=False)
    else:
        chunks = _from_latents(pipeline, streaming, noted)
    with closing(chunks):  # type: ignore[type-var]
        yield from chunks


def _from_latents(pipeline: Pipeline, streaming: Streaming, heard: Heard) -> Generator[Tensor, None, None]:
    pipeline.load()
    rate, last, begun = pipeline.family.sample_rate, len(pipeline.request.passages) - 1, False
    given = 0  # samples of all chunks so far
    with pipeline.listener() as listener:
        for number in range(last + 1):
            entering, at = True, given + (round(_PAUSE_SECONDS * rate) if begun else 0)
            with closing(stream_from_latents(pipeline, number, streaming, listener)) as chunks:
                for chunk in chunks:
                    if len(chunk.samples):
                        leads = chunk.spoken is not None and number < last
                        samples = _with_pause(chunk.samples, rate, follows=begun and entering, leads=leads)
                        given += len(samples)
                        entering = False
                    if chunk.spoken is not None and not entering:
                        heard(Placed(chunk.spoken, 0.0, (given - at) / rate, at / rate))
                    if len(chunk.samples):
                        yield samples
            begun = begun or not entering
    if not begun:
        raise AudioError(NOTHING_LEFT)


def _with_pause(wave: Tensor, rate: int, *, follows: bool, leads: bool) -> Tensor:
    """Return a chunk with its fades, and the pause before it: it `follows` another passage, or `leads` to one."""
    seconds_in, seconds_out = (FADE_SECONDS if side else 0.0 for side in (follows, leads))
    pause = wave.new_zeros(round(_PAUSE_SECONDS * rate) if follows else 0)
    return torch.cat([pause, fade(wave, rate, seconds_in=seconds_in, seconds_out=seconds_out)])


def _by_passage(pipeline: Pipeline, heard: Heard) -> Generator[Tensor, None, None]:
    """Yield one chunk a passage, with the pause before it."""
    rate, last, begun = pipeline.family.sample_rate, len(pipeline.request.passages) - 1, False
    given = 0  # samples of all chunks so far
    for number, (spoken,) in enumerate(pipeline.passages()):
        wave = spoken.samples.flatten()
        if len(wave) == 0:
            continue
        start, end = trim_edges(wave, rate) if last else (0, len(wave))
        fade_in, fade_out = (FADE_SECONDS if side else 0.0 for side in (begun, number < last))
        piece = fade(wave[start:end], rate, seconds_in=fade_in, seconds_out=fade_out)
        pause = piece.new_zeros(round(PAUSE_SECONDS * rate) if begun else 0)
        heard(Placed(spoken, start / rate, end / rate, (given + len(pause)) / rate))
        begun = True
        given += len(pause) + len(piece)
        yield torch.cat([pause, piece])
    if not begun:
        raise AudioError(NOTHING_LEFT)
