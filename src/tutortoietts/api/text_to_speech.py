"""`TextToSpeech`: one voice model, ready to speak."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import nn

from tutortoietts.api.original import OriginalMethods, names_of, one_result
from tutortoietts.api.phrases import open_phrases
from tutortoietts.core.config import ModelSpec
from tutortoietts.core.errors import OptionError
from tutortoietts.core.licences import CPML
from tutortoietts.core.options import SpeechOptionsDict, plain_number
from tutortoietts.core.paths import existing_folder, expanded
from tutortoietts.core.presets import PRESETS, refuse_unknown
from tutortoietts.core.spec_xtts import XttsSpec
from tutortoietts.core.streaming import Streaming
from tutortoietts.core.types import Voice
from tutortoietts.engine.decoding.scheduler import SharedBatch
from tutortoietts.engine.decoding.workspace import Workspaces
from tutortoietts.engine.pipeline import Pipeline
from tutortoietts.engine.progress import Progress, Report
from tutortoietts.engine.request import Request, resolve_options, resolve_seed, resolve_streaming
from tutortoietts.engine.results import open_stream, speak
from tutortoietts.engine.speech import Speech, SpeechStream
from tutortoietts.engine.voice_resolver import Latents, VoiceResolver, VoiceSamples
from tutortoietts.runtime.device import deepspeed_note, pick_device, survive_fork
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.runtime.precision import pick_precision
from tutortoietts.runtime.source import ModelSource, open_source
from tutortoietts.runtime.xtts_source import XttsSource
from tutortoietts.text.say_as import SaidAs, said_as
from tutortoietts.voices.store import VoiceStore
from tutortoietts.weights.licence import accept

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["TextToSpeech"]

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


class TextToSpeech(OriginalMethods):
    """One voice model, ready to speak.

    model: "bundled", "tortoise-v2" or "xtts-v2" (the public checkpoints, from `models_dir`, TORTOISE_MODELS_DIR, the
        caches or the network), a directory with a model.json, or one in the form of an XTTS-v2 release.
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
    accept_cpml: you agree to the licence of "xtts-v2", which allows non-commercial use only; this is remembered.
    phrase_cache: keep what is spoken with a seed, and give it again without speaking: True: in the cache that all
        processes of the user share; a path: in a folder of its own.

    `autoregressive`, `diffusion`, `clvp`, `ctc`, `vocoder`, `stream_decoder` are loaded when first needed and may be
    replaced.
    Calls from several threads do not disturb each other. Raise OptionError, ModelError, FetchError, all before any
    model is loaded.
    """

    autoregressive = _Replaceable()
    diffusion = _Replaceable()
    clvp = _Replaceable()
    ctc = _Replaceable()
    cvvp = _Replaceable()
    vocoder = _Replaceable()
    stream_decoder = _Replaceable()

    def __init__(
        self,
        model: str | os.PathLike[str] | ModelSource | XttsSource = "bundled",
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
        accept_cpml: bool = False,
        phrase_cache: bool | str | os.PathLike[str] = False,
    ) -> None:
        if accept_cpml:
            accept(CPML)
        if high_vram and cpu_offload:
            raise OptionError("high_vram=True keeps models on the GPU and cpu_offload=True does not; give one of them")
        batch = autoregressive_batch_size = plain_number(autoregressive_batch_size, integer=True)
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
        self._phrases = open_phrases(phrase_cache, self._models)
        survive_fork()
        if use_deepspeed:
            _log.warning(deepspeed_note(self.device))

    def __reduce__(self) -> NoReturn:
        """Raise OptionError: models and locks cannot be sent to another process."""
        raise OptionError("a TextToSpeech cannot be copied or sent to another process: make one in each process")

    @property
    def model(self) -> str:
        """Id that voices made by this model carry."""
        return self._models.source.model_id

    @property
    def spec(self) -> ModelSpec | XttsSpec:
        """Specification of the model: its components and their sizes."""
        return self._models.spec

    @property
    def sample_rate(self) -> int:
        """Samples a second of all sound this model makes."""
        return self._voices.family.sample_rate

    @property
    def terms(self) -> str:
        """Licence of all sound this model makes, with its address, where the model has one for it; else ""."""
        return self._voices.family.terms

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
        language: "en" (dates as in the US), "en-US" or "en-GB"; XTTS speaks 17 languages. "auto" finds it from the
            text, or raises OptionError where that is not certain.
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
        refuse_unknown(options, names_of(self.speak))
        samples, latents = _samples_or_latents(voice)
        request = self._request(
            text,
            samples,
            latents,
            preset=preset,
            given=options,
            seed=seed,
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
        given = one_result(options)
        refuse_unknown(given, names_of(self.stream))
        streaming = resolve_streaming(self._models, decoder, stream_chunk_size, stream_chunk_max)
        samples, latents = _samples_or_latents(voice)
        request = self._request(
            text,
            samples,
            latents,
            preset=preset,
            given=given,
            seed=seed,
            streaming=streaming,
            normalize=normalize,
            language=language,
        )
        return self._stream(request, verbose, stop)

    def say_as(self, text: str, *, normalize: bool | None = None, language: str = "en") -> list[SaidAs]:
        """Return what `speak` would say: for each passage {"text": as written, "spoken": as the model reads it}."""
        request = self._request(text, None, None, preset=None, given={}, seed=0, normalize=normalize, language=language)
        tokenizer = self._models.tokenizer_for(request.language, spoken=request.normalize)
        return said_as(text, request.passages, tokenizer.clean)

    def _request(
        self,
        text: str,
        voice_samples: VoiceSamples | None,
        latents: Latents | None,
        *,
        preset: str | None,
        given: Mapping[str, Any],
        seed: int | None,
        seed_name: str = "seed",
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
            seed=resolve_seed(seed, seed_name),
            seeded=seed is not None,
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
        return isinstance(self.spec, XttsSpec) or self._models.tokenizer.cleaner_name == "english"

    def _speak(self, request: Request, verbose: bool, stop: threading.Event | None = None) -> list[Speech]:
        pipeline, phrases = self._pipeline(request, stop), self._phrases
        results = None if phrases is None else phrases.speech(pipeline)
        if results is None:
            results = speak(pipeline, verbose=verbose)
            if phrases is not None:
                for number, speech in enumerate(results):
                    phrases.keep(speech.samples, speech.reading, number)
        self.last_report = results[0].report
        return results

    def _stream(self, request: Request, verbose: bool, stop: threading.Event | None = None) -> SpeechStream:
        def note(report: Report) -> None:
            self.last_report = report

        pipeline, phrases = self._pipeline(request, stop), self._phrases
        if phrases is None or not phrases.takes(request):
            return open_stream(pipeline, verbose=verbose, finished=note)
        return phrases.stream(pipeline) or open_stream(pipeline, verbose=verbose, finished=note, keep=phrases.keep)

    @property
    def shared_batch_load(self) -> tuple[int, int]:
        """Rows of the shared batch in use, and candidates that wait for one."""
        return (0, 0) if self._shared_batch is None else self._shared_batch.load

    def _pipeline(self, request: Request, stop: threading.Event | None) -> Pipeline:
        progress = Progress(synchronize=self._models.synchronize, stop=stop or threading.Event())
        return Pipeline(self._models, request, progress, self._workspaces, self._shared_batch)


def _shared_batch(rows: int | None, offload: bool) -> SharedBatch | None:
    if rows is None:
        return None
    if isinstance(rows, bool) or not isinstance(rows, int) or not 2 <= rows <= 256:
        raise OptionError(f"shared_batch_rows is {rows!r}, must be an integer of 2..256, or None")
    if offload:
        raise OptionError("shared_batch_rows needs the models to stay on the device: leave out cpu_offload")
    return SharedBatch(rows)


def _samples_or_latents(voice: VoiceSamples | Voice | None) -> tuple[VoiceSamples | None, Latents | None]:
    return (None, voice) if isinstance(voice, Voice) else (voice, None)
