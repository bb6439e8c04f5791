"""Sizes of the models of XTTS-v2, and its release configuration (config.json)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tutortoietts.core.config_base import Config, check, check_multiple, require
from tutortoietts.core.config_vocoder import HifiganConfig
from tutortoietts.core.errors import ModelError

__all__ = ["ReleaseDefaults", "SpeakerEncoderConfig", "XttsConfig", "XttsModelConfigs", "hifigan_of"]

_RENAMED = {
    "num_audio_tokens": "number_mel_codes",
    "start_audio_token": "start_mel_token",
    "stop_audio_token": "stop_mel_token",
}
_V1 = "XTTS v1 (without a perceiver) is another architecture and is not supported: use XTTS-v2 (coqui/XTTS-v2)"


@dataclass(frozen=True, slots=True, kw_only=True)
class XttsConfig(Config):
    """Text to codes. Position tables have ``max_text_tokens + 2`` and ``max_mel_tokens + 3`` entries.

    ``prompt_latents``: positions that a voice takes; the perceiver's sizes are constants of the original.
    """

    IGNORED: ClassVar[frozenset[str]] = frozenset({"max_prompt_tokens", "code_stride_len"})

    layers: int = 30
    model_dim: int = 1024
    heads: int = 16
    max_text_tokens: int = 402
    max_mel_tokens: int = 605
    number_text_tokens: int = 6681
    start_text_token: int = 261
    stop_text_token: int = 0
    number_mel_codes: int = 1026
    start_mel_token: int = 1024
    stop_mel_token: int = 1025
    conditioning_blocks: int = 6
    mel_channels: int = 80
    prompt_latents: int = 32
    perceiver_layers: int = 2
    perceiver_heads: int = 8
    perceiver_head_dim: int = 64

    def __post_init__(self) -> None:
        tokens = ("start_text_token", "stop_text_token", "start_mel_token", "stop_mel_token")
        check(self, zero=tokens)
        check_multiple(self, "model_dim", "heads")
        for name in tokens:
            value, limit = getattr(self, name), self.number_mel_codes if "mel" in name else self.number_text_tokens
            require(value < limit, type(self), name, value, f"must be below {limit}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> XttsConfig:
        """Make a configuration of a mapping.

        Raises ModelError for an unknown key, a value out of its range, or the configuration of XTTS v1.
        """
        if isinstance(values, Mapping):
            values = {_RENAMED.get(key, key): value for key, value in values.items()}
            if not values.pop("use_perceiver_resampler", True):
                raise ModelError(_V1, key="use_perceiver_resampler")
        return super(XttsConfig, cls).from_dict(values)

    @property
    def text_vocabulary(self) -> int:
        """Rows of the text embedding."""
        return self.number_text_tokens

    @property
    def text_positions(self) -> int:
        """Longest text part, start token and stop token included."""
        return self.max_text_tokens + 2

    @property
    def mel_positions(self) -> int:
        """Longest code part, start code and stop code included."""
        return self.max_mel_tokens + 3

    @property
    def max_new_codes(self) -> int:
        """Codes that are drawn at most for one passage, the stop code included."""
        return self.max_mel_tokens - 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerEncoderConfig(Config):
    """Speech of 16 kHz to a speaker vector of ``proj_dim`` numbers, by a ResNet over 64 mel bands."""

    IGNORED: ClassVar[frozenset[str]] = frozenset({"audio_config", "log_input", "use_torch_spec"})
    FIXED: ClassVar[Mapping[str, Any]] = {"encoder_type": "ASP"}

    input_dim: int = 64
    proj_dim: int = 512
    layers: tuple[int, ...] = (3, 4, 6, 3)
    num_filters: tuple[int, ...] = (32, 64, 128, 256)

    def __post_init__(self) -> None:
        check(self)
        same = len(self.layers) == len(self.num_filters)
        require(same, type(self), "num_filters", self.num_filters, f"must have {len(self.layers)} entries")
        step = 2 ** (len(self.layers) - 1)
        require(self.input_dim % step == 0, type(self), "input_dim", self.input_dim, f"must be a multiple of {step}")

    @property
    def bands(self) -> int:
        """Mel bands that are left after the last stage."""
        return self.input_dim >> (len(self.layers) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDefaults(Config):
    """Options of a release where the user gives none; lengths in seconds."""

    temperature: float = 0.75
    repetition_penalty: float = 5.0
    length_penalty: float = 1.0
    top_k: int = 50
    top_p: float = 0.85
    gpt_cond_len: int = 30
    gpt_cond_chunk_len: int = 4
    max_ref_len: int = 30
    sound_norm_refs: bool = False

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class XttsModelConfigs:
    """All of one XTTS-v2 model: sizes of its three parts, the defaults of its release, its languages."""

    gpt: XttsConfig = field(default_factory=XttsConfig)
    decoder: HifiganConfig = field(default_factory=lambda: hifigan_of({}))
    speaker_encoder: SpeakerEncoderConfig = field(default_factory=SpeakerEncoderConfig)
    defaults: ReleaseDefaults = field(default_factory=ReleaseDefaults)
    languages: tuple[str, ...] = ()

    @classmethod
    def from_release(cls, values: Mapping[str, Any], tokens: Mapping[str, int] | None = None) -> XttsModelConfigs:
        """Read a release's config.json, or its ``model_args`` alone.

        tokens: ids of the vocabulary, for start and stop tokens that the file leaves to it ([START], [STOP]).
        Raises ModelError for the configuration of another model, of XTTS v1, and for values out of range.
        """
        if values.get("model", "xtts") != "xtts":
            raise ModelError(f"config.json is of a {values['model']!r} model, not of xtts", key="model")
        args = values.get("model_args", values)
        if not isinstance(args, Mapping) or "gpt_layers" not in args:
            raise ModelError("the configuration lacks gpt_layers: give the config.json of an XTTS-v2 release")
        named = {f.name for f in ReleaseDefaults.__dataclass_fields__.values()}
        defaults = {key: value for key, value in values.items() if key in named and value is not None}
        return cls(
            gpt=_gpt_of(args, tokens or {}),
            decoder=hifigan_of(args),
            speaker_encoder=_speaker_encoder_of(args),
            defaults=ReleaseDefaults.from_dict(defaults),
            languages=tuple(values.get("languages") or ()),
        )


_GPT_ARGUMENTS = {
    "gpt_layers": "layers",
    "gpt_n_model_channels": "model_dim",
    "gpt_n_heads": "heads",
    "gpt_max_text_tokens": "max_text_tokens",
    "gpt_max_audio_tokens": "max_mel_tokens",
    "gpt_number_text_tokens": "number_text_tokens",
    "gpt_num_audio_tokens": "number_mel_codes",
    "gpt_start_audio_token": "start_mel_token",
    "gpt_stop_audio_token": "stop_mel_token",
    "gpt_start_text_token": "start_text_token",
    "gpt_stop_text_token": "stop_text_token",
    "gpt_use_perceiver_resampler": "use_perceiver_resampler",
}
_TEXT_MARKS = {"start_text_token": "[START]", "stop_text_token": "[STOP]"}


def _gpt_of(args: Mapping[str, Any], tokens: Mapping[str, int]) -> XttsConfig:
    values = {ours: args[theirs] for theirs, ours in _GPT_ARGUMENTS.items() if args.get(theirs) is not None}
    for name, mark in _TEXT_MARKS.items():
        if name not in values and mark in tokens:
            values[name] = tokens[mark]
    return XttsConfig.from_dict({"use_perceiver_resampler": False, **values})


def hifigan_of(args: Mapping[str, Any]) -> HifiganConfig:
    """Return the decoder's sizes from a release's ``model_args``; what they lack is as in the release."""
    renamed = {
        "decoder_input_dim": "in_channels",
        "d_vector_dim": "cond_channels",
        "cond_d_vector_in_each_upsampling_layer": "cond_each_level",
        "upsample_initial_channel_decoder": "upsample_initial_channel",
        "input_sample_rate": "input_sample_rate",
        "output_sample_rate": "output_sample_rate",
        "gpt_code_stride_len": "code_stride",
    }
    usual: dict[str, Any] = {"cond_channels": 512, "cond_each_level": True, "final_bias": False}
    given = {ours: args[theirs] for theirs, ours in renamed.items() if theirs in args}
    return HifiganConfig.from_dict(usual | given)


def _speaker_encoder_of(args: Mapping[str, Any]) -> SpeakerEncoderConfig:
    given: dict[str, Any] = {"proj_dim": args.get("d_vector_dim", 512)}
    if "speaker_num_filters" in args:
        given["num_filters"] = args["speaker_num_filters"]
    return SpeakerEncoderConfig.from_dict(given)
