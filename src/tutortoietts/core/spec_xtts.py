"""Specification of an XTTS-v2 model: what `core.config.ModelSpec` is to a model of the Tortoise family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tutortoietts.core.config import AlignmentSpec
from tutortoietts.core.config_vocoder import HifiganConfig
from tutortoietts.core.config_xtts import SpeakerEncoderConfig, XttsConfig, XttsModelConfigs

__all__ = ["XttsSpec", "xtts_spec"]

_PRESET = "xtts"
_REDRAWS = 2  # ours: the original keeps what it drew first


@dataclass(frozen=True, slots=True, kw_only=True)
class XttsSpec:
    """Components of an XTTS-v2 model and their sizes, and the preset with its release's settings.

    condition_seconds, chunk_seconds: how much of the reference clips a voice is learnt from, in chunks of which length.
    languages: codes that its vocabulary has; empty where the configuration does not say.
    There is no ranking, no diffusion, no code of silence.
    """

    name: str
    autoregressive: XttsConfig
    stream_decoder: HifiganConfig
    speaker_encoder: SpeakerEncoderConfig
    condition_seconds: float = 30.0
    chunk_seconds: float = 4.0
    longest_clip_seconds: float = 30.0
    languages: tuple[str, ...] = ()
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    default_preset: str = _PRESET
    default_voice: str | None = None
    alignment: AlignmentSpec = field(default_factory=AlignmentSpec)
    diffusion: None = None
    vocoder: None = None
    clvp: None = None
    ctc: None = None
    calm_token: None = None


def xtts_spec(name: str, configs: XttsModelConfigs) -> XttsSpec:
    """Return the specification of a release."""
    defaults = configs.defaults
    preset = {
        "num_autoregressive_samples": 1,
        "temperature": defaults.temperature,
        "repetition_penalty": defaults.repetition_penalty,
        "length_penalty": defaults.length_penalty,
        "top_k": defaults.top_k,
        "top_p": defaults.top_p,
        "max_mel_tokens": configs.gpt.max_new_codes,
        "redraws": _REDRAWS,
    }
    return XttsSpec(
        name=name,
        autoregressive=configs.gpt,
        stream_decoder=configs.decoder,
        speaker_encoder=configs.speaker_encoder,
        condition_seconds=defaults.gpt_cond_len,
        chunk_seconds=defaults.gpt_cond_chunk_len,
        longest_clip_seconds=defaults.max_ref_len,
        languages=tuple(tag.partition("-")[0] for tag in configs.languages),
        presets={_PRESET: preset},
    )
