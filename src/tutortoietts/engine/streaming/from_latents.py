"""Stream sound straight from the latents of one candidate, while its codes are still being drawn.

The codes are those of the whole pipeline with one candidate and the same seed; joined, the chunks are what the
streaming decoder makes of all latents at once (`speak_from_latents`, the slow reference).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from tutortoietts.audio.stretch import Stretcher
from tutortoietts.core.errors import ModelError
from tutortoietts.core.streaming import Streaming
from tutortoietts.core.types import Codes
from tutortoietts.engine.decoding.end_of_speech import latent_count
from tutortoietts.engine.decoding.latents import latents_of
from tutortoietts.engine.decoding.loop import decode
from tutortoietts.engine.decoding.model import CodeModel
from tutortoietts.engine.decoding.request import DecodeRequest
from tutortoietts.engine.pipeline import EncodedPassage, Pipeline, SpokenPassage, warn_of_fault
from tutortoietts.engine.progress import Progress
from tutortoietts.engine.streaming.decoder import stream_decoder
from tutortoietts.engine.streaming.turns import Listener
from tutortoietts.engine.streaming.windows import Windows, decode_whole
from tutortoietts.models.xtts import at_speed

__all__ = ["LatentChunk", "speak_from_latents", "stream_decoder", "stream_from_latents"]

_UNSURE = 2  # trailing latents that may still change when the silence rule is applied
_STEPS = 8  # codes between two looks at a device that runs on its own

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatentChunk:
    """samples (L,) float32 on the CPU. spoken: the passage's result, with its last chunk only."""

    samples: Tensor
    spoken: SpokenPassage | None = None


def stream_from_latents(
    pipeline: Pipeline, number: int, streaming: Streaming, listener: Listener | None = None
) -> Generator[LatentChunk, None, None]:
    """Yield the sound of passage `number` in chunks, the last of which is never empty unless all of it is cut.

    Beside many other streams the first chunk is of two windows, so that a listener who begins with it hears no gap.
    A passage with hidden pieces comes as one chunk: what is cut is known only when all codes are drawn.
    """
    models, progress, encoded = pipeline.models, pipeline.progress, pipeline.encode(number)
    speaker = pipeline.family.sound_speaker(pipeline.request.voice)
    speaker = speaker.to(models.device, models.dtype_of("autoregressive"))
    look_every = 1 if models.device.type == "cpu" else math.gcd(streaming.chunk_size, _STEPS)
    with ExitStack() as stack:
        module = stack.enter_context(models.use("autoregressive"))
        model = cast(CodeModel, module)
        decoder = stack.enter_context(stream_decoder(models))
        work = replace(pipeline.decode_request(module, encoded), check_every=look_every)
        sizes = iter([work.max_codes + 1]) if any(encoded.hidden) else streaming.sizes()
        options = pipeline.request.options
        stretcher = Stretcher(pipeline.family.sample_rate, options.speed if options.speed_rule == "stretch" else 1.0)
        rule = options.calm_rule
        drawn = pipeline.decode_incrementally(module, work)
        latents = stack.enter_context(closing(_latents(model, work, drawn, rule, sizes, progress)))
        speed = options.speed if options.speed_rule == "latents" else 1.0
        listener, windows = listener or Listener(), Windows(decoder, speaker)
        held = speaker.new_zeros(0).float().cpu()
        for so_far, codes in latents:
            with progress.stage("decoder"), listener.turn():
                wave = windows.push(_at_speed(so_far, speed, last=codes is not None), codes is not None).cpu().clone()
            if codes is None and len(held) == 0 and listener.waits_for_more:
                held = wave
                continue
            wave, held = torch.cat([held, wave]), held[:0]
            listener.hears(len(wave) / pipeline.family.sample_rate / stretcher.rate)
            if codes is not None:
                _tell_faults(pipeline, work, encoded, codes)
                spoken = pipeline.spoken(encoded, pipeline.ended(wave), codes, pipeline.cut_of(module, encoded, codes))
                paced = torch.cat([stretcher.push(spoken.samples), stretcher.finish()])
                yield LatentChunk(samples=paced, spoken=spoken)
            elif len(paced := stretcher.push(wave)):
                yield LatentChunk(samples=paced)


def _latents(
    model: CodeModel,
    work: DecodeRequest,
    codes_so_far: Iterator[Codes],
    rule: str,
    sizes: Iterator[int],
    progress: Progress,
) -> Generator[tuple[Tensor, Codes | None], None, None]:
    """Yield the latents so far (1, S, D) each time `sizes` more codes are drawn; the last ones with all codes."""
    due, codes = 0, None
    with closing(codes_so_far) as drawn:  # type: ignore[type-var]
        while True:
            due += next(sizes)
            with progress.stage("codes"):
                newer, more = _until(drawn, due)
            codes = newer or codes
            if codes is None or codes.hidden is None:
                raise ModelError("decoding gave no hidden states")
            sure, over = _settled(model, work, codes, rule)
            if not more or over:
                break
            yield codes.hidden[:, :sure], None
        with progress.stage("latents"):
            last = latents_of(model, work, codes, 0, rule)
        yield last, codes


def _until(drawn: Iterator[Codes], due: int) -> tuple[Codes | None, bool]:
    """Return the codes once there are `due`, or the last there are; and whether more may come."""
    codes = None
    for codes in drawn:
        if codes.ids.shape[1] >= due:
            return codes, True
    return codes, False


def _settled(model: CodeModel, work: DecodeRequest, codes: Codes, rule: str) -> tuple[int, bool]:
    """Return how many latents are kept whatever follows, and whether the silence rule ends them there."""
    drawn = min(codes.ids.shape[1], int(codes.lengths[0]))
    if work.silence_code is None or drawn == 0:
        return drawn, False
    if rule == "anywhere":
        kept = int(latent_count(codes.ids[:, :drawn], model.cfg.stop_mel_token, work.silence_code, rule))
        if kept < drawn:
            return kept, True
    return max(0, min(drawn, work.max_codes - _UNSURE)), False


def _at_speed(latents: Tensor, speed: float, *, last: bool) -> Tensor:
    """Return the latents so far (1, S, D) at another speed, without those that a later one changes."""
    if speed == 1.0:
        return latents
    if last:
        return at_speed(latents, speed) if latents.shape[1] > 1 else latents
    known = max(0, math.ceil((latents.shape[1] - 0.5) / speed - 0.5) - 1)
    return at_speed(latents, speed)[:, :known] if known else latents[:, :0]


def _tell_faults(pipeline: Pipeline, work: DecodeRequest, encoded: EncodedPassage, codes: Codes) -> None:
    """Count and tell the fault of what was streamed, which cannot be taken back."""
    if "rerank" in pipeline.family.stages:
        _warn_if_cut_off(work, codes, encoded.passage.text)
        return
    fault = pipeline.fault_of(work, encoded, codes)
    if fault is not None:
        pipeline.progress.faults[fault] += 1
        warn_of_fault(fault, encoded.passage.text)


def _warn_if_cut_off(work: DecodeRequest, codes: Codes, text: str) -> None:
    if codes.ids.shape[1] >= work.max_codes > work.min_codes and not bool(codes.finished[0]):
        _log.warning(
            "%r did not end within %d codes, so its end may be cut off: give another seed, raise max_mel_tokens or "
            "shorten the text",
            text[:60],
            work.max_codes,
        )


def speak_from_latents(pipeline: Pipeline, number: int) -> Tensor:
    """Return what `stream_from_latents` gives, joined, at once: the slow reference, for a passage with nothing hidden.

    (samples,) float32 on the CPU.
    """
    models, encoded = pipeline.models, pipeline.encode(number)
    speaker = pipeline.family.sound_speaker(pipeline.request.voice)
    speaker = speaker.to(models.device, models.dtype_of("autoregressive"))
    with models.use("autoregressive") as module, stream_decoder(models) as decoder:
        model = cast(CodeModel, module)
        work = pipeline.decode_request(module, encoded)
        (codes,) = decode(model, work)
        latents = latents_of(model, work, codes, 0, pipeline.request.options.calm_rule)
        return decode_whole(decoder, latents, speaker).cpu().clone()
