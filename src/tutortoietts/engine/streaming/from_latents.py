"""Sound straight from the latents of one candidate, while its codes are still being drawn.

The codes are those of the whole pipeline with one candidate and the same seed; joined, the chunks are what the
streaming decoder makes of all its latents at once (`speak_from_latents`, the oracle).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.errors import ModelError
from tutortoietts.core.streaming import Streaming
from tutortoietts.core.types import Codes
from tutortoietts.engine.decoding.end_of_speech import latent_count
from tutortoietts.engine.decoding.loop import DecodeRequest, decode, decode_incrementally, latents_of
from tutortoietts.engine.pipeline import SAMPLE_RATE, Request, decoding
from tutortoietts.engine.progress import Progress
from tutortoietts.engine.redact import cut_spans, redact, text_path
from tutortoietts.engine.streaming.windows import StreamDecoder, Windows, decode_whole
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.stream_vocos import StreamFront, StreamVocos
from tutortoietts.models.vocos import Vocos
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.text.brackets import Passage

__all__ = ["is_own_vocoder", "speak_from_latents", "stream_decoder", "stream_from_latents"]

_UNSURE = 2  # the last latents, which the repair of a row that just fits (`repair_codes`) may change
_STEPS = 8  # codes between two looks at a device that runs on its own

_log = logging.getLogger(__name__)


@contextmanager
def stream_decoder(parts: LoadedModels) -> Iterator[StreamDecoder]:
    """The model's streaming decoder on the working device, for the length of a block."""
    with ExitStack() as stack:
        module = stack.enter_context(parts.use("stream_decoder"))
        if not isinstance(module, StreamFront):
            yield cast(StreamDecoder, module)
            return
        vocoder = stack.enter_context(parts.use("vocoder"))
        if not is_own_vocoder(vocoder):
            raise ModelError(
                f"the streaming decoder of {parts.spec.name!r} needs the model's own Vocos, not a "
                f'{type(vocoder).__name__}: stream with decoder="diffusion"'
            )
        yield StreamVocos(module, cast(Vocos, vocoder))


def is_own_vocoder(module: nn.Module) -> bool:
    """Whether it is a Vocos, maybe compiled, as a `StreamFront` needs."""
    return isinstance(getattr(module, "_orig_mod", module), Vocos)


def stream_from_latents(
    parts: LoadedModels, request: Request, passage: Passage, seed: int, streaming: Streaming, watch: Progress
) -> Generator[tuple[Tensor, bool], None, None]:
    """Chunks (samples,) float32 on the CPU, each with whether it is the last, which is never short of a frame.

    A passage with hidden pieces comes as one chunk: what is cut is known only when all is spoken.
    """
    pieces = passage.pieces()
    tokens, ends = parts.tokenizer.encode_parts([piece for piece, _ in pieces])
    work = decoding(parts, request, F.pad(tokens.ids, (0, 1)).to(parts.device), seed, watch)
    work = replace(work, check_every=1 if parts.device.type == "cpu" else math.gcd(streaming.chunk_size, _STEPS))
    hidden = [cut for _, cut in pieces]
    with ExitStack() as stack:
        model = cast(Autoregressive, stack.enter_context(parts.use("autoregressive")))
        decoder = stack.enter_context(stream_decoder(parts))
        sizes = iter([work.max_codes + 1]) if any(hidden) else streaming.sizes()
        latents = stack.enter_context(closing(_latents(model, work, request.options.calm_rule, sizes, watch)))
        windows = Windows(decoder, work.speaker)
        for so_far, codes in latents:
            with watch.stage("decoder"):
                wave = windows.push(so_far, codes is not None).cpu().clone()
            if codes is not None:
                _warn(work, codes, passage)
                if any(hidden):
                    wave = _without(model, work, codes, wave, ends, hidden)
                yield wave, True
            elif len(wave):
                yield wave, False


def _latents(
    model: Autoregressive, work: DecodeRequest, rule: str, sizes: Iterator[int], watch: Progress
) -> Generator[tuple[Tensor, Codes | None], None, None]:
    """The latents so far (1, S, D), each time `sizes` more codes are drawn; the last ones with all codes."""
    due, codes = 0, None
    with closing(decode_incrementally(model, work)) as drawn:  # type: ignore[type-var]
        while True:
            due += next(sizes)
            with watch.stage("codes"):
                newer, more = _until(drawn, due)
            codes = newer or codes
            if codes is None or codes.hidden is None:
                raise ModelError("decoding gave no hidden states")
            sure, over = _sure(model, work, codes, rule)
            if not more or over:
                break
            yield codes.hidden[:, :sure], None
        with watch.stage("latents"):
            last = latents_of(model, work, codes, 0, rule)
        yield last, codes


def _until(drawn: Iterator[Codes], due: int) -> tuple[Codes | None, bool]:
    """The codes once there are `due`, or the last there are; and whether more may come."""
    codes = None
    for codes in drawn:
        if codes.ids.shape[1] >= due:
            return codes, True
    return codes, False


def _sure(model: Autoregressive, work: DecodeRequest, codes: Codes, rule: str) -> tuple[int, bool]:
    """How many latents are kept whatever follows, and whether none will follow, by the rule of silence."""
    drawn = min(codes.ids.shape[1], int(codes.lengths[0]))
    if work.calm_token is None or drawn == 0:
        return drawn, False
    if rule == "anywhere":
        kept = int(latent_count(codes.ids[:, :drawn], model.cfg.stop_mel_token, work.calm_token, rule))
        if kept < drawn:
            return kept, True
    return max(0, min(drawn, work.max_codes - _UNSURE)), False


def _warn(work: DecodeRequest, codes: Codes, passage: Passage) -> None:
    if codes.ids.shape[1] >= work.max_codes > work.min_codes and not bool(codes.finished[0]):
        _log.warning(
            "%r did not end within %d codes, so its end may be cut off: give another seed, raise max_mel_tokens or "
            "shorten the text",
            passage.text[:60],
            work.max_codes,
        )


def _without(
    model: Autoregressive, work: DecodeRequest, codes: Codes, wave: Tensor, ends: Sequence[int], hidden: Sequence[bool]
) -> Tensor:
    """The wave (samples,) without its hidden pieces."""
    length = int(codes.lengths[0])
    path = text_path(model, work.speaker, work.text, codes.ids[:, :length])
    return redact(wave, cut_spans(path, length, ends, hidden), SAMPLE_RATE)


def speak_from_latents(parts: LoadedModels, request: Request, passage: Passage, seed: int, watch: Progress) -> Tensor:
    """The slow oracle of `stream_from_latents` for a passage with nothing hidden: (samples,) on the CPU."""
    tokens = parts.tokenizer.encode(passage.text)
    work = decoding(parts, request, F.pad(tokens.ids, (0, 1)).to(parts.device), seed, watch)
    with parts.use("autoregressive") as module, stream_decoder(parts) as decoder:
        model = cast(Autoregressive, module)
        (codes,) = decode(model, work)
        latents = latents_of(model, work, codes, 0, request.options.calm_rule)
        return decode_whole(decoder, latents, work.speaker).cpu().clone()
