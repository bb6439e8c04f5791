"""The methods of the original's `TextToSpeech`, with its argument names."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from tutortoietts.core.config import ModelSpec
from tutortoietts.core.errors import OptionError, VoiceError
from tutortoietts.core.options import SpeechOptionsDict
from tutortoietts.core.presets import known_names, refuse_unknown, without_original
from tutortoietts.core.spec_xtts import XttsSpec
from tutortoietts.engine.request import Request, resolve_seed, resolve_streaming
from tutortoietts.engine.speech import Speech, SpeechStream
from tutortoietts.engine.voice_resolver import Latents, VoiceResolver, VoiceSamples
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.runtime.source import PUBLIC

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["OriginalMethods", "names_of", "one_result"]


class OriginalMethods:
    """Thin faces over the requests of `TextToSpeech`, whose base this is."""

    _models: LoadedModels
    _voices: VoiceResolver

    if TYPE_CHECKING:

        @property
        def spec(self) -> ModelSpec | XttsSpec: ...
        def _request(self, *arguments: Any, **named: Any) -> Request: ...
        def _speak(self, request: Request, verbose: bool, stop: threading.Event | None) -> list[Speech]: ...
        def _stream(self, request: Request, verbose: bool, stop: threading.Event | None) -> SpeechStream: ...

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
        stop: threading.Event | None = None,
        **options: Unpack[SpeechOptionsDict],
    ) -> Any:
        """Speak as the original's `tts`: return (1, 1, samples) float32 on the CPU; for k > 1 a list, best first.

        voice_samples: as `voice` of `speak`. conditioning_latents: what `get_conditioning_latents` gave; neither: the
            model's default voice.
        use_deterministic_seed: as `seed` of `speak`.
        return_deterministic_state: return (result, (seed, text, voice_samples, conditioning_latents)).
        stop, normalize, language: as in `speak`, but normalize=None leaves text for the public checkpoints to their
            own cleaner.

        Raise as `speak`.
        """
        given = without_original(options)
        refuse_unknown(given, names_of(self.tts))
        request = self._request(
            text,
            voice_samples,
            conditioning_latents,
            preset=None,
            given=given,
            seed=use_deterministic_seed,
            seed_name="use_deterministic_seed",
            k=k,
            normalize=self._normalizes(normalize),
            language=language,
        )
        state = (text, voice_samples, conditioning_latents) if return_deterministic_state else None
        return self._waves(request, verbose, stop, state)

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
        stop: threading.Event | None = None,
        **overrides: Unpack[SpeechOptionsDict],
    ) -> Any:
        """Speak as `tts` with the options of a preset; `overrides`: options on top of it."""
        given = without_original(overrides)
        refuse_unknown(given, names_of(self.tts))
        request = self._request(
            text,
            voice_samples,
            conditioning_latents,
            preset=preset,
            given=given,
            seed=use_deterministic_seed,
            seed_name="use_deterministic_seed",
            k=k,
            normalize=self._normalizes(normalize),
            language=language,
        )
        state = (text, voice_samples, conditioning_latents) if return_deterministic_state else None
        return self._waves(request, verbose, stop, state)

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
        stop: threading.Event | None = None,
        **options: Unpack[SpeechOptionsDict],
    ) -> Iterator[Tensor]:
        """Speak in chunks as `stream`, with the argument names of `tts`."""
        given = one_result(options)
        refuse_unknown(given, names_of(self.tts_stream))
        streaming = resolve_streaming(self._models, decoder, stream_chunk_size, stream_chunk_max)
        request = self._request(
            text,
            voice_samples,
            conditioning_latents,
            preset=preset,
            given=given,
            seed=use_deterministic_seed,
            seed_name="use_deterministic_seed",
            streaming=streaming,
            normalize=self._normalizes(normalize),
            language=language,
        )
        return self._stream(request, verbose, stop)

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

    def _normalizes(self, normalize: bool | None) -> bool | None:
        """Return the default of the original's methods: the text of the public checkpoints stays the original's."""
        return False if normalize is None and self.spec.name == PUBLIC else normalize

    def _waves(
        self, request: Request, verbose: bool, stop: threading.Event | None, state: tuple[Any, ...] | None
    ) -> Any:
        """Return the waves of a request, with the seed and `state` where it is given."""
        waves = [speech.samples.view(1, 1, -1) for speech in self._speak(request, verbose, stop)]
        result = waves[0] if request.k == 1 else waves
        return result if state is None else (result, (request.seed, *state))


def names_of(method: Any) -> tuple[str, ...]:
    """Return the names that a method takes as keywords, options included."""
    own = [name for name in inspect.signature(method).parameters if name not in ("text", "options", "overrides")]
    return (*own, *known_names())


def one_result(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a stream, which has one result: k=1 is accepted. Raise OptionError for another k."""
    given = without_original(options)
    if given.pop("k", 1) != 1:
        raise OptionError("a stream has one result: k must be 1 (tts returns several)")
    return given
