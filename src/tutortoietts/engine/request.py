"""What a caller asks for, checked before any work: texts to passages, presets to options, all of it to a Request."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tutortoietts.core.errors import OptionError, TextError
from tutortoietts.core.presets import SpeechOptions, known_names, preset_options
from tutortoietts.core.streaming import Streaming, refuse_unheard
from tutortoietts.engine.conditioning import reference_mels
from tutortoietts.engine.pipeline import Request, check_options, check_speaker, check_voice
from tutortoietts.engine.streaming.stream import decided
from tutortoietts.engine.voice_resolver import Latents, VoiceResolver, VoiceSamples
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.text.brackets import Passage, parse_brackets
from tutortoietts.text.split import passages

__all__ = ["Asked", "options_of", "request_of", "seed_of", "streaming_of"]

_CHARACTERS = 200  # about what is spoken at one go
_STREAM_CHARACTERS = 40  # clauses shorter than this are spoken with the next one
_CODES_A_CHARACTER = 3.0  # generous: slow speech has about two


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """The arguments of a call that one reading or stream is made from; `streaming` None: the whole at once."""

    text: str
    voice_samples: VoiceSamples | None
    latents: Latents | None
    options: SpeechOptions
    seed: int
    k: int = 1
    streaming: Streaming | None = None


def request_of(
    parts: LoadedModels,
    casting: VoiceResolver,
    asked: Asked,
    *,
    kv_cache: bool,
    batch_size: int | None,
    redaction: bool,
) -> Request:
    """Raises OptionError, TextError, VoiceError, AudioError, ModelError unless this model can do what is asked."""
    options, streaming = asked.options, asked.streaming
    live = streaming is not None and streaming.decoder == "stream"
    check_options(parts, options, asked.k)
    pieces = _passages(parts, asked.text, redaction, clauses=streaming is not None and not live)
    wanted = options.cvvp_amount > 0
    voice, clips = casting.voice(
        asked.voice_samples,
        asked.latents,
        mode=options.latent_averaging_mode,
        seed=asked.seed,
        want_clips=wanted,
    )
    (check_speaker if live else check_voice)(parts, voice)
    return Request(
        passages=pieces,
        voice=voice,
        options=options,
        seed=asked.seed,
        k=asked.k,
        mels=reference_mels(parts, clips) if clips and wanted else None,
        kv_cache=kv_cache,
        batch_size=batch_size,
    )


def options_of(
    parts: LoadedModels, preset: str | None, given: Mapping[str, Any], streaming: Streaming | None = None
) -> SpeechOptions:
    """`given` over the preset, or over the model's default one; no more codes than the model can.

    From latents a stream has one candidate whatever the preset says; what is given for ranking or diffusion is refused.
    """
    spec = parts.spec
    options = preset_options(spec.default_preset if preset is None else preset, given, own=spec.presets)
    if "max_mel_tokens" not in given:
        options = replace(options, max_mel_tokens=min(options.max_mel_tokens, spec.autoregressive.max_mel_tokens))
    if streaming is None or streaming.decoder != "stream":
        return options
    refuse_unheard(given, known_names())
    return replace(options, num_autoregressive_samples=1, cvvp_amount=0.0)


def streaming_of(parts: LoadedModels, decoder: str, chunk_size: int | None, chunk_max: int | None) -> Streaming:
    """How to stream; None leaves a default. Raises OptionError for what the model or the decoder cannot do."""
    given = {} if chunk_size is None else {"chunk_size": chunk_size}
    streaming = decided(parts, Streaming(decoder=decoder, chunk_max=chunk_max, **given))
    if streaming.decoder == "diffusion" and (given or chunk_max is not None):
        raise OptionError(
            "stream_chunk_size and stream_chunk_max are of the streaming decoder, but this stream comes by the "
            "whole pipeline, clause by clause: leave them out"
        )
    return streaming


def seed_of(given: int | None) -> int:
    """The seed given, or one by chance. Raises OptionError for what is no whole number."""
    if given is None:
        return secrets.randbits(31)
    if isinstance(given, bool) or not isinstance(given, int):
        raise OptionError(f"use_deterministic_seed is {given!r}, must be a whole number")
    return given


def _passages(parts: LoadedModels, text: str, redaction: bool, *, clauses: bool) -> tuple[Passage, ...]:
    """The text in parts, or in clauses; those of which nothing would be heard are left out."""
    if not isinstance(text, str):
        raise TextError(f"text is a {type(text).__name__}, must be a str")
    if redaction:
        passage = parse_brackets(text)
    else:
        passage = Passage(text=text.translate({ord("["): None, ord("]"): None}))
    tokenizer = parts.tokenizer
    longest = int(parts.spec.autoregressive.max_mel_tokens / _CODES_A_CHARACTER)
    desired = max(1, min(_STREAM_CHARACTERS if clauses else _CHARACTERS, longest))
    pieces = passages(
        passage,
        desired_length=desired,
        max_length=max(desired, min(_CHARACTERS, longest)) * 3 // 2,
        count=tokenizer.count,
        limit=tokenizer.limit,
        clauses=clauses,
    )
    return tuple(piece for piece in pieces if not all(hidden for _, hidden in piece.pieces()))
