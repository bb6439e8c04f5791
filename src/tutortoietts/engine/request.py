"""One call of the engine, checked once: what to say, in which voice, and how."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from tutortoietts.core.config import ModelSpec, StreamVocosConfig
from tutortoietts.core.errors import OptionError
from tutortoietts.core.options import plain_number
from tutortoietts.core.presets import SpeechOptions, known_names, preset_options
from tutortoietts.core.spec_xtts import XttsSpec
from tutortoietts.core.streaming import Streaming, refuse_unheard
from tutortoietts.core.types import Voice
from tutortoietts.engine.families import Family, family_of
from tutortoietts.engine.voice_resolver import Latents, VoiceResolver, VoiceSamples
from tutortoietts.models.vocos import Vocos
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.text.brackets import Passage
from tutortoietts.text.detect import detect_language
from tutortoietts.text.languages import find_language
from tutortoietts.text.say_as import spoken_passages

__all__ = ["Request", "is_own_vocoder", "resolve_options", "resolve_seed", "resolve_streaming"]

_CHARACTERS = 200  # about what is spoken in one go
_STREAM_CHARACTERS = 40  # clauses shorter than this are spoken together with the next one
_CODES_PER_CHARACTER = 3.0  # generous: slow speech has about two


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Request:
    """A checked call. `build` makes it; later code trusts it.

    text: as written. passages: spoken one by one, each from a seed made of `seed`. k: number of results,
    best first. mels (1, clips, 80, T): reference clips for CVVP. streaming: how to stream; None: the whole at once.
    kv_cache False decodes by the slow reference. batch_size None: as many candidates at once as fit.
    seeded: the caller named the seed, so that the same speech can be requested again.
    """

    family: Family
    text: str
    passages: tuple[Passage, ...]
    voice: Voice
    options: SpeechOptions
    seed: int
    k: int = 1
    mels: Tensor | None = None
    streaming: Streaming | None = None
    kv_cache: bool = True
    batch_size: int | None = None
    normalize: bool = True
    language: str = "en"
    seeded: bool = True

    @classmethod
    def build(
        cls,
        models: LoadedModels,
        voices: VoiceResolver,
        text: str,
        *,
        options: SpeechOptions,
        voice_samples: VoiceSamples | None = None,
        latents: Latents | None = None,
        seed: int = 0,
        k: int = 1,
        streaming: Streaming | None = None,
        kv_cache: bool = True,
        batch_size: int | None = None,
        redaction: bool = True,
        normalize: bool = True,
        language: str = "en",
        seeded: bool = True,
    ) -> Request:
        """Check everything and resolve the voice.

        options: as `resolve_options` gives them. redaction: [bracketed] text is hidden. normalize: numbers, symbols and
        abbreviations are put into words of the `language` ("auto": it is found from the text); without it the text is
        left to the model's cleaner.

        Raise OptionError, TextError, VoiceError, AudioError, ModelError unless this model can do it.
        """
        k = plain_number(k, integer=True)
        family = voices.family
        from_latents, language = _from_latents(family, streaming), _known(language, family, models.spec.name, text)
        _check_options(models, options, k)
        clauses = streaming is not None and not from_latents
        pieces = _passages(models, text, redaction, normalize, language, clauses=clauses)
        if options.speed_rule == "latents" and any(hidden for piece in pieces for _, hidden in piece.pieces()):
            raise OptionError('speed_rule is "latents", which cannot cut [bracketed] text: leave one of them out')
        compares_clips = options.cvvp_amount > 0
        voice, clips = voices.voice(
            voice_samples, latents, mode=options.latent_averaging_mode, seed=seed, want_clips=compares_clips
        )
        family.check_voice(models, voice, streamed=from_latents)
        return cls(
            family=family,
            text=text,
            passages=pieces,
            voice=voice,
            options=options,
            seed=seed,
            k=k,
            mels=_reference_mels(family, models, clips, options.cvvp_amount) if compares_clips else None,
            streaming=streaming,
            kv_cache=kv_cache,
            batch_size=batch_size,
            normalize=normalize,
            language=language,
            seeded=seeded,
        )

    @property
    def from_latents(self) -> bool:
        """True if sound is made straight from the latents, without ranking and diffusion."""
        return _from_latents(self.family, self.streaming)


def _from_latents(family: Family, streaming: Streaming | None) -> bool:
    return "denoise" not in family.stages or (streaming is not None and streaming.decoder == "stream")


def resolve_options(
    spec: ModelSpec | XttsSpec, preset: str | None, given: Mapping[str, Any], streaming: Streaming | None = None
) -> SpeechOptions:
    """Return the options `given` on top of a preset, None for the model's default one.

    At most as many codes as the model can draw. A stream from latents has one candidate whatever the preset says.
    Raise OptionError for a bad value, an unknown preset, and options that a stream from latents cannot honour.
    """
    options = preset_options(spec.default_preset if preset is None else preset, given, own=spec.presets)
    if "max_mel_tokens" not in given:
        options = replace(options, max_mel_tokens=min(options.max_mel_tokens, spec.autoregressive.max_mel_tokens))
    _refuse_idle(spec, options, given, streaming)
    if not _from_latents(family_of(spec), streaming):
        return options
    refuse_unheard(given, known_names())
    return replace(options, num_autoregressive_samples=1, cvvp_amount=0.0)


def _refuse_idle(
    spec: ModelSpec | XttsSpec, options: SpeechOptions, given: Mapping[str, Any], streaming: Streaming | None
) -> None:
    """Raise OptionError for options of redraws and speed that this model, or a stream of it, cannot honour."""
    family = family_of(spec)
    if options.redraws and "rerank" in family.stages:
        raise OptionError(
            f"redraws is {options.redraws}, but the model {spec.name!r} ranks candidates instead: leave it out, and "
            "raise num_autoregressive_samples"
        )
    if given.get("redraws") and streaming is not None:
        raise OptionError(f"redraws is {given['redraws']}, but a stream cannot take back what was heard: leave it out")
    if options.speed_rule == "latents" and not _from_latents(family, streaming):
        raise OptionError(
            'speed_rule is "latents", but this sound is made by diffusion, not straight from the latents: leave it out'
        )


def resolve_streaming(
    models: LoadedModels, decoder: str = "auto", chunk_size: int | None = None, chunk_max: int | None = None
) -> Streaming:
    """Return how to stream, with "auto" replaced by what this model can do; None leaves a default.

    Raise OptionError for a decoder that the model does not have, and for chunk sizes that "diffusion" cannot honour.
    """
    given = {} if chunk_size is None else {"chunk_size": chunk_size}
    streaming = Streaming(decoder=decoder, chunk_max=chunk_max, **given)
    if decoder == "diffusion" and "denoise" not in family_of(models.spec).stages:
        raise OptionError(f'decoder is "diffusion", but the model {models.spec.name!r} has no diffusion: leave it out')
    if decoder != "diffusion":
        lacking = _lacks_stream_decoder(models)
        if decoder == "stream" and lacking:
            raise OptionError(f'decoder is "stream", but {lacking}: give decoder="diffusion" or leave it out')
        streaming = replace(streaming, decoder="diffusion" if lacking else "stream")
    if streaming.decoder == "diffusion" and (given or chunk_max is not None):
        raise OptionError(
            'stream_chunk_size and stream_chunk_max apply only to decoder="stream"; this stream uses '
            'decoder="diffusion": remove them'
        )
    return streaming


def _lacks_stream_decoder(models: LoadedModels) -> str | None:
    """Return why this model cannot stream from latents, or None."""
    if not models.has("stream_decoder"):
        return f"the model {models.spec.name!r} has no streaming decoder"
    if isinstance(models.spec.stream_decoder, StreamVocosConfig):
        given = models.source.vocoder
        if given is not None or not is_own_vocoder(models.get("vocoder")):
            what = "another module" if given is None else f"vocoder={given!r}"
            return f"{what} takes the place of the vocoder that the streaming decoder works with"
    return None


def is_own_vocoder(module: object) -> bool:
    """Return whether a module is a Vocos, possibly compiled, as a `StreamFront` needs."""
    return isinstance(getattr(module, "_orig_mod", module), Vocos)


def resolve_seed(given: int | None, name: str = "use_deterministic_seed") -> int:
    """Return the given seed, or a random one. Raise OptionError naming the argument unless it is an integer."""
    if given is None:
        return secrets.randbits(31)
    given = plain_number(given, integer=True)
    if isinstance(given, bool) or not isinstance(given, int):
        raise OptionError(f"{name} is {given!r}, must be an integer")
    return given


def _check_options(models: LoadedModels, options: SpeechOptions, k: int) -> None:
    candidates, longest = options.num_autoregressive_samples, models.spec.autoregressive.max_mel_tokens
    if isinstance(k, bool) or not isinstance(k, int):
        raise OptionError(f"k is {k!r}, must be an integer")
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
        models.source.config("cvvp")
    if options.diffusion_start == "streamed" and not isinstance(models.spec.stream_decoder, StreamVocosConfig):
        raise OptionError(
            f'diffusion_start is "streamed", but the model {models.spec.name!r} has no small streaming decoder: '
            'give "noise" or "regressed"'
        )


def _reference_mels(family: Family, models: LoadedModels, clips: list[Tensor], amount: float) -> Tensor:
    if not clips:
        raise OptionError(
            f"cvvp_amount is {amount:g}, but CVVP compares with reference clips: "
            "give voice_samples that are clips, or cvvp_amount=0"
        )
    return family.reference_mels(models, clips)


def _known(language: str, family: Family, model: str, text: str) -> str:
    """Return the tag of a language as the family writes it; "auto": that of the text."""
    tags = {tag.lower(): tag for tag in family.languages}
    asked = language.strip().lower().replace("_", "-") if isinstance(language, str) else ""
    if asked == "auto" and isinstance(text, str):
        asked = language = detect_language(text)
    if asked not in tags:
        known = ", ".join(family.languages)
        raise OptionError(f"language is {language!r}, but the model {model!r} speaks {known}: use one of these")
    return tags[asked]


def _passages(
    models: LoadedModels,
    text: str,
    redaction: bool,
    normalize: bool,
    language: str,
    *,
    clauses: bool,
) -> tuple[Passage, ...]:
    """Split the text into passages, or into clauses; those of which nothing would be heard are left out."""
    tokenizer = models.tokenizer_for(language, spoken=normalize)
    longest = int(models.spec.autoregressive.max_mel_tokens / _CODES_PER_CHARACTER)
    spoken_well = find_language(language).longest
    longest = min(longest, spoken_well or longest)
    desired = max(1, min(_STREAM_CHARACTERS if clauses else _CHARACTERS, longest))
    most = max(desired, min(_CHARACTERS, longest)) * 3 // 2
    pieces = spoken_passages(
        text,
        language=language,
        normalize=normalize,
        redaction=redaction,
        desired_length=desired,
        max_length=min(most, max(desired, spoken_well or most)),
        count=tokenizer.count,
        limit=tokenizer.limit,
        clauses=clauses,
    )
    return tuple(pieces)
