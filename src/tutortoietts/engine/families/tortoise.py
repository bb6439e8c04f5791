"""Tortoise: an autoregressive model draws candidates, CLVP ranks them, diffusion makes a mel, a vocoder sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from tutortoietts.core.config import ModelSpec, StreamVocosConfig
from tutortoietts.core.errors import VoiceError
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.core.types import Voice
from tutortoietts.engine.conditioning import CLIP_RATE, reference_mels, voice_latents
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.runtime.models import LoadedModels

__all__ = ["TORTOISE", "Tortoise", "ranking_components"]


class Tortoise:
    """The family of the public checkpoints and of the bundled model."""

    name = "tortoise"
    sample_rate = 24000
    code_seconds = 1024 / 22050
    clip_rate = CLIP_RATE
    languages: tuple[str, ...] = ("en", "en-US", "en-GB")
    stages: tuple[str, ...] = ("decode", "rerank", "denoise", "vocode")
    end_tokens = 1
    latent_of_stop = False
    fades_end = False
    terms = ""

    def components(self, models: LoadedModels, options: SpeechOptions, *, streamed: bool) -> list[str]:
        if not streamed:
            first = ["stream_decoder"] if options.diffusion_start == "streamed" else []
            diffusion = ["diffusion"] if options.diffuses else []
            return ["autoregressive", *first, *diffusion, "vocoder", *ranking_components(models, options)]
        shares_vocoder = isinstance(models.spec.stream_decoder, StreamVocosConfig)
        return ["autoregressive", "stream_decoder", *(["vocoder"] if shares_vocoder else [])]

    def check_voice(self, models: LoadedModels, voice: Voice, *, streamed: bool) -> None:
        spec = cast(ModelSpec, models.spec)
        width, channels = spec.autoregressive.model_dim, 2 * spec.diffusion.model_channels
        speaker = voice.speaker.shape[1]
        if streamed:
            if speaker != width:
                raise VoiceError(
                    f"voice {voice.name!r} has a speaker latent of {speaker} numbers, but the model {spec.name!r} "
                    f"needs {width}: clone it with this model"
                )
            return
        if voice.diffusion is None:
            raise VoiceError(f"voice {voice.name!r} has no diffusion latent: clone it again from clips")
        diffusion = voice.diffusion.shape[1]
        if (speaker, diffusion) != (width, channels):
            raise VoiceError(
                f"voice {voice.name!r} has latents of {speaker} and {diffusion} numbers, but the model "
                f"{spec.name!r} needs {width} and {channels}: clone it with this model"
            )

    def voice_from_clips(self, models: LoadedModels, name: str, clips: Sequence[Tensor], mode: int = 0) -> Voice:
        speaker, diffusion = voice_latents(models, clips, mode)
        return Voice(name=name, model=models.source.model_id, speaker=speaker, diffusion=diffusion)

    def reference_mels(self, models: LoadedModels, clips: Sequence[Tensor]) -> Tensor:
        return reference_mels(models, clips)

    def prefix(self, model: nn.Module, voice: Voice, text: Tensor) -> Tensor:
        autoregressive = cast(Autoregressive, model)
        return autoregressive.prefix(voice.speaker.to(text.device), text)

    def most_codes(self, text: str, language: str, limit: int) -> int:
        return limit

    def least_codes(self, text: str, language: str) -> int:
        return 0

    def text_span(self, tokens: int) -> slice:
        return slice(2, 2 + tokens)  # behind the speaker latent and the start token

    def sound_speaker(self, voice: Voice) -> Tensor:
        return voice.speaker


def ranking_components(models: LoadedModels, options: SpeechOptions) -> list[str]:
    """Return the components that rank the candidates, none where there is only one."""
    if options.num_autoregressive_samples == 1:
        return []
    of_text = [part for part in ("clvp", "ctc") if options.cvvp_amount < 1 and models.has(part)]
    return [*of_text, *(["cvvp"] if options.cvvp_amount > 0 else [])]


TORTOISE = Tortoise()
