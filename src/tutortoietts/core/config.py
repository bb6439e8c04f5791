"""Sizes of every model, as frozen dataclasses; defaults are the public full-size checkpoints.

``X.from_dict(mapping)`` reads the configuration of a checkpoint: keys that only matter to training are ignored by an
explicit list, keys of which one value is supported must have it, any other unknown key is refused, and the nearest name
suggested.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tutortoietts.core.components import COMPONENTS, kind_of, kinds_of
from tutortoietts.core.config_base import Config, check, require, unknown_key
from tutortoietts.core.config_speech import (
    AutoregressiveConfig,
    ClassifierConfig,
    ClvpConfig,
    CtcConfig,
    CvvpConfig,
    DiffusionConfig,
    DvaeConfig,
    RandomLatentConfig,
)
from tutortoietts.core.config_vocoder import (
    BigVGANConfig,
    HifiganConfig,
    StreamVocosConfig,
    UnivNetConfig,
    VocosConfig,
)
from tutortoietts.core.config_xtts import SpeakerEncoderConfig, XttsConfig
from tutortoietts.core.errors import ModelError

__all__ = [
    "CONFIGS",
    "AlignmentSpec",
    "AutoregressiveConfig",
    "BigVGANConfig",
    "ClassifierConfig",
    "ClvpConfig",
    "Config",
    "CtcConfig",
    "CvvpConfig",
    "DiffusionConfig",
    "DvaeConfig",
    "HifiganConfig",
    "ModelSpec",
    "RandomLatentConfig",
    "SpeakerEncoderConfig",
    "StreamVocosConfig",
    "TokenizerSpec",
    "UnivNetConfig",
    "VocosConfig",
    "XttsConfig",
    "kind_of",
]

CONFIGS: Mapping[str, type[Config]] = {kind: one.config for kind, one in COMPONENTS.items()}
"""Kind of model -> its configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerSpec(Config):
    """Tokenizer file of a model directory and the cleaner its texts went through."""

    file: str = "tokenizer.json"
    cleaner: str = "english"

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentSpec(Config):
    """Settings for reading word times off a model's attention; `benchmarks/alignment.py` measures both.

    `bias_seconds`: seconds by which the times come late (mostly negative: early). `heads`: the (layer, head) pairs that
    follow the text; empty: they are found anew for each passage.
    """

    bias_seconds: float = 0.0
    heads: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        bias, heads = self.bias_seconds, self.heads
        number = isinstance(bias, int | float) and not isinstance(bias, bool) and -1 <= bias <= 1
        require(number, type(self), "bias_seconds", bias, "must be a number of seconds from -1 to 1")
        pairs = isinstance(heads, tuple) and all(_is_head(pair) for pair in heads)
        require(pairs, type(self), "heads", heads, "must be a list of pairs of integers, layer and head")


def _is_head(pair: object) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2 and all(type(number) is int and number >= 0 for number in pair)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model directory's ``model.json``: which models with which sizes, and the presets it brings.

    `clvp`, `ctc`: what ranks candidates, each or both; without both they are not ranked. `calm_token`: the code of
    silence, None where the end repair does not apply. `default_voice`: who speaks where no voice is given, None for the
    first by name. `alignment`: how word times are found.
    `presets`: name -> options that override the usual ones; checked where presets are made. `reference_mel`: how the
    diffusion model's encoder sees a reference clip's mel, "normalized" to -1..1, or in "nats" (the public checkpoint).
    """

    name: str
    autoregressive: AutoregressiveConfig
    diffusion: DiffusionConfig
    vocoder: Config
    clvp: ClvpConfig | None = None
    ctc: CtcConfig | None = None
    stream_decoder: Config | None = None
    tokenizer: TokenizerSpec = field(default_factory=TokenizerSpec)
    default_preset: str = "fast"
    default_voice: str | None = None
    calm_token: int | None = 83
    reference_mel: str = "normalized"
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    alignment: AlignmentSpec = field(default_factory=AlignmentSpec)

    def __post_init__(self) -> None:
        seen = ("normalized", "nats")
        require(self.reference_mel in seen, type(self), "reference_mel", self.reference_mel, f"must be one of {seen}")
        for key in ("name", "default_preset"):
            value = getattr(self, key)
            require(isinstance(value, str) and bool(value), type(self), key, value, "must be text")
        voice = self.default_voice
        fits = voice is None or (isinstance(voice, str) and bool(voice))
        require(fits, type(self), "default_voice", voice, "must be null or text")
        calm, codes = self.calm_token, self.autoregressive.number_mel_codes
        fits = calm is None or (type(calm) is int and 0 <= calm < codes)
        require(fits, type(self), "calm_token", calm, f"must be null or an integer below {codes}")
        self._check_heads()
        presets = self.presets
        named = isinstance(presets, Mapping) and all(isinstance(options, Mapping) for options in presets.values())
        require(named, type(self), "presets", presets, "must be an object of objects")

    def _check_heads(self) -> None:
        fits = isinstance(self.alignment, AlignmentSpec)
        require(fits, type(self), "alignment", self.alignment, "must be an object")
        layers, width = self.autoregressive.layers, self.autoregressive.heads
        fits = all(layer < layers and head < width for layer, head in self.alignment.heads)
        limit = f"the autoregressive model has {layers} layers of {width} heads"
        require(fits, AlignmentSpec, "heads", self.alignment.heads, limit)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelSpec:
        """Read format 1. Raises ModelError for another format, an unknown or missing key, or a bad value."""
        if not isinstance(values, Mapping):
            raise ModelError(f"{cls.__name__} is {values!r}: must be an object with keys and values")
        rest = dict(values)
        written = rest.pop("format", 1)
        require(written == 1, cls, "format", written, "this version reads format 1; update tutortoietts")
        names = {f.name for f in dataclasses.fields(cls)}
        for key in rest:
            if key not in names:
                raise unknown_key(cls.__name__, key, names)
        for key in ("name", "autoregressive", "diffusion", "vocoder"):
            if key not in rest:
                raise ModelError(f"{cls.__name__}: {key!r} is missing", key=key)
        for key, config in _CONFIG_OF.items():
            if rest.get(key) is not None:
                rest[key] = config.from_dict(rest[key])
        rest["vocoder"] = _by_kind("vocoder", rest["vocoder"])
        if rest.get("stream_decoder") is not None:
            rest["stream_decoder"] = _by_kind("stream_decoder", rest["stream_decoder"])
        return cls(**rest)

    def to_dict(self) -> dict[str, Any]:
        """Return the contents of ``model.json``."""
        out: dict[str, Any] = {"format": 1}
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Config):
                kind = {"kind": kind_of(value)} if item.name in ("vocoder", "stream_decoder") else {}
                value = kind | value.to_dict()
            elif item.name == "presets":
                value = {name: dict(options) for name, options in value.items()}
            out[item.name] = value
        return out


_CONFIG_OF: Mapping[str, type[Config]] = {
    "autoregressive": AutoregressiveConfig,
    "diffusion": DiffusionConfig,
    "clvp": ClvpConfig,
    "ctc": CtcConfig,
    "tokenizer": TokenizerSpec,
    "alignment": AlignmentSpec,
}


def _by_kind(role: str, values: Mapping[str, Any]) -> Config:
    """Return the configuration of a component whose values name their own kind."""
    if not isinstance(values, Mapping):
        raise ModelError(f"{role} is {values!r}: must be an object that names its kind", key=role)
    kind, known = str(values.get("kind")), kinds_of(role)
    if kind not in known:
        raise ModelError(f"{role}: kind is {kind!r}, must be one of {', '.join(known)}", key="kind")
    return COMPONENTS[kind].config.from_dict({key: value for key, value in values.items() if key != "kind"})
