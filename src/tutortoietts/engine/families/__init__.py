"""Families of voice models: what all of them offer the engine, and which family a model belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from tutortoietts.core.config import ModelSpec
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.core.spec_xtts import XttsSpec
from tutortoietts.core.types import Voice
from tutortoietts.runtime.models import LoadedModels

__all__ = ["Family", "family_of"]


class Family(Protocol):
    """A kind of voice model: its components, its rates, its languages, and how text and voice become a prefix.

    sample_rate: samples a second of its sound. code_seconds: duration of one code.
    clip_rate: samples a second of the clips that voices are made from. languages: tags it can speak.
    stages: those of "decode", "rerank", "denoise", "vocode" that lead from text to sound, in order; without "denoise"
    sound is made straight from the latents. end_tokens: zeros behind the text tokens, before the model's own stop
    token. latent_of_stop: the latent that the stop code was drawn from is sounded, too.
    fades_end: the last 5 ms of a passage made straight from latents are faded, since its end may click.
    terms: what must be said with sound that is passed on, such as the address of a licence; "" if nothing.
    """

    name: str
    sample_rate: int
    code_seconds: float
    clip_rate: int
    languages: tuple[str, ...]
    stages: tuple[str, ...]
    end_tokens: int
    latent_of_stop: bool
    fades_end: bool
    terms: str

    def components(self, models: LoadedModels, options: SpeechOptions, *, streamed: bool) -> list[str]:
        """Return the components that a request with these options needs, in the order of their use.

        streamed: sound comes straight from the latents.
        """

    def check_voice(self, models: LoadedModels, voice: Voice, *, streamed: bool) -> None:
        """Raise VoiceError unless the voice's latents have this model's sizes."""

    def voice_from_clips(self, models: LoadedModels, name: str, clips: Sequence[Tensor], mode: int = 0) -> Voice:
        """Make a voice from clips (1, N) at `clip_rate`. mode: `latent_averaging_mode`. Raise OptionError."""

    def reference_mels(self, models: LoadedModels, clips: Sequence[Tensor]) -> Tensor:
        """Return the mels (1, clips, channels, T) of clips (1, N) as the autoregressive model sees them."""

    def prefix(self, model: nn.Module, voice: Voice, text: Tensor) -> Tensor:
        """Embed what precedes the codes: text (1, T) int64 with its stop token -> (1, P, D)."""

    def most_codes(self, text: str, language: str, limit: int) -> int:
        """Return the largest number of codes, at most `limit`, that speech of this text can sensibly have."""

    def least_codes(self, text: str, language: str) -> int:
        """Return the number of codes that speech of this text needs at least; 0 where that is not checked."""

    def text_span(self, tokens: int) -> slice:
        """Return where the `tokens` text tokens lie in the prefix."""

    def sound_speaker(self, voice: Voice) -> Tensor:
        """Return what makes the decoder of latents sound like the voice, (1, D)."""


def family_of(spec: ModelSpec | XttsSpec) -> Family:
    """Return the family that a model of this specification belongs to."""
    if isinstance(spec, XttsSpec):
        from tutortoietts.engine.families.xtts import XTTS_FAMILY

        return XTTS_FAMILY
    from tutortoietts.engine.families.tortoise import TORTOISE

    return TORTOISE
