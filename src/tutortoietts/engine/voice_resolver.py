"""Resolve who speaks: a name, files, clips or latents to a Voice of the loaded model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from tutortoietts.audio.io import check_clip, load_clip
from tutortoietts.core.config import RandomLatentConfig
from tutortoietts.core.errors import OptionError, VoiceError
from tutortoietts.core.paths import expand_user
from tutortoietts.core.types import Voice
from tutortoietts.engine.families import family_of
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.sampling.rows import mix_seed
from tutortoietts.voices.files import is_sound
from tutortoietts.voices.names import RANDOM, is_path
from tutortoietts.voices.store import VoiceStore

__all__ = ["Latents", "VoiceResolver", "VoiceSamples"]

VoiceSamples = str | os.PathLike[str] | Tensor | Sequence[Tensor | str | os.PathLike[str]]
"""A voice's name, a file, a clip (1, N) at 22 050 Hz, or several files and clips."""

_SAMPLES = "must be a voice's name, files, or clips as tensors (1, N) at 22 050 Hz"

Latents = Voice | Sequence[Tensor | None]
"""A Voice, or the pair (speaker (1, D), diffusion (1, 2C))."""


class VoiceResolver:
    """Find the voices one model can speak with: its own, the user's, those made from clips on the spot, random ones."""

    def __init__(self, models: LoadedModels) -> None:
        self.models, self.model, self.family = models, models.source.model_id, family_of(models.spec)
        folder = models.source.folder
        self.store = VoiceStore(builtin_folders=[] if folder is None else [folder / "voices"])
        self.own = None if folder is None else VoiceStore(folder / "voices", builtin_folders=())

    def voice(
        self,
        samples: VoiceSamples | None,
        latents: Latents | None,
        *,
        mode: int = 0,
        seed: int = 0,
        want_clips: bool = False,
    ) -> tuple[Voice, list[Tensor]]:
        """Return the requested voice, and the clips it was made from if `want_clips` and they are known.

        Neither samples nor latents: the model's default voice, its first, or a random one (of `seed`) if it has none.
        mode: `latent_averaging_mode`. Raise OptionError, VoiceError, AudioError.
        """
        if samples is not None and latents is not None:
            raise OptionError("voice_samples and conditioning_latents are both given; give one of them")
        if latents is not None:
            _refuse_mode(mode, "conditioning_latents are made already", "give it to get_conditioning_latents")
            return self._given(latents), []
        name, clips = (self._first(), []) if samples is None else _clips(samples, self.family.clip_rate)
        if name is not None:
            return self._named(name, mode, seed, want_clips)
        return self._made("clips", clips, mode), clips

    def latents(self, samples: VoiceSamples, *, mode: int = 0, mels: bool = False) -> tuple[Tensor | None, ...]:
        """Return (speaker (1, D), diffusion (1, 2C)), and with `mels` also those (1, clips, 80, T) of the first."""
        voice, clips = self.voice(samples, None, mode=mode, want_clips=mels)
        if not mels:
            return voice.speaker, voice.diffusion
        if not clips:
            raise OptionError(f"voice {voice.name!r} has no clips, so there are no mels to return")
        return voice.speaker, voice.diffusion, self.family.reference_mels(self.models, clips)

    def random(self, seed: int) -> Voice:
        """Return a new voice: from the public random-voice models, or a random mix of the model's own voices."""
        generator = torch.Generator().manual_seed(mix_seed(seed, -1))
        if self.own is None:
            speaker, diffusion = (self._random_latent(kind, generator) for kind in ("auto", "diffusion"))
            return Voice(name=RANDOM, model=self.model, speaker=speaker, diffusion=diffusion)
        names = [source.name for source in self.own.voices()]
        if not names:
            raise VoiceError(f"the model {self.models.spec.name!r} brings no voices to make a random one from")
        weights = torch.rand(len(names), generator=generator).clamp(min=0.01).tolist()
        mix = "+".join(f"{name}*{weight:.4f}" for name, weight in zip(names, weights, strict=True))
        voice = self.own.get(mix, self.model)
        return Voice(name=RANDOM, model=self.model, speaker=voice.speaker, diffusion=voice.diffusion)

    def _first(self) -> str:
        if self.models.spec.default_voice is not None:
            return self.models.spec.default_voice
        own = [] if self.own is None else self.own.voices()
        return own[0].name if own else RANDOM

    def _given(self, latents: Latents) -> Voice:
        if isinstance(latents, Voice):
            if latents.model != self.model:
                raise VoiceError(f"voice {latents.name!r} was made for {latents.model}, not for {self.model}")
            return latents
        pair = tuple(latents) if isinstance(latents, Sequence) else ()
        if len(pair) != 2 or not isinstance(pair[0], Tensor) or not isinstance(pair[1], Tensor | None):
            raise OptionError("conditioning_latents must be the pair that get_conditioning_latents gives")
        if not all(is_sound(latent) for latent in pair if latent is not None):
            raise OptionError(
                "conditioning_latents hold values that are not finite numbers of usual size: make them again"
            )
        return Voice(name="latents", model=self.model, speaker=pair[0], diffusion=pair[1])

    def _named(self, name: str, mode: int, seed: int, want_clips: bool) -> tuple[Voice, list[Tensor]]:
        if name.strip().lower() == RANDOM:
            _refuse_mode(mode, "a random voice has no clips")
            return self.random(seed), []
        clips: list[Tensor] = []
        if want_clips or mode:
            for term, _ in self.store.terms(name):
                clips += [load_clip(path, self.family.clip_rate) for path in self.store.find(term).clips]
        if not clips:
            _refuse_mode(mode, f"voice {name!r} is kept without clips")
        if mode:
            return self._made(name, clips, mode), clips
        return self.store.get(name, self.model, self._latents_of), clips

    def _latents_of(self, clips: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        voice = self.family.voice_from_clips(self.models, "clips", clips)
        return voice.speaker, voice.diffusion

    def _made(self, name: str, clips: list[Tensor], mode: int) -> Voice:
        return self.family.voice_from_clips(self.models, name, clips, mode)

    @torch.no_grad()
    def _random_latent(self, kind: str, generator: torch.Generator) -> Tensor:
        channels = cast(RandomLatentConfig, self.models.source.config(f"random_latent_{kind}")).channels
        noise = torch.randn(1, channels, generator=generator)
        with self.models.use(f"random_latent_{kind}") as module:
            latent: Tensor = module(noise.to(self.models.device)).cpu()
        return latent


def _refuse_mode(mode: int, why: str, instead: str = "give clips as voice_samples") -> None:
    """Raise OptionError for a way of averaging clips where there are none."""
    if mode:
        raise OptionError(f"latent_averaging_mode is {mode}, but {why}: leave it 0, or {instead}")


def _is_file(path: str | os.PathLike[str]) -> bool:
    """Return False also for what can be no path at all: a name that is too long, an unknown home folder."""
    return os.path.isfile(expand_user(path))


def _clips(samples: VoiceSamples, rate: int) -> tuple[str | None, list[Tensor]]:
    """Return (a voice's name, []) or (None, checked clips (1, N) at `rate`)."""
    if isinstance(samples, str | os.PathLike):
        if not _is_file(samples) or Path(samples).suffix in (".safetensors", ".pth"):
            return os.fspath(samples), []
        samples = [samples]
    if not isinstance(samples, Tensor | Sequence):
        raise OptionError(f"voice_samples is a {type(samples).__name__}, {_SAMPLES}")
    given = [samples] if isinstance(samples, Tensor) else list(samples)
    if not given:
        raise OptionError("voice_samples is empty: give a voice's name, or at least one clip")
    if len(given) == 1 and isinstance(given[0], str) and not _is_file(given[0]):
        return given[0], []
    if all(isinstance(sample, str) and not is_path(sample) and not Path(sample).suffix for sample in given):
        raise OptionError(
            f"voice_samples {given} are no files; a mix of voices is written {'+'.join(map(str, given))!r}"
        )
    return None, [_clip(sample, number, rate) for number, sample in enumerate(given, start=1)]


def _clip(sample: Tensor | str | os.PathLike[str], number: int, rate: int) -> Tensor:
    if not isinstance(sample, Tensor | str | os.PathLike):
        raise OptionError(f"voice_samples holds a {type(sample).__name__}, {_SAMPLES}")
    if not isinstance(sample, Tensor):
        return load_clip(sample, rate)
    clip = sample.detach().to("cpu", torch.float32)
    clip = clip[None] if clip.ndim == 1 else clip
    check_clip(clip, rate, f"clip {number}")
    return clip
