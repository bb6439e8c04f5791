"""`TextToSpeech`: load a voice model, speak texts.

tts = TextToSpeech()
speech = tts.speak("Hello there.", voice="anna")            # Speech: samples, sample_rate, words, save(path)
for chunk in tts.stream("A long text ..."): ...              # (samples,) float32 each
"""

from __future__ import annotations

import inspect
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tutortoietts.core.config import ModelSpec
from tutortoietts.core.errors import OptionError, VoiceError
from tutortoietts.core.options import SpeechOptionsDict
from tutortoietts.core.paths import existing_folder, expanded
from tutortoietts.core.presets import PRESETS, known_names, refuse_unknown
from tutortoietts.core.streaming import Streaming
from tutortoietts.core.types import Voice
from tutortoietts.engine.decoding.scheduler import SharedBatch
from tutortoietts.engine.decoding.workspace import Workspaces
from tutortoietts.engine.pipeline import Pipeline, Placed
from tutortoietts.engine.progress import Progress, Report, show_progress
from tutortoietts.engine.request import Request, resolve_options, resolve_seed, resolve_streaming
from tutortoietts.engine.speech import Speech, SpeechStream
from tutortoietts.engine.streaming.stream import stream
from tutortoietts.engine.voice_resolver import Latents, VoiceResolver, VoiceSamples
from tutortoietts.engine.words import find_words
from tutortoietts.runtime.device import deepspeed_note, pick_device
from tutortoietts.runtime.memory import returning_memory
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.runtime.precision import pick_precision
from tutortoietts.runtime.source import PUBLIC, ModelSource, open_source
from tutortoietts.text.say_as import SaidAs, said_as
from tutortoietts.voices.store import VoiceStore

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Speech", "SpeechStream", "TextToSpeech"]

_log = logging.getLogger(__name__)


class _Replaceable:
    """An attribute that is one of the components: loaded when first read, replaced when set."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, tts: TextToSpeech, owner: type) -> Any:
        return self if tts is None else tts._models.get(self.name)

    def __set__(self, tts: TextToSpeech, module: nn.Module) -> None:
        if not isinstance(module, nn.Module):
            raise OptionError(f"tts.{self.name} must be a torch.nn.Module, not a {type(module).__name__}")
        tts._models.replace(self.name, module)


class TextToSpeech:
    """One voice model, ready to speak.

    model: "bundled", "tortoise-v2" (the public checkpoints, from `models_dir`, TORTOISE_MODELS_DIR, the caches or the
        network) or a directory with a model.json.
    device: a torch device; None takes the fastest present.
    precision: "auto", "fp32", "bf16", "fp16", "int8" or "int4" (see `runtime.precision`). Vocoders stay in float32.
    half: short for precision="fp16", on a CPU "bf16".
    kv_cache: False decodes without a cache, as the slow reference.
    use_deepspeed: accepted for compatibility; logs a warning and has no effect.
    cpu_offload: keep models in CPU memory and copy each to the GPU while it works. high_vram=False: the same.
    autoregressive_batch_size: candidates decoded at once; None: as many as fit in memory.
    models_dir: folder of public checkpoints that is searched first.
    enable_redaction: cut [bracketed] text from the sound; False: it is heard.
    tokenizer_vocab_file: another vocabulary. tokenizer_basic: only lower-case the text instead of cleaning English.
    ar_checkpoint, clvp_checkpoint, diff_checkpoint: other weights of the same sizes.
    vocoder: a public vocoder in place of the model's own.
    shared_batch_rows: calls from several threads decode together in one batch of this many rows; None: each for itself.
        On a CPU with compiled kernels a seed gives the same sound either way.

    `autoregressive`, `diffusion`, `clvp`, `vocoder`, `stream_decoder` are loaded when first needed and may be replaced.
    Calls from several threads do not disturb each other. Raise OptionError, ModelError, FetchError, all before any
    model is loaded.
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
        shared_batch_rows: int | None = None,
    ) -> None:
        if high_vram and cpu_offload:
            raise OptionError("high_vram=True keeps models on the GPU and cpu_offload=True does not; give one of them")
        batch = autoregressive_batch_size
        if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
            raise OptionError(f"autoregressive_batch_size is {batch!r}, must be an integer of at least 1")
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
        self._models = LoadedModels(source, device=self.device, dtype=chosen, offload=self.cpu_offload)
        self._voices, self._workspaces = VoiceResolver(self._models), Workspaces()
        self._shared_batch = _shared_batch(shared_batch_rows, self.cpu_offload)
        if use_deepspeed:
            _log.warning(deepspeed_note(self.device))

    @property
    def model(self) -> str:
        """Id that voices made by this model carry."""
        return self._models.source.model_id

    @property
    def spec(self) -> ModelSpec:
        """Specification of the model: its components and their sizes."""
        return self._models.spec

    @property
    def sample_rate(self) -> int:
        """Samples a second of all sound this model makes."""
        return self._voices.family.sample_rate

    @property
    def default_preset(self) -> str:
        """Name of the preset used where none is given."""
        return self.spec.default_preset

    @property
    def presets(self) -> tuple[str, ...]:
        """Names of the presets, the model's own first."""
        return tuple(dict.fromkeys((*self.spec.presets, *PRESETS)))

    @property
    def voices(self) -> VoiceStore:
        """Store of the voices that names reach: the user's and the model's own."""
        return self._voices.store

    @property
    def tokenizer(self) -> Any:
        """The model's `text.tokenizer.Tokenizer`."""
        return self._models.tokenizer

    def speak(
        self,
        text: str,
        *,
        voice: VoiceSamples | Voice | None = None,
        preset: str | None = None,
        seed: int | None = None,
        normalize: bool | None = None,
        language: str = "en",
        verbose: bool = False,
        stop: threading.Event | None = None,
        **options: Unpack[SpeechOptionsDict],
    ) -> Speech:
        """Speak `text` of any length.

        voice: a name ("anna"), a mix ("anna+ben"), "random", a sound file, a clip (1, N) at 22 050 Hz, a list of files
            and clips, or a `Voice`; None: the model's default voice.
        preset: one of `presets`; None: the model's default preset.
        seed: the same seed gives the same sound; None: a random one, which the result tells.
        normalize: put numbers, symbols and abbreviations into the words a person would say, before the model's own
            cleaner; None: where that cleaner is English.
        language: "en" (dates as in the US), "en-US" or "en-GB".
        verbose: show progress on stderr.
        stop: an event that ends the work with Cancelled within a step once it is set.
        options: fields of `core.presets.SpeechOptions`, on top of the preset.

        Raise TypeError for an unknown option; OptionError, TextError, VoiceError, AudioError, ModelError before work.
        """
        (speech,) = self.speak_candidates(
            text,
            1,
            voice=voice,
            preset=preset,
            seed=seed,
            normalize=normalize,
            language=language,
            verbose=verbose,
            stop=stop,
            **options,
        )
        return speech

    def speak_candidates(
        self,
        text: str,
        k: int,
        *,
        voice: VoiceSamples | Voice | None = None,
        preset: str | None = None,
        seed: int | None = None,
        normalize: bool | None = None,
        language: str = "en",
        verbose: bool = False,
        stop: threading.Event | None = None,
        **options: Unpack[SpeechOptionsDict],
    ) -> list[Speech]:
        """Speak `text` and return the k best results, best first; arguments as in `speak`."""
        refuse_unknown(options, _names_of(self.speak))
        samples, latents = _samples_or_latents(voice)
        request = self._request(
            text,
            samples,
            latents,
            preset=preset,
            given=options,
            seed=resolve_seed(seed, "seed"),
            k=k,
            normalize=normalize,
            language=language,
        )
        return self._speak(request, verbose, stop)

    def stream(
        self,
        text: str,
        *,
        voice: VoiceSamples | Voice | None = None,
        preset: str | None = None,
        seed: int | None = None,
        normalize: bool | None = None,
        language: str = "en",
        verbose: bool = False,
        stop: threading.Event | None = None,
        decoder: str = "auto",
        stream_chunk_size: int | None = None,
        stream_chunk_max: int | None = None,
        **options: Unpack[SpeechOptionsDict],
    ) -> SpeechStream:
        """Speak `text` in chunks, while more is being made. Arguments as in `speak`, and:

        decoder: "stream" makes sound straight from the latents of one candidate while its codes are drawn;
            "diffusion" takes the whole pipeline, clause by clause, the next being made while one plays; "auto" takes
            "stream" where the model has such a decoder.
        stream_chunk_size: codes drawn before the first sound, and as many before the second chunk (default 8).
        stream_chunk_max: codes that later, doubling chunks grow to (default 32).

        "stream" draws one candidate and denoises nothing, whatever the preset says; options of ranking and diffusion
        given here are refused. Its codes are those of `speak` with one candidate and the same seed. Everything is
        checked before this returns.
        """
        given = _one_result(options)
        refuse_unknown(given, _names_of(self.stream))
        streaming = resolve_streaming(self._models, decoder, stream_chunk_size, stream_chunk_max)
        samples, latents = _samples_or_latents(voice)
        request = self._request(
            text,
            samples,
            latents,
            preset=preset,
            given=given,
            seed=resolve_seed(seed, "seed"),
            streaming=streaming,
            normalize=normalize,
            language=language,
        )
        return self._stream(request, streaming, verbose, stop)

    def tts(
        self,
        text: str,
        voice_samples: VoiceSamples | None = None,
        conditioning_latents: Latents | None = None,
        k: int = 1,
        verbose: bool = True,
        use_deterministic_seed: int | None = None,
        return_deterministic_state: bool = False,
        normalize: bool | None = None,
        language: str = "en",
        **options: Unpack[SpeechOptionsDict],
    ) -> Any:
        """Speak as the original's `tts`: return (1, 1, samples) float32 on the CPU; for k > 1 a list, best first.

        voice_samples: as `voice` of `speak`. conditioning_latents: what `get_conditioning_latents` gave; neither: the
            model's default voice.
        use_deterministic_seed: as `seed` of `speak`.
        return_deterministic_state: return (result, (seed, text, voice_samples, conditioning_latents)).
        normalize, language: as in `speak`, but None leaves text for the public checkpoints to their own cleaner.

        Raise as `speak`.
        """
        refuse_unknown(options, _names_of(self.tts))
        seed = resolve_seed(use_deterministic_seed)
        request = self._request(
            text,
            voice_samples,
            conditioning_latents,
            preset=None,
            given=options,
            seed=seed,
            k=k,
            normalize=self._normalizes(normalize),
            language=language,
        )
        return self._waves(request, verbose, (text, voice_samples, conditioning_latents), return_deterministic_state)

    def tts_with_preset(
        self,
        text: str,
        preset: str = "fast",
        voice_samples: VoiceSamples | None = None,
        conditioning_latents: Latents | None = None,
        k: int = 1,
        verbose: bool = True,
        use_deterministic_seed: int | None = None,
        return_deterministic_state: bool = False,
        normalize: bool | None = None,
        language: str = "en",
        **overrides: Unpack[SpeechOptionsDict],
    ) -> Any:
        """Speak as `tts` with the options of a preset; `overrides`: options on top of it."""
        refuse_unknown(overrides, _names_of(self.tts))
        seed = resolve_seed(use_deterministic_seed)
        request = self._request(
            text,
            voice_samples,
            conditioning_latents,
            preset=preset,
            given=overrides,
            seed=seed,
            k=k,
            normalize=self._normalizes(normalize),
            language=language,
        )
        return self._waves(request, verbose, (text, voice_samples, conditioning_latents), return_deterministic_state)

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
        normalize: bool | None = None,
        language: str = "en",
        **options: Unpack[SpeechOptionsDict],
    ) -> Iterator[Tensor]:
        """Speak in chunks as `stream`, with the argument names of `tts`."""
        given = _one_result(options)
        refuse_unknown(given, _names_of(self.tts_stream))
        streaming = resolve_streaming(self._models, decoder, stream_chunk_size, stream_chunk_max)
        request = self._request(
            text,
            voice_samples,
            conditioning_latents,
            preset=preset,
            given=given,
            seed=resolve_seed(use_deterministic_seed),
            streaming=streaming,
            normalize=self._normalizes(normalize),
            language=language,
        )
        return self._stream(request, streaming, verbose, None)

    def say_as(self, text: str, *, normalize: bool | None = None, language: str = "en") -> list[SaidAs]:
        """Return what `speak` would say: for each passage {"text": as written, "spoken": as the model reads it}."""
        request = self._request(text, None, None, preset=None, given={}, seed=0, normalize=normalize, language=language)
        return said_as(text, request.passages, self._models.tokenizer.clean)

    def get_conditioning_latents(
        self, voice_samples: VoiceSamples, return_mels: bool = False, latent_averaging_mode: int = 0
    ) -> Any:
        """Return a voice as (speaker latent (1, D), diffusion latent (1, 2C)), float32 on the CPU.

        voice_samples as in `tts`. return_mels: also the mels (1, clips, 80, T) that the first was computed from.
        """
        return self._voices.latents(voice_samples, mode=latent_averaging_mode, mels=return_mels)

    def get_random_conditioning_latents(self, seed: int | None = None) -> tuple[Tensor, Tensor]:
        """Return a new voice, from the public random-voice models or as a random mix of the model's own voices."""
        voice = self._voices.random(resolve_seed(seed))
        if voice.diffusion is None:
            raise VoiceError("the model's voices can only be streamed; they have no diffusion latents")
        return voice.speaker, voice.diffusion

    def _request(
        self,
        text: str,
        voice_samples: VoiceSamples | None,
        latents: Latents | None,
        *,
        preset: str | None,
        given: Mapping[str, Any],
        seed: int,
        k: int = 1,
        streaming: Streaming | None = None,
        normalize: bool | None = None,
        language: str = "en",
    ) -> Request:
        return Request.build(
            self._models,
            self._voices,
            text,
            options=resolve_options(self.spec, preset, given, streaming),
            voice_samples=voice_samples,
            latents=latents,
            seed=seed,
            k=k,
            streaming=streaming,
            kv_cache=self.kv_cache,
            batch_size=self.autoregressive_batch_size,
            redaction=self.enable_redaction,
            normalize=self._english_cleaner if normalize is None else normalize,
            language=language,
        )

    @property
    def _english_cleaner(self) -> bool:
        return self._models.tokenizer.cleaner_name == "english"

    def _normalizes(self, normalize: bool | None) -> bool | None:
        """Return the default of the original's methods: the text of the public checkpoints stays the original's."""
        return False if normalize is None and self.spec.name == PUBLIC else normalize

    def _pipeline(self, request: Request, stop: threading.Event | None) -> Pipeline:
        progress = Progress(synchronize=self._models.synchronize, stop=stop or threading.Event())
        return Pipeline(self._models, request, progress, self._workspaces, self._shared_batch)

    def _speak(self, request: Request, verbose: bool, stop: threading.Event | None = None) -> list[Speech]:
        pipeline = self._pipeline(request, stop)
        with returning_memory(self.device), show_progress(pipeline.progress, verbose):
            results = pipeline.whole()
        report = _report(pipeline, results[0][0].shape[-1])
        self.last_report = report
        return [
            Speech(samples.flatten(), self.sample_rate, request.seed, report, partial(find_words, pipeline, placed))
            for samples, placed in results
        ]

    def _waves(self, request: Request, verbose: bool, state: tuple[Any, ...], return_state: bool) -> Any:
        waves = [speech.samples.view(1, 1, -1) for speech in self._speak(request, verbose)]
        result = waves[0] if request.k == 1 else waves
        return (result, (request.seed, *state)) if return_state else result

    def _stream(
        self, request: Request, streaming: Streaming, verbose: bool, stop: threading.Event | None
    ) -> SpeechStream:
        pipeline = self._pipeline(request, stop)
        placed: list[Placed] = []
        reports: list[Report] = []

        def chunks() -> Iterator[Tensor]:
            samples = 0
            made = stream(pipeline, streaming, placed.append)
            with returning_memory(self.device), show_progress(pipeline.progress, verbose), closing(made):  # type: ignore[type-var]
                for chunk in made:
                    samples += chunk.shape[-1]
                    yield chunk
            reports.append(_report(pipeline, samples))
            self.last_report = reports[0]

        return SpeechStream(
            chunks(),
            self.sample_rate,
            request.seed,
            pipeline.progress.stop,
            lambda: reports[0],
            partial(find_words, pipeline, placed),
        )


def _shared_batch(rows: int | None, offload: bool) -> SharedBatch | None:
    if rows is None:
        return None
    if isinstance(rows, bool) or not isinstance(rows, int) or not 2 <= rows <= 256:
        raise OptionError(f"shared_batch_rows is {rows!r}, must be an integer of 2..256, or None")
    if offload:
        raise OptionError("shared_batch_rows needs the models to stay on the device: leave out cpu_offload")
    return SharedBatch(rows)


def _names_of(method: Any) -> tuple[str, ...]:
    """Return the names that a method takes as keywords, options included."""
    own = [name for name in inspect.signature(method).parameters if name not in ("text", "options", "overrides")]
    return (*own, *known_names())


def _one_result(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a stream, which has one result: k=1 is accepted. Raise OptionError for another k."""
    given = dict(options)
    if given.pop("k", 1) != 1:
        raise OptionError("a stream has one result: k must be 1 (tts returns several)")
    return given


def _samples_or_latents(voice: VoiceSamples | Voice | None) -> tuple[VoiceSamples | None, Latents | None]:
    return (None, voice) if isinstance(voice, Voice) else (voice, None)


def _report(pipeline: Pipeline, samples: int) -> Report:
    request = pipeline.request
    return Report(
        stages=pipeline.progress.ordered_stages(),
        audio_seconds=samples / pipeline.family.sample_rate,
        passages=len(request.passages),
        candidates=request.options.num_autoregressive_samples,
        seed=request.seed,
    )
