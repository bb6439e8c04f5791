"""From a text to sound: chains the arrows. Everything a request needs is an argument; nothing is kept between calls."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.errors import OptionError, VoiceError
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.core.types import Mel, Voice
from tutortoietts.engine.decoding.loop import DecodeRequest, decode, latents_of
from tutortoietts.engine.denoise import Unconditioned, denoise
from tutortoietts.engine.progress import Progress
from tutortoietts.engine.redact import cut_spans, redact, text_path
from tutortoietts.engine.rerank import Candidate, Ranker, best
from tutortoietts.engine.vocode import vocode_all
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.clvp import Clvp
from tutortoietts.models.cvvp import Cvvp
from tutortoietts.models.diffusion import Diffusion
from tutortoietts.runtime.cuda_graphs import use_cuda_graphs
from tutortoietts.runtime.memory import bytes_a_candidate, pick_batch_size
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.runtime.source import PUBLIC
from tutortoietts.sampling.rows import mix_seed, row_generators
from tutortoietts.sampling.tokens import TokenOptions
from tutortoietts.text.brackets import Passage

__all__ = [
    "SAMPLE_RATE",
    "Request",
    "check_options",
    "check_speaker",
    "check_voice",
    "decoding",
    "speak",
    "speak_all",
    "token_options",
]

SAMPLE_RATE = 24000
_DECODE, _DENOISE, _VOCODE = range(3)  # what a seed is used for

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Request:
    """What to say in which voice, and how. `passages` are spoken one by one, each from its own part of `seed`.

    `k`: how many different readings to return. `mels` (1, clips, 80, T): reference clips for CVVP.
    `batch_size` None: as many candidates at once as fit.
    """

    passages: tuple[Passage, ...]
    voice: Voice
    options: SpeechOptions
    seed: int
    k: int = 1
    mels: Tensor | None = None
    kv_cache: bool = True
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise OptionError(f"autoregressive_batch_size is {self.batch_size}, must be at least 1")
        if self.options.cvvp_amount > 0 and self.mels is None:
            raise OptionError(
                f"cvvp_amount is {self.options.cvvp_amount:g}, but CVVP compares with reference clips: "
                "give voice_samples that are clips, or cvvp_amount=0"
            )


def ranking_parts(parts: LoadedModels, options: SpeechOptions) -> list[str]:
    """The models that rank, if there is anything to rank."""
    several = options.num_autoregressive_samples > 1
    clvp = several and options.cvvp_amount < 1 and parts.has("clvp")
    return [*(["clvp"] if clvp else []), *(["cvvp"] if several and options.cvvp_amount > 0 else [])]


def speak_all(parts: LoadedModels, request: Request, watch: Progress) -> Iterator[list[Tensor]]:
    """The k readings of each passage in turn, each (1, 1, L) float32 on the CPU.

    The models are loaded first, so what cannot be had is known before any work.
    """
    check_options(parts, request.options, request.k)
    check_voice(parts, request.voice)
    with watch.stage("load"):
        for part in ("autoregressive", "diffusion", "vocoder", *ranking_parts(parts, request.options)):
            parts.get(part)
    total = len(request.passages)
    kept = Unconditioned() if total * request.k > 1 else None
    for number, passage in enumerate(request.passages):
        watch.prefix = f"{number + 1}/{total} " if total > 1 else ""
        seed = mix_seed(request.seed, number)
        yield speak(parts, request, passage, seed, watch, kept, more=number + 1 < total)


def check_options(parts: LoadedModels, options: SpeechOptions, k: int) -> None:
    """Raises OptionError unless this model can do what is asked."""
    candidates, longest = options.num_autoregressive_samples, parts.spec.autoregressive.max_mel_tokens
    if isinstance(k, bool) or not isinstance(k, int):
        raise OptionError(f"k is {k!r}, must be a whole number")
    if not 1 <= k <= candidates:
        raise OptionError(
            f"k is {k}, outside 1..{candidates}: draw at least as many candidates "
            "(num_autoregressive_samples) as you want results"
        )
    if options.max_mel_tokens > longest:
        raise OptionError(f"max_mel_tokens is {options.max_mel_tokens}, outside 1..{longest} for this model")
    if options.min_mel_tokens > options.max_mel_tokens:
        raise OptionError(
            f"min_mel_tokens is {options.min_mel_tokens}, outside 0..{options.max_mel_tokens} (max_mel_tokens)"
        )
    if options.cvvp_amount > 0:
        parts.source.config("cvvp")


def check_speaker(parts: LoadedModels, voice: Voice) -> None:
    """Raises VoiceError unless the speaker latent, all that a stream from latents needs, has this model's size."""
    width, given = parts.spec.autoregressive.model_dim, voice.speaker.shape[1]
    if given != width:
        raise VoiceError(
            f"voice {voice.name!r} has a speaker latent of {given} numbers, but the model {parts.spec.name!r} needs "
            f"{width}: clone it with this model"
        )


def check_voice(parts: LoadedModels, voice: Voice) -> None:
    """Raises VoiceError unless the voice's latents have this model's sizes."""
    width, channels = parts.spec.autoregressive.model_dim, 2 * parts.spec.diffusion.model_channels
    if voice.diffusion is None:
        raise VoiceError(f"voice {voice.name!r} has no diffusion latent: clone it again from clips")
    shapes = voice.speaker.shape[1], voice.diffusion.shape[1]
    if shapes != (width, channels):
        raise VoiceError(
            f"voice {voice.name!r} has latents of {shapes[0]} and {shapes[1]} numbers, but the model "
            f"{parts.spec.name!r} needs {width} and {channels}: clone it with this model"
        )


def speak(
    parts: LoadedModels,
    request: Request,
    passage: Passage,
    seed: int,
    watch: Progress,
    kept: Unconditioned | None = None,
    more: bool = False,
) -> list[Tensor]:
    """The k best readings of one passage, best first, each (1, 1, L) float32 on the CPU.

    `kept`: what passages share; `more`: another one follows. Each part works on all readings before the next does.
    """
    pieces = passage.pieces()
    tokens, ends = parts.tokenizer.encode_parts([piece for piece, _ in pieces])
    work = decoding(parts, request, F.pad(tokens.ids, (0, 1)).to(parts.device), seed, watch)
    retry_without_idle_buffers = parts.workspaces.retry_without_idle_buffers
    with parts.use("autoregressive"):
        chosen = _candidates(parts, request, work, watch)
        parts.prepare("diffusion")
        taken = [
            retry_without_idle_buffers(partial(_latents, parts, request, work, candidate, pieces, ends, watch))
            for candidate in chosen
        ]
    if not chosen[0].finished and work.min_codes < work.max_codes:
        _log.warning(
            "no candidate of %r ended within %d codes, so its end may be cut off: draw more candidates "
            "(num_autoregressive_samples), raise max_mel_tokens or shorten the text",
            passage.text[:60],
            work.max_codes,
        )
    seeds = [mix_seed(seed, candidate.row) for candidate in chosen]
    with parts.use("diffusion"):
        parts.prepare("vocoder")
        mels = [
            retry_without_idle_buffers(partial(_mel, parts, request, latents, own, watch, kept))
            for (latents, _), own in zip(taken, seeds, strict=True)
        ]
    waves = retry_without_idle_buffers(partial(_waves, parts, mels, seeds, watch, more))
    return [redact(wave, spans, SAMPLE_RATE) if spans else wave for wave, (_, spans) in zip(waves, taken, strict=True)]


def decoding(parts: LoadedModels, request: Request, text: Tensor, seed: int, watch: Progress) -> DecodeRequest:
    """What to decode for a passage: text (1, T) ending in its one 0, one candidate for each that is asked for."""
    options, cfg = request.options, parts.spec.autoregressive
    rows, positions = options.num_autoregressive_samples, text.shape[1] + 3 + options.max_mel_tokens
    dtype = parts.dtype_of("autoregressive")
    fixed = use_cuda_graphs(parts.device) and not parts.offload  # captured steps know where the weights lay
    row = bytes_a_candidate(cfg, positions, torch.bfloat16 if parts.precision.weights else dtype, dtype)
    return DecodeRequest(
        speaker=request.voice.speaker.to(parts.device, dtype),
        text=text,
        generators=row_generators(seed, rows, _DECODE),
        max_codes=options.max_mel_tokens,
        min_codes=options.min_mel_tokens,
        options=token_options(options),
        calm_token=parts.spec.calm_token,
        batch_size=request.batch_size
        or pick_batch_size(row, parts.device, rows, reusable=parts.workspaces.idle_bytes, fixed=fixed),
        cached=request.kv_cache,
        on_step=partial(watch.step, "codes"),
        fixed=fixed,
        workspaces=parts.workspaces,
    )


def token_options(options: SpeechOptions) -> TokenOptions:
    """The part of `options` that drawing codes looks at."""
    return TokenOptions(
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        repetition_penalty=options.repetition_penalty,
    )


def _candidates(parts: LoadedModels, request: Request, work: DecodeRequest, watch: Progress) -> list[Candidate]:
    """The k best candidates; others are forgotten batch by batch."""
    kept: list[Candidate] = []
    seen = 0
    with ExitStack() as stack:
        used = {part: stack.enter_context(parts.use(part)) for part in ranking_parts(parts, request.options)}
        model = cast(Autoregressive, stack.enter_context(parts.use("autoregressive")))
        with watch.stage("ranking"):
            ranker = _ranker(parts, request, work, used)
        batches = stack.enter_context(closing(decode(model, work)))  # type: ignore[type-var]
        while seen < len(work.generators):
            with watch.stage("codes"):
                codes = next(batches)
            with watch.stage("ranking"):
                kept = best([*kept, *ranker.candidates(codes, seen)], request.k)
            seen += len(codes.ids)
    return kept


def _ranker(parts: LoadedModels, request: Request, work: DecodeRequest, used: Mapping[str, nn.Module]) -> Ranker:
    mels = None if request.mels is None else request.mels.to(parts.device, parts.dtype)
    return Ranker(
        cast("Clvp | None", used.get("clvp")),
        work.text,
        stop_token=parts.spec.autoregressive.stop_mel_token,
        calm_token=parts.spec.calm_token,
        pad_to=work.max_codes if parts.spec.name == PUBLIC else None,
        cvvp=cast("Cvvp | None", used.get("cvvp")),
        mels=mels,
        cvvp_amount=request.options.cvvp_amount,
    )


def _latents(
    parts: LoadedModels,
    request: Request,
    work: DecodeRequest,
    candidate: Candidate,
    pieces: Sequence[tuple[str, bool]],
    ends: Sequence[int],
    watch: Progress,
) -> tuple[Tensor, list[tuple[float, float | None]]]:
    """One candidate's latents (1, S, D), and the seconds of its sound that are to be cut."""
    hidden = [cut for _, cut in pieces]
    with watch.stage("latents"), parts.use("autoregressive") as module:
        model = cast(Autoregressive, module)
        latents = latents_of(model, work, candidate.codes, 0, request.options.calm_rule)
        if not any(hidden):
            return latents, []
        length = int(candidate.codes.lengths[0])
        path = text_path(model, work.speaker, work.text, candidate.codes.ids[:, :length])
    return latents, cut_spans(path, length, ends, hidden)


def _mel(
    parts: LoadedModels, request: Request, latents: Tensor, seed: int, watch: Progress, kept: Unconditioned | None
) -> Mel:
    conditioning = cast(Tensor, request.voice.diffusion).to(parts.device, parts.dtype)
    generator = torch.Generator().manual_seed(mix_seed(seed, _DENOISE))
    with watch.stage("diffusion") as step, parts.use("diffusion") as module:
        model = cast(Diffusion, module)
        return denoise(model, latents, conditioning, request.options, generator, on_step=step, unconditioned=kept)


def _waves(parts: LoadedModels, mels: Sequence[Mel], seeds: Sequence[int], watch: Progress, more: bool) -> list[Tensor]:
    """Mels to waveforms (1, 1, L) on the CPU."""
    generators = [torch.Generator().manual_seed(mix_seed(seed, _VOCODE)) for seed in seeds]
    with watch.stage("vocoder"), parts.use("vocoder") as module:
        if more:
            parts.prepare("autoregressive")
        return [audio.samples.cpu().clone() for audio in vocode_all(module, mels, generators)]
