"""`TextToSpeech`: load a voice model, speak texts.

tts = TextToSpeech()
wave = tts.tts("Hello there.", voice_samples="anna")       # (1, 1, samples) float32 at 24 kHz
for chunk in tts.tts_stream("A long text ..."): ...          # (samples,) each
"""

from __future__ import annotations

import importlib.util
import inspect
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tutortoietts.core.config import ModelSpec
from tutortoietts.core.errors import OptionError, TextError, VoiceError
from tutortoietts.core.paths import existing_folder, expanded
from tutortoietts.core.presets import PRESETS, SpeechOptions, known_names, preset_options, refuse_unknown
from tutortoietts.core.streaming import Streaming, refuse_unheard
from tutortoietts.engine.casting import Casting, Latents, VoiceSamples
from tutortoietts.engine.condition import reference_mels
from tutortoietts.engine.parts import Parts, Source, open_source
from tutortoietts.engine.pipeline import Request, check_options, check_speaker, check_voice
from tutortoietts.engine.precision import pick_precision
from tutortoietts.engine.progress import shown
from tutortoietts.engine.stream import decided, stream, whole
from tutortoietts.engine.watch import Report, Watch
from tutortoietts.text.brackets import Passage, parse_brackets
from tutortoietts.text.split import passages
from tutortoietts.voices.store import VoiceStore

__all__ = ["TextToSpeech"]

_CHARACTERS = 200  # about what is spoken at one go
_STREAM_CHARACTERS = 40  # sentences shorter than this are spoken with the next one
_CODES_A_CHARACTER = 3.0  # generous: slow speech has about two
_MOST_CODES = 500  # the originals' max_mel_tokens, unless the model has fewer

_log = logging.getLogger(__name__)


class _Replaceable:
    """An attribute that is one of the models: loaded when read first, replaced when set."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, tts: TextToSpeech, owner: type) -> Any:
        return self if tts is None else tts._parts.get(self.name)

    def __set__(self, tts: TextToSpeech, module: nn.Module) -> None:
        if not isinstance(module, nn.Module):
            raise OptionError(f"tts.{self.name} must be a torch.nn.Module, not a {type(module).__name__}")
        tts._parts.replace(self.name, module)


class TextToSpeech:
    """One voice model, ready to speak.

    model: "bundled", "tortoise-v2" (the public checkpoints, of `models_dir`, TORTOISE_MODELS_DIR, the caches or the
    network) or a directory with a model.json. device: None takes the fastest present. precision: "auto", "fp32",
    "bf16", "fp16", "int8" or "int4" (see `engine.precision`); vocoders stay in float32. half: short for "fp16", on a
    CPU "bf16". kv_cache False decodes by the slow oracle. use_deepspeed: where it does not apply, a
    warning is logged and our own decoding used. cpu_offload (or high_vram=False): models wait in the CPU's memory.
    autoregressive_batch_size: candidates decoded at once; None, as many as fit. enable_redaction: [bracketed] text is
    cut from the sound; without it, it is heard. vocoder: a public one in place of the model's own.
    tokenizer_vocab_file, tokenizer_basic: another vocabulary, and only lower-casing in place of the English cleaner.
    ar_, clvp_, diff_checkpoint: other weights of the same sizes.

    `autoregressive`, `diffusion`, `clvp`, `vocoder`, `stream_decoder` are loaded when first needed and may be replaced.
    `last_report` says how long the stages of the last call took. Calls from several threads do not disturb each other.
    Raises OptionError, ModelError, FetchError, all before any model is loaded.
    """

    autoregressive = _Replaceable()
    diffusion = _Replaceable()
    clvp = _Replaceable()
    cvvp = _Replaceable()
    vocoder = _Replaceable()
    stream_decoder = _Replaceable()

    def __init__(
        self,
        model: str | os.PathLike[str] | Source = "bundled",
        device: str | torch.device | None = None,
        half: bool = False,
        kv_cache: bool = True,
        use_deepspeed: bool = False,
        cpu_offload: bool = False,
        autoregressive_batch_size: int | None = None,
        models_dir: str | os.PathLike[str] | None = None,
        enable_redaction: bool = True,
        tokenizer_vocab_file: str | os.PathLike[str] | None = None,
        tokenizer_basic: bool = False,
        ar_checkpoint: str | os.PathLike[str] | None = None,
        clvp_checkpoint: str | os.PathLike[str] | None = None,
        diff_checkpoint: str | os.PathLike[str] | None = None,
        vocoder: str | None = None,
        high_vram: bool | None = None,
        precision: str = "auto",
    ) -> None:
        if high_vram and cpu_offload:
            raise OptionError("high_vram=True keeps models on the GPU and cpu_offload=True does not; give one of them")
        batch = autoregressive_batch_size
        if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
            raise OptionError(f"autoregressive_batch_size is {batch!r}, must be a whole number of at least 1")
        self.device = _device(device)
        self.half, self.kv_cache, self.use_deepspeed = half, kv_cache, use_deepspeed
        chosen = pick_precision(precision, half, self.device)
        self.precision = chosen.name
        self.cpu_offload = cpu_offload or high_vram is False
        self.autoregressive_batch_size = autoregressive_batch_size
        self.enable_redaction = enable_redaction
        self.last_report: Report | None = None
        overrides = {"autoregressive": ar_checkpoint, "clvp": clvp_checkpoint, "diffusion": diff_checkpoint}
        source = open_source(
            model,
            vocoder=vocoder,
            overrides=overrides,
            models_dir=None if models_dir is None else existing_folder(models_dir, "models_dir"),
            tokenizer_file=None if tokenizer_vocab_file is None else expanded(tokenizer_vocab_file),
            tokenizer_basic=tokenizer_basic,
        )
        self._parts = Parts(source, device=self.device, dtype=chosen, offload=self.cpu_offload)
        self._casting = Casting(self._parts)
        if use_deepspeed:
            _log.warning(_deepspeed_note(self.device))

    @property
    def model(self) -> str:
        """The id that voices made by this model carry."""
        return self._parts.source.model_id

    @property
    def spec(self) -> ModelSpec:
        """Which models it has, and their sizes."""
        return self._parts.spec

    @property
    def default_preset(self) -> str:
        """What `tts` uses where nothing is said."""
        return self._parts.spec.default_preset

    @property
    def presets(self) -> tuple[str, ...]:
        """The names `tts_with_preset` takes, the model's own first."""
        return tuple(dict.fromkeys((*self._parts.spec.presets, *PRESETS)))

    @property
    def voices(self) -> VoiceStore:
        """The voices that names reach: the user's and the model's own."""
        return self._casting.store

    @property
    def tokenizer(self) -> Any:
        """The model's `text.tokenizer.Tokenizer`."""
        return self._parts.tokenizer

    def tts(
        self,
        text: str,
        voice_samples: VoiceSamples | None = None,
        conditioning_latents: Latents | None = None,
        k: int = 1,
        verbose: bool = True,
        use_deterministic_seed: int | None = None,
        return_deterministic_state: bool = False,
        **options: Any,
    ) -> Any:
        """`text` as sound: (1, 1, samples) float32 at 24 kHz on the CPU; for k > 1 a list of k readings, best first.

        voice_samples: a voice's name ("anna", "anna+ben", "random"), a file, a clip (1, N) at 22 050 Hz, or a list of
        files and clips. conditioning_latents: what `get_conditioning_latents` gave. Neither: the model's own choice,
        or a random one. verbose: progress on stderr. use_deterministic_seed: the same seed gives the same sound.
        return_deterministic_state: (result, (seed, text, voice_samples, conditioning_latents)).
        options: those of `core.presets.SpeechOptions` (num_autoregressive_samples, temperature, top_p, sampler ...);
        what is not given comes from the model's default preset. Text of any length is split, spoken in parts, joined.
        Raises TypeError for an unknown option; OptionError, TextError, VoiceError, AudioError, ModelError before work.
        """
        self._refuse_unknown(options, self.tts)
        seed = _seed(use_deterministic_seed)
        request = self._request(
            text, voice_samples, conditioning_latents, self._options(None, options), seed, k, _CHARACTERS
        )
        watch = self._watch()
        with shown(watch, verbose):
            waves = whole(self._parts, request, watch)
        self._note(watch, request, waves[0].shape[-1])
        result = waves[0] if k == 1 else waves
        if return_deterministic_state:
            return result, (seed, text, voice_samples, conditioning_latents)
        return result

    def tts_with_preset(self, text: str, preset: str = "fast", **overrides: Any) -> Any:
        """`tts` with the options of a preset (`presets` has the names); `overrides`: further arguments of `tts`."""
        self._refuse_unknown(overrides, self.tts)
        chosen = self._options(preset, {name: overrides.pop(name) for name in known_names() if name in overrides})
        given = {name: getattr(chosen, name) for name in known_names()}
        return self.tts(text, **overrides, **given)

    def tts_stream(
        self,
        text: str,
        voice_samples: VoiceSamples | None = None,
        conditioning_latents: Latents | None = None,
        verbose: bool = False,
        use_deterministic_seed: int | None = None,
        preset: str | None = None,
        decoder: str = "auto",
        stream_chunk_size: int | None = None,
        stream_chunk_max: int | None = None,
        **options: Any,
    ) -> Iterator[Tensor]:
        """The sound in chunks (samples,) float32 at 24 kHz on the CPU, while more is being made.

        Arguments as `tts`, and a preset's name; one reading only. decoder: "stream" makes sound straight from the
        latents of one candidate while its codes are drawn; "diffusion" takes the whole pipeline, sentence by sentence,
        the next being made while one plays; "auto": "stream" where the model has such a decoder.
        Of "stream": stream_chunk_size codes (8) are drawn before the first sound and as many before the second chunk,
        later ones double up to stream_chunk_max codes (32). It draws one candidate and denoises nothing, whatever the
        preset says; options of ranking and diffusion that are given here are refused. Its codes are those of `tts`
        with one candidate and the same seed. Everything is checked before this returns. Closing the iterator ends the
        work within a step.
        """
        if options.pop("k", 1) != 1:
            raise OptionError("a stream has one reading: k must be 1 (tts returns several)")
        self._refuse_unknown(options, self.tts_stream)
        streaming = self._streaming(decoder, stream_chunk_size, stream_chunk_max)
        seed = _seed(use_deterministic_seed)
        speech = self._options(preset, options)
        live = streaming.decoder == "stream"
        if live:
            refuse_unheard(options, known_names())
            speech = replace(speech, num_autoregressive_samples=1, cvvp_amount=0.0)
        characters = _CHARACTERS if live else _STREAM_CHARACTERS
        request = self._request(text, voice_samples, conditioning_latents, speech, seed, 1, characters, live)
        return self._chunks(request, verbose, streaming)

    def _streaming(self, decoder: str, chunk_size: int | None, chunk_max: int | None) -> Streaming:
        given = {} if chunk_size is None else {"chunk_size": chunk_size}
        streaming = decided(self._parts, Streaming(decoder=decoder, chunk_max=chunk_max, **given))
        if streaming.decoder == "diffusion" and (given or chunk_max is not None):
            raise OptionError(
                "stream_chunk_size and stream_chunk_max are of the streaming decoder, but this stream comes by the "
                "whole pipeline, sentence by sentence: leave them out"
            )
        return streaming

    def get_conditioning_latents(
        self, voice_samples: VoiceSamples, return_mels: bool = False, latent_averaging_mode: int = 0
    ) -> Any:
        """What makes a voice: (speaker latent (1, D), diffusion latent (1, 2C)), float32 on the CPU.

        voice_samples as in `tts`. return_mels: also the mels (1, clips, 80, T) that the first was computed from.
        """
        voice, clips = self._casting.voice(voice_samples, None, mode=latent_averaging_mode, want_clips=return_mels)
        latents = (voice.speaker, voice.diffusion)
        if not return_mels:
            return latents
        if not clips:
            raise OptionError(f"voice {voice.name!r} has no clips, so there are no mels to return")
        return (*latents, reference_mels(self._parts, clips))

    def get_random_conditioning_latents(self, seed: int | None = None) -> tuple[Tensor, Tensor]:
        """A voice nobody has: from the public random-voice models, or a random mix of the model's own voices."""
        voice = self._casting.random(_seed(seed))
        if voice.diffusion is None:
            raise VoiceError("the model's voices can only be streamed; they have no diffusion latents")
        return voice.speaker, voice.diffusion

    def _refuse_unknown(self, given: dict[str, Any], method: Any) -> None:
        own = [name for name in inspect.signature(method).parameters if name not in ("text", "options")]
        refuse_unknown(given, (*own, *known_names()))

    def _options(self, preset: str | None, given: dict[str, Any]) -> SpeechOptions:
        spec = self._parts.spec
        options = preset_options(preset or spec.default_preset, given, own=spec.presets)
        if "max_mel_tokens" in given:
            return options
        return replace(options, max_mel_tokens=min(options.max_mel_tokens, spec.autoregressive.max_mel_tokens))

    def _request(
        self,
        text: str,
        voice_samples: VoiceSamples | None,
        latents: Latents | None,
        options: SpeechOptions,
        seed: int,
        k: int,
        characters: int,
        live: bool = False,
    ) -> Request:
        check_options(self._parts, options, k)
        pieces = self._passages(text, characters)
        wanted, mode = options.cvvp_amount > 0, options.latent_averaging_mode
        voice, clips = self._casting.voice(voice_samples, latents, mode=mode, seed=seed, want_clips=wanted)
        (check_speaker if live else check_voice)(self._parts, voice)
        return Request(
            passages=pieces,
            voice=voice,
            options=options,
            seed=seed,
            k=k,
            mels=reference_mels(self._parts, clips) if clips and wanted else None,
            kv_cache=self.kv_cache,
            batch_size=self.autoregressive_batch_size,
        )

    def _passages(self, text: str, characters: int) -> tuple[Passage, ...]:
        """The text in parts; those of which nothing would be heard are left out."""
        if not isinstance(text, str):
            raise TextError(f"text is a {type(text).__name__}, must be a str")
        if self.enable_redaction:
            passage = parse_brackets(text)
        else:
            passage = Passage(text=text.translate({ord("["): None, ord("]"): None}))
        tokenizer = self._parts.tokenizer
        longest = int(self._parts.spec.autoregressive.max_mel_tokens / _CODES_A_CHARACTER)
        desired = max(1, min(characters, longest))
        most = max(desired, min(_CHARACTERS, longest)) * 3 // 2
        pieces = passages(
            passage, desired_length=desired, max_length=most, count=tokenizer.count, limit=tokenizer.limit
        )
        return tuple(piece for piece in pieces if not all(hidden for _, hidden in piece.pieces()))

    def _chunks(self, request: Request, verbose: bool, streaming: Streaming) -> Iterator[Tensor]:
        watch, samples = self._watch(), 0
        chunks = stream(self._parts, request, watch, streaming)
        with shown(watch, verbose), closing(chunks):  # type: ignore[type-var]
            for chunk in chunks:
                samples += chunk.shape[-1]
                yield chunk
        self._note(watch, request, samples)

    def _watch(self) -> Watch:
        return Watch(settle=partial(torch.cuda.synchronize, self.device) if self.device.type == "cuda" else None)

    def _note(self, watch: Watch, request: Request, samples: int) -> None:
        self.last_report = Report(
            stages=watch.stages,
            audio_seconds=samples / 24000,
            parts=len(request.passages),
            candidates=request.options.num_autoregressive_samples,
            seed=request.seed,
        )


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        wanted = torch.device(device)
        torch.zeros(1, device=wanted).cpu()  # not on "meta", which has no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0]
        raise OptionError(
            f"device {str(device)!r} cannot be used here ({reason}); leave it out, or give 'cpu'"
        ) from None
    return wanted


def _seed(given: int | None) -> int:
    if given is None:
        return secrets.randbits(31)
    if isinstance(given, bool) or not isinstance(given, int):
        raise OptionError(f"use_deterministic_seed is {given!r}, must be a whole number")
    return given


def _deepspeed_note(device: torch.device) -> str:
    if importlib.util.find_spec("deepspeed") is None:
        lacking = "the deepspeed package is not installed"
    elif device.type != "cuda":
        lacking = f"it needs a CUDA GPU and this is {device}"
    else:
        lacking = "its kernels are not wired in yet"
    return f"use_deepspeed: {lacking}; using our own cached decoding"
