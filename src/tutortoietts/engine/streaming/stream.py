"""Sound while more is being made.

From latents (`from_latents`): window by window while codes are drawn; joined, the chunks are the whole passage.
By the whole pipeline: passage by passage, the next being made while one plays; joined it is what `whole` gives.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import torch
from torch import Tensor

from tutortoietts.audio.stitch import FADE_SECONDS, PAUSE_SECONDS, fade, join, trim
from tutortoietts.core.config import StreamVocosConfig
from tutortoietts.core.errors import AudioError, OptionError
from tutortoietts.core.streaming import Streaming
from tutortoietts.engine.pipeline import SAMPLE_RATE, Request, check_options, check_speaker, speak_all
from tutortoietts.engine.progress import Progress
from tutortoietts.engine.streaming.from_latents import is_own_vocoder, stream_from_latents
from tutortoietts.engine.streaming.prefetch import ahead
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.sampling.rows import mix_seed

__all__ = ["decided", "stream", "whole"]

_LIVE_PAUSE_SECONDS = 0.1  # besides the silence that passages begin and end with, which only a whole one could lose
_AUTO = Streaming()
_NOTHING = "nothing is left to hear: leave more of the text outside [brackets]"


def whole(parts: LoadedModels, request: Request, watch: Progress) -> list[Tensor]:
    """The k readings of the whole text, each (1, 1, L) float32: the j-th best of every passage, joined."""
    spoken = list(speak_all(parts, request, watch))
    return [_joined([readings[number] for readings in spoken]) for number in range(request.k)]


def _joined(waves: Sequence[Tensor]) -> Tensor:
    heard = [wave for wave in waves if wave.shape[-1] > 0]
    if not heard:
        raise AudioError(_NOTHING)
    return join(heard, SAMPLE_RATE)


def decided(parts: LoadedModels, streaming: Streaming) -> Streaming:
    """With "auto" replaced by what this model can. Raises OptionError for a decoder that it has not."""
    if streaming.decoder == "diffusion":
        return streaming
    lacking = None
    if not parts.has("stream_decoder"):
        lacking = f"the model {parts.spec.name!r} has no streaming decoder"
    elif isinstance(parts.spec.stream_decoder, StreamVocosConfig):
        given = parts.source.vocoder
        if given is not None or not is_own_vocoder(parts.get("vocoder")):
            what = "another module" if given is None else f"vocoder={given!r}"
            lacking = f"{what} takes the place of the vocoder that the streaming decoder works with"
    if streaming.decoder == "stream" and lacking:
        raise OptionError(f'decoder is "stream", but {lacking}: give decoder="diffusion" or leave it out')
    if streaming.decoder == "auto":
        return replace(streaming, decoder="diffusion" if lacking else "stream")
    return streaming


def stream(parts: LoadedModels, request: Request, watch: Progress, streaming: Streaming = _AUTO) -> Iterator[Tensor]:
    """Chunks (samples,) float32 at 24 kHz on the CPU. Closing the iterator ends the work within a step.

    From latents it needs options with one candidate.
    """
    streaming = decided(parts, streaming)
    chunks: Iterator[Tensor]
    if streaming.decoder == "diffusion":
        chunks = ahead(_by_passage(parts, request, watch), watch.stop)
    elif parts.offload:  # whose parts belong to one thread while they are in use, and should not wait for a listener
        chunks = ahead(_live(parts, request, watch, streaming), watch.stop, waiting=False)
    else:
        chunks = _live(parts, request, watch, streaming)
    with closing(chunks):  # type: ignore[type-var]
        yield from chunks


def _live(
    parts: LoadedModels, request: Request, watch: Progress, streaming: Streaming
) -> Generator[Tensor, None, None]:
    check_options(parts, request.options, request.k)
    check_speaker(parts, request.voice)
    shared = ["vocoder"] if isinstance(parts.spec.stream_decoder, StreamVocosConfig) else []
    with watch.stage("load"):
        for part in ("autoregressive", "stream_decoder", *shared):
            parts.get(part)
    total, begun = len(request.passages), False
    for number, passage in enumerate(request.passages):
        watch.prefix = f"{number + 1}/{total} " if total > 1 else ""
        entering = True
        seed = mix_seed(request.seed, number)
        with closing(stream_from_latents(parts, request, passage, seed, streaming, watch)) as chunks:
            for wave, last in chunks:
                if len(wave) == 0:
                    continue
                yield _edged(wave, follows=begun and entering, leads=last and number + 1 < total)
                entering = False
        begun = begun or not entering
    if not begun:
        raise AudioError(_NOTHING)


def _edged(wave: Tensor, *, follows: bool, leads: bool) -> Tensor:
    """A chunk with its fades, and the pause before it: it `follows` another passage, or `leads` to one."""
    seconds_in, seconds_out = (FADE_SECONDS if side else 0.0 for side in (follows, leads))
    pause = wave.new_zeros(round(_LIVE_PAUSE_SECONDS * SAMPLE_RATE) if follows else 0)
    return torch.cat([pause, fade(wave, SAMPLE_RATE, seconds_in=seconds_in, seconds_out=seconds_out)])


def _by_passage(parts: LoadedModels, request: Request, watch: Progress) -> Generator[Tensor, None, None]:
    """One chunk a passage, with the pause before it."""
    last = len(request.passages) - 1
    begun = False
    for number, (wave,) in enumerate(speak_all(parts, request, watch)):
        if wave.shape[-1] == 0:
            continue
        if last == 0:
            yield wave.flatten()
            return
        piece = fade(
            trim(wave.flatten(), SAMPLE_RATE),
            SAMPLE_RATE,
            seconds_in=FADE_SECONDS if begun else 0.0,
            seconds_out=FADE_SECONDS if number < last else 0.0,
        )
        pause = piece.new_zeros(round(PAUSE_SECONDS * SAMPLE_RATE) if begun else 0)
        begun = True
        yield torch.cat([pause, piece])
    if not begun:
        raise AudioError(_NOTHING)
