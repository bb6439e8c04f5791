"""`TextToSpeech`: load a voice model, speak texts.

tts = TextToSpeech()
wave = tts.tts("Hello there.", voice_samples="anna")       # (1, 1, samples) float32 at 24 kHz
for chunk in tts.tts_stream("A long text ..."): ...          # (samples,) each
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import torch
from torch import Tensor, nn

from tutortoietts.core.config import ModelSpec
from tutortoietts.core.errors import OptionError, VoiceError
from tutortoietts.core.paths import existing_folder, expanded
from tutortoietts.core.presets import PRESETS, SpeechOptions, known_names, refuse_unknown
from tutortoietts.core.streaming import Streaming
from tutortoietts.engine.pipeline import SAMPLE_RATE, Request
from tutortoietts.engine.progress import Progress, Report
from tutortoietts.engine.progress_bar import shown
from tutortoietts.engine.request import Asked, options_of, request_of, seed_of, streaming_of
from tutortoietts.engine.streaming.stream import stream, whole
from tutortoietts.engine.voice_resolver import Latents, VoiceResolver, VoiceSamples
from tutortoietts.runtime.device import deepspeed_note, pick_device, synchronizer
from tutortoietts.runtime.memory import returning_memory
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.runtime.precision import pick_precision
from tutortoietts.runtime.source import ModelSource, open_source
from tutortoietts.voices.store import VoiceStore

__all__ = ["TextToSpeech"]

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
    "bf16", "fp16", "int8" or "int4" (see `runtime.precision`); vocoders stay in float32. half: short for "fp16", on a
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
        model: str | os.PathLike[str] | ModelSource = "bundled",
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
        self.device = pick_device(device)
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
        self._parts = LoadedModels(source, device=self.device, dtype=chosen, offload=self.cpu_offload)
        self._resolver = VoiceResolver(self._parts)
        if use_deepspeed:
            _log.warning(deepspeed_note(self.device))

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
        return self._resolver.store

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
        speech = options_of(self._parts, None, options)
        how = (k, verbose, use_deterministic_seed, return_deterministic_state)
        return self._whole(speech, text, voice_samples, conditioning_latents, *how)

    def tts_with_preset(self, text: str, preset: str = "fast", **overrides: Any) -> Any:
        """`tts` with the options of a preset (`presets` has the names); `overrides`: further arguments of `tts`."""
        self._refuse_unknown(overrides, self.tts)
        tuned = {name: overrides.pop(name) for name in known_names() if name in overrides}
        return self._whole(options_of(self._parts, preset, tuned), text, **overrides)

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
        latents of one candidate while its codes are drawn; "diffusion" takes the whole pipeline, clause by clause,
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
        streaming = streaming_of(self._parts, decoder, stream_chunk_size, stream_chunk_max)
        asked = Asked(
            text=text,
            voice_samples=voice_samples,
            latents=conditioning_latents,
            options=options_of(self._parts, preset, options, streaming),
            seed=seed_of(use_deterministic_seed),
            streaming=streaming,
        )
        return self._chunks(self._request(asked), verbose, streaming)

    def get_conditioning_latents(
        self, voice_samples: VoiceSamples, return_mels: bool = False, latent_averaging_mode: int = 0
    ) -> Any:
        """What makes a voice: (speaker latent (1, D), diffusion latent (1, 2C)), float32 on the CPU.

        voice_samples as in `tts`. return_mels: also the mels (1, clips, 80, T) that the first was computed from.
        """
        return self._resolver.latents(voice_samples, mode=latent_averaging_mode, mels=return_mels)

    def get_random_conditioning_latents(self, seed: int | None = None) -> tuple[Tensor, Tensor]:
        """A voice nobody has: from the public random-voice models, or a random mix of the model's own voices."""
        voice = self._resolver.random(seed_of(seed))
        if voice.diffusion is None:
            raise VoiceError("the model's voices can only be streamed; they have no diffusion latents")
        return voice.speaker, voice.diffusion

    def _whole(
        self,
        speech: SpeechOptions,
        text: str,
        voice_samples: VoiceSamples | None = None,
        conditioning_latents: Latents | None = None,
        k: int = 1,
        verbose: bool = True,
        use_deterministic_seed: int | None = None,
        return_deterministic_state: bool = False,
    ) -> Any:
        """`tts` once its options are known."""
        seed = seed_of(use_deterministic_seed)
        asked = Asked(
            text=text, voice_samples=voice_samples, latents=conditioning_latents, options=speech, seed=seed, k=k
        )
        request = self._request(asked)
        watch = self._watch()
        with returning_memory(self.device), shown(watch, verbose):
            waves = whole(self._parts, request, watch)
        self._note(watch, request, waves[0].shape[-1])
        result = waves[0] if k == 1 else waves
        if return_deterministic_state:
            return result, (seed, text, voice_samples, conditioning_latents)
        return result

    def _refuse_unknown(self, given: dict[str, Any], method: Any) -> None:
        own = [name for name in inspect.signature(method).parameters if name not in ("text", "options")]
        refuse_unknown(given, (*own, *known_names()))

    def _request(self, asked: Asked) -> Request:
        return request_of(
            self._parts,
            self._resolver,
            asked,
            kv_cache=self.kv_cache,
            batch_size=self.autoregressive_batch_size,
            redaction=self.enable_redaction,
        )

    def _chunks(self, request: Request, verbose: bool, streaming: Streaming) -> Iterator[Tensor]:
        watch, samples = self._watch(), 0
        chunks = stream(self._parts, request, watch, streaming)
        with returning_memory(self.device), shown(watch, verbose), closing(chunks):  # type: ignore[type-var]
            for chunk in chunks:
                samples += chunk.shape[-1]
                yield chunk
        self._note(watch, request, samples)

    def _watch(self) -> Progress:
        return Progress(settle=synchronizer(self.device))

    def _note(self, watch: Progress, request: Request, samples: int) -> None:
        self.last_report = Report(
            stages=watch.stages,
            audio_seconds=samples / SAMPLE_RATE,
            parts=len(request.passages),
            candidates=request.options.num_autoregressive_samples,
            seed=request.seed,
        )
