"""XTTS-v2: a GPT draws codes in one of 17 languages, and HiFi-GAN makes sound straight from its latents.

A voice is two things: prompt latents, kept flat in `Voice.speaker` (1, P * D), which stand before the text, and a
speaker vector, kept in `Voice.diffusion` (1, C), which conditions the decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from tutortoietts.audio.mel import XTTS_N_FFT, conditioning_mel, speaker_features
from tutortoietts.audio.reference import spread_chunks
from tutortoietts.audio.resample import resample_sinc
from tutortoietts.core.errors import OptionError, VoiceError
from tutortoietts.core.licences import CPML
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.core.spec_xtts import XttsSpec
from tutortoietts.core.types import Voice
from tutortoietts.models.speaker_encoder import SpeakerEncoder
from tutortoietts.models.xtts import Xtts
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.runtime.xtts_source import XttsSource
from tutortoietts.text.languages import LANGUAGES, tags_of
from tutortoietts.text.xtts.cleaner import language_code
from tutortoietts.text.xtts.tables import CHARACTER_LIMITS

__all__ = ["XTTS_FAMILY", "XttsFamily"]

_SPEAKER_RATE = 16000


class XttsFamily:
    """The family of the public XTTS-v2 releases and of models fine-tuned from them."""

    name = "xtts"
    sample_rate = 24000
    code_seconds = 1024 / 22050
    clip_rate = 22050
    languages: tuple[str, ...] = tuple(tag for code in LANGUAGES for tag in tags_of(code))
    stages: tuple[str, ...] = ("decode", "vocode")
    end_tokens = 0
    latent_of_stop = True
    fades_end = True
    terms = f"{CPML.name}, {CPML.address}"

    def components(self, models: LoadedModels, options: SpeechOptions, *, streamed: bool) -> list[str]:
        return ["autoregressive", "stream_decoder"]

    def check_voice(self, models: LoadedModels, voice: Voice, *, streamed: bool) -> None:
        spec = cast(XttsSpec, models.spec)
        prompt = spec.autoregressive.prompt_latents * spec.autoregressive.model_dim
        vector = spec.stream_decoder.cond_channels
        given = voice.speaker.shape[1], 0 if voice.diffusion is None else voice.diffusion.shape[1]
        if given != (prompt, vector):
            raise VoiceError(
                f"voice {voice.name!r} has latents of {given[0]} and {given[1]} numbers, but the model "
                f"{spec.name!r} needs {prompt} and {vector}: clone it with this model"
            )

    @torch.no_grad()
    def voice_from_clips(self, models: LoadedModels, name: str, clips: Sequence[Tensor], mode: int = 0) -> Voice:
        if mode:
            raise OptionError(f"latent_averaging_mode is {mode}, but XTTS has one way to learn a voice: leave it 0")
        spec, source = cast(XttsSpec, models.spec), cast(XttsSource, models.source)
        longest = round(spec.longest_clip_seconds * self.clip_rate)
        heard = [clip[:, :longest] for clip in clips]
        chunks = spread_chunks(heard, self.clip_rate, seconds=spec.condition_seconds, chunk_seconds=spec.chunk_seconds)
        mels = [conditioning_mel(chunk, source.mel_norms, XTTS_N_FFT) for chunk in chunks]
        with models.use("autoregressive") as module:
            gpt = cast(Xtts, module)
            prompts = [gpt.conditioning(mel.to(gpt.device, gpt.dtype)).float().cpu() for mel in mels]
        with models.use("speaker_encoder") as module:
            encoder = cast(SpeakerEncoder, module)
            features = [speaker_features(resample_sinc(clip, self.clip_rate, _SPEAKER_RATE)) for clip in heard]
            vectors = [encoder(one.to(models.device)).float().cpu() for one in features]
        weights = torch.tensor([float(chunk.shape[1]) for chunk in chunks])
        prompt = (torch.cat(prompts) * (weights / weights.sum())[:, None, None]).sum(0, keepdim=True)
        vector = torch.cat(vectors).mean(0, keepdim=True)
        return Voice(name=name, model=models.source.model_id, speaker=prompt.flatten(1), diffusion=vector)

    def reference_mels(self, models: LoadedModels, clips: Sequence[Tensor]) -> Tensor:
        raise OptionError("the reference mels of XTTS are not kept: they are encoded chunk by chunk")

    def prefix(self, model: nn.Module, voice: Voice, text: Tensor) -> Tensor:
        gpt = cast(Xtts, model)
        return gpt.prefix(voice.speaker.to(gpt.device, gpt.dtype), text)

    def most_codes(self, text: str, language: str, limit: int) -> int:
        """Return the number of codes in very slow speech, 28 seconds for the longest passage, and 3 seconds more."""
        return min(limit, round((3.0 + _slow_seconds(text, language)) / self.code_seconds))

    def least_codes(self, text: str, language: str) -> int:
        """Return the number of codes in speech four times as fast as very slow speech, faster than anyone speaks."""
        return int(_slow_seconds(text, language) / 4 / self.code_seconds)

    def text_span(self, tokens: int) -> slice:
        return slice(-tokens - 1, -1)  # before the stop token, with which the prefix ends

    def sound_speaker(self, voice: Voice) -> Tensor:
        return cast(Tensor, voice.diffusion)


def _slow_seconds(text: str, language: str) -> float:
    return 28.0 * len(text) / CHARACTER_LIMITS[language_code(language)]


XTTS_FAMILY = XttsFamily()
