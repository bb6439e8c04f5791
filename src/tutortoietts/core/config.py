"""Sizes of every model, as frozen dataclasses; defaults are the public full-size checkpoints.

``X.from_dict(mapping)`` reads the configuration a checkpoint comes with: keys that only matter to training are ignored
by an explicit list, keys we support with one value only must have it, any other unknown key is refused with the nearest
name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, ClassVar, TypeVar

from tutortoietts.core.errors import ModelError

__all__ = [
    "CONFIGS",
    "AutoregressiveConfig",
    "BigVGANConfig",
    "ClassifierConfig",
    "ClvpConfig",
    "Config",
    "CvvpConfig",
    "DiffusionConfig",
    "DvaeConfig",
    "HifiganConfig",
    "ModelSpec",
    "RandomLatentConfig",
    "TokenizerSpec",
    "UnivNetConfig",
    "VocosConfig",
]

_C = TypeVar("_C", bound="Config")


class Config:
    """Base of all model configurations: reading from and writing to plain mappings, and checks."""

    __slots__ = ()
    IGNORED: ClassVar[frozenset[str]] = frozenset()  # keys of the originals that only matter to training
    FIXED: ClassVar[Mapping[str, Any]] = {}  # keys of the originals of which we support one value

    @classmethod
    def from_dict(cls: type[_C], values: Mapping[str, Any]) -> _C:
        """Raises ModelError for an unknown key (naming the nearest known one) or a value out of its range."""
        names = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        known: dict[str, Any] = {}
        for key, value in values.items():
            if key in names:
                known[key] = _frozen(value)
            elif key in cls.FIXED:
                _require(value == cls.FIXED[key], cls, key, value, f"only {cls.FIXED[key]!r} is supported")
            elif key not in cls.IGNORED:
                raise _unknown(cls.__name__, key, names)
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that ``from_dict`` reads and JSON can hold."""
        return {f.name: _thawed(getattr(self, f.name)) for f in dataclasses.fields(self)}  # type: ignore[arg-type]


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def _thawed(value: Any) -> Any:
    return [_thawed(item) for item in value] if isinstance(value, tuple) else value


def _unknown(owner: str, key: str, names: set[str]) -> ModelError:
    near = get_close_matches(key, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known keys are {', '.join(sorted(names))}"
    return ModelError(f"{owner}: unknown key {key!r}{hint}", key=key)


def _require(holds: bool, cls: type, key: str, value: object, limit: str) -> None:
    if not holds:
        raise ModelError(f"{cls.__name__}.{key} is {value!r}: {limit}", key=key)


def _check(config: Any, *, zero: tuple[str, ...] = ()) -> None:
    """Every field has the type of its default; whole numbers are positive (those named in `zero` may be 0)."""
    for item in dataclasses.fields(config):
        value, default = getattr(config, item.name), item.default
        cls, name = type(config), item.name
        if isinstance(default, bool):
            _require(isinstance(value, bool), cls, name, value, "must be true or false")
        elif isinstance(default, int):
            least = 0 if name in zero else 1
            whole = isinstance(value, int) and not isinstance(value, bool)
            _require(whole and value >= least, cls, name, value, f"must be a whole number of at least {least}")
        elif isinstance(default, float):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            _require(number, cls, name, value, "must be a number")
        elif isinstance(default, str):
            _require(isinstance(value, str), cls, name, value, "must be text")
        elif isinstance(default, tuple):
            _require(isinstance(value, tuple) and _positive(value), cls, name, value, "must be a list of whole numbers")


def _positive(values: tuple[Any, ...]) -> bool:
    nested = all(isinstance(v, tuple) and _positive(v) for v in values)
    return bool(values) and (nested or all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in values))


def _divides(config: Any, whole: str, by: str) -> None:
    value, parts = getattr(config, whole), getattr(config, by)
    _require(value % parts == 0, type(config), whole, value, f"must be a multiple of {by} ({parts})")


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoregressiveConfig(Config):
    """Text to codes. Position tables have ``max_text_tokens + 2`` and ``mel_positions`` entries."""

    IGNORED: ClassVar[frozenset[str]] = frozenset({"train_solo_embeddings", "checkpointing", "use_mel_codes_as_input"})

    layers: int = 30
    model_dim: int = 1024
    heads: int = 16
    max_text_tokens: int = 402
    max_mel_tokens: int = 604
    max_conditioning_inputs: int = 2
    number_text_tokens: int = 255
    start_text_token: int = 255
    stop_text_token: int = 0
    number_mel_codes: int = 8194
    start_mel_token: int = 8192
    stop_mel_token: int = 8193
    conditioning_blocks: int = 6
    mel_channels: int = 80

    def __post_init__(self) -> None:
        _check(self, zero=("start_text_token", "stop_text_token", "start_mel_token", "stop_mel_token"))
        _divides(self, "model_dim", "heads")
        for name in ("start_mel_token", "stop_mel_token"):
            value = getattr(self, name)
            _require(value < self.number_mel_codes, type(self), name, value, f"must be below {self.number_mel_codes}")
        for name in ("start_text_token", "stop_text_token"):
            value = getattr(self, name)
            _require(value < self.text_vocabulary, type(self), name, value, f"must be below {self.text_vocabulary}")

    @property
    def text_vocabulary(self) -> int:
        """Rows of the text embedding: the tokens and one more, the start token."""
        return self.number_text_tokens + 1

    @property
    def text_positions(self) -> int:
        """Longest text part, start token and final stop token included."""
        return self.max_text_tokens + 2

    @property
    def mel_positions(self) -> int:
        """Longest code part, start code and stop code included."""
        return self.max_mel_tokens + 2 + self.max_conditioning_inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class ClvpConfig(Config):
    """Agreement of text and codes. The sequence lengths are those of the original's training."""

    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {"use_xformers", "text_mask_percentage", "voice_mask_percentage", "wav_token_compression"}
    )

    dim_text: int = 768
    dim_speech: int = 768
    dim_latent: int = 768
    num_text_tokens: int = 256
    text_enc_depth: int = 20
    text_seq_len: int = 350
    text_heads: int = 12
    num_speech_tokens: int = 8192
    speech_enc_depth: int = 20
    speech_heads: int = 12
    speech_seq_len: int = 430
    head_dim: int = 64
    rotary_dim: int = 32
    feed_forward_mult: int = 2

    def __post_init__(self) -> None:
        _check(self)
        limit = f"must be even and at most head_dim ({self.head_dim})"
        _require(
            self.rotary_dim % 2 == 0 and self.rotary_dim <= self.head_dim,
            type(self),
            "rotary_dim",
            self.rotary_dim,
            limit,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CvvpConfig(Config):
    """Agreement of a reference clip's mel and codes."""

    IGNORED: ClassVar[frozenset[str]] = frozenset({"dropout", "cond_mask_percentage", "speech_mask_percentage"})

    model_dim: int = 512
    transformer_heads: int = 8
    mel_codes: int = 8192
    conditioning_enc_depth: int = 8
    speech_enc_depth: int = 8
    latent_multiplier: int = 1
    mel_channels: int = 80
    head_dim: int = 64
    rotary_dim: int = 32

    def __post_init__(self) -> None:
        _check(self)
        _divides(self, "model_dim", "transformer_heads")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffusionConfig(Config):
    """Latents to mel. The counts after ``num_heads`` are constants of the original, here for small models."""

    IGNORED: ClassVar[frozenset[str]] = frozenset({"dropout", "use_fp16", "layer_drop", "unconditioned_percentage"})
    FIXED: ClassVar[Mapping[str, Any]] = {"freeze_everything_except_autoregressive_inputs": False}

    model_channels: int = 1024
    num_layers: int = 10
    in_channels: int = 100
    out_channels: int = 200
    in_latent_channels: int = 1024
    in_tokens: int = 8193
    num_heads: int = 16
    latent_conditioner_blocks: int = 4
    contextual_embedder_blocks: int = 5
    code_converter_blocks: int = 3
    integrator_layers: int = 3
    head_residual_blocks: int = 3

    def __post_init__(self) -> None:
        blocks = ("latent_conditioner_blocks", "contextual_embedder_blocks", "code_converter_blocks")
        _check(self, zero=(*blocks, "integrator_layers", "head_residual_blocks"))
        _divides(self, "model_channels", "num_heads")
        expected = 2 * self.in_channels
        _require(
            self.out_channels == expected,
            type(self),
            "out_channels",
            self.out_channels,
            f"must be twice in_channels ({expected}): noise estimate and variance",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DvaeConfig(Config):
    """Mel to codes and back."""

    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {
            "smooth_l1_loss",
            "straight_through",
            "record_codes",
            "discretization_loss_averaging_steps",
            "lr_quantizer_args",
        }
    )
    FIXED: ClassVar[Mapping[str, Any]] = {
        "positional_dims": 1,
        "normalization": None,
        "use_transposed_convs": False,
        "stride": 2,
        "activation": "relu",
        "encoder_norm": False,
    }

    channels: int = 80
    num_tokens: int = 8192
    codebook_dim: int = 512
    hidden_dim: int = 512
    num_resnet_blocks: int = 3
    kernel_size: int = 3
    num_layers: int = 2

    def __post_init__(self) -> None:
        _check(self, zero=("num_resnet_blocks",))
        _require(self.kernel_size % 2 == 1, type(self), "kernel_size", self.kernel_size, "must be odd")


@dataclass(frozen=True, slots=True, kw_only=True)
class VocosConfig(Config):
    """Mel to waveform by ConvNeXt blocks and an inverse STFT."""

    n_mels: int = 100
    dim: int = 256
    intermediate_dim: int = 768
    layers: int = 6
    n_fft: int = 1024
    hop: int = 256

    def __post_init__(self) -> None:
        _check(self)
        _divides(self, "n_fft", "hop")
        _require(
            self.n_fft >= 4 * self.hop, type(self), "n_fft", self.n_fft, f"must be at least 4 hops ({4 * self.hop})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnivNetConfig(Config):
    """Mel and noise to waveform."""

    noise_dim: int = 64
    channel_size: int = 32
    dilations: tuple[int, ...] = (1, 3, 9, 27)
    strides: tuple[int, ...] = (8, 8, 4)
    lReLU_slope: float = 0.2
    kpnet_conv_size: int = 3
    kpnet_hidden_channels: int = 64
    hop_length: int = 256
    n_mel_channels: int = 100

    def __post_init__(self) -> None:
        _check(self)
        total = 1
        for stride in self.strides:
            total *= stride
        limit = f"must multiply to hop_length ({self.hop_length})"
        _require(total == self.hop_length, type(self), "strides", self.strides, limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class BigVGANConfig(Config):
    """Mel to waveform; defaults are the public base model (14 M)."""

    IGNORED: ClassVar[frozenset[str]] = frozenset(
        """
        num_gpus batch_size learning_rate adam_b1 adam_b2 lr_decay seed resolutions mpd_reshapes use_spectral_norm
        discriminator_channel_mult segment_size num_freq num_workers dist_config fmax_for_loss fmin fmax n_fft win_size
        use_cqtd_instead_of_mrd cqtd_filters cqtd_max_filters cqtd_filters_scale cqtd_dilations cqtd_hop_lengths
        cqtd_n_octaves cqtd_bins_per_octaves use_multiscale_melloss lambda_melloss clip_grad_norm freeze_step
        discriminator normalize_volume
        """.split()
    )
    FIXED: ClassVar[Mapping[str, Any]] = {"activation": "snakebeta", "snake_logscale": True, "resblock": "1"}

    upsample_rates: tuple[int, ...] = (8, 8, 2, 2)
    upsample_kernel_sizes: tuple[int, ...] = (16, 16, 4, 4)
    upsample_initial_channel: int = 512
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    num_mels: int = 100
    sampling_rate: int = 24000
    hop_size: int = 256
    use_tanh_at_final: bool = True
    use_bias_at_final: bool = True

    def __post_init__(self) -> None:
        _check(self)
        _check_upsampler(self, self.upsample_rates)


@dataclass(frozen=True, slots=True, kw_only=True)
class HifiganConfig(Config):
    """Latents and speaker latent straight to waveform; resampled linearly to the output rate before the network."""

    FIXED: ClassVar[Mapping[str, Any]] = {"resblock_type": "1"}

    in_channels: int = 1024
    out_channels: int = 1
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    upsample_kernel_sizes: tuple[int, ...] = (16, 16, 4, 4)
    upsample_factors: tuple[int, ...] = (8, 8, 2, 2)
    upsample_initial_channel: int = 512
    cond_channels: int = 1024
    code_stride: int = 1024  # samples a code at input_sample_rate
    input_sample_rate: int = 22050
    output_sample_rate: int = 24000

    def __post_init__(self) -> None:
        _check(self, zero=("cond_channels",))
        _check_upsampler(self, self.upsample_factors)


def _check_upsampler(config: Any, rates: tuple[int, ...]) -> None:
    """HiFi-GAN's layout: one kernel size for every rate, one list of dilations for every residual kernel."""
    cls, kernels = type(config), config.upsample_kernel_sizes
    _require(len(kernels) == len(rates), cls, "upsample_kernel_sizes", kernels, f"must have {len(rates)} entries")
    dilations, sizes = config.resblock_dilation_sizes, config.resblock_kernel_sizes
    _require(len(dilations) == len(sizes), cls, "resblock_dilation_sizes", dilations, f"must have {len(sizes)} entries")


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomLatentConfig(Config):
    """Normal noise to a speaker latent; ``layers`` equalised layers and a plain one."""

    channels: int = 1024
    layers: int = 5

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierConfig(Config):
    """Was this waveform made by Tortoise?"""

    IGNORED: ClassVar[frozenset[str]] = frozenset({"dropout", "distribute_zero_label"})

    classes: int = 2
    spec_dim: int = 1
    embedding_dim: int = 512
    depth: int = 5
    downsample_factor: int = 4
    resnet_blocks: int = 2
    attn_blocks: int = 4
    num_attn_heads: int = 4
    base_channels: int = 32
    kernel_size: int = 5

    def __post_init__(self) -> None:
        _check(self, zero=("attn_blocks",))
        _divides(self, "embedding_dim", "num_attn_heads")


CONFIGS: Mapping[str, type[Config]] = {
    "autoregressive": AutoregressiveConfig,
    "bigvgan": BigVGANConfig,
    "classifier": ClassifierConfig,
    "clvp": ClvpConfig,
    "cvvp": CvvpConfig,
    "diffusion": DiffusionConfig,
    "dvae": DvaeConfig,
    "hifigan": HifiganConfig,
    "random_latent": RandomLatentConfig,
    "univnet": UnivNetConfig,
    "vocos": VocosConfig,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerSpec(Config):
    """Tokenizer file of a model directory and the cleaner its texts went through."""

    file: str = "tokenizer.json"
    cleaner: str = "english"

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model directory's ``model.json``: which models with which sizes, and the presets it brings.

    `clvp` None: candidates are not ranked. `calm_token`: the code of silence, None where the end repair does not apply.
    `presets`: name -> options that override the usual ones; checked where presets are made. `reference_mel`: how the
    diffusion model's encoder sees a reference clip's mel, "normalized" to -1..1, or in "nats" (the public checkpoint).
    """

    name: str
    autoregressive: AutoregressiveConfig
    diffusion: DiffusionConfig
    vocoder: Config
    clvp: ClvpConfig | None = None
    stream_decoder: Config | None = None
    tokenizer: TokenizerSpec = field(default_factory=TokenizerSpec)
    default_preset: str = "fast"
    calm_token: int | None = 83
    reference_mel: str = "normalized"
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seen = ("normalized", "nats")
        _require(self.reference_mel in seen, type(self), "reference_mel", self.reference_mel, f"must be one of {seen}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelSpec:
        """Reads format 1. Raises ModelError for another format, an unknown or missing key, or a bad value."""
        rest = dict(values)
        written = rest.pop("format", 1)
        _require(written == 1, cls, "format", written, "this version reads format 1; update tutortoietts")
        names = {f.name for f in dataclasses.fields(cls)}
        for key in rest:
            if key not in names:
                raise _unknown(cls.__name__, key, names)
        for key in ("name", "autoregressive", "diffusion", "vocoder"):
            if key not in rest:
                raise ModelError(f"{cls.__name__}: {key!r} is missing", key=key)
        for key, part in _PARTS.items():
            if rest.get(key) is not None:
                rest[key] = part.from_dict(rest[key])
        rest["vocoder"] = _by_kind("vocoder", rest["vocoder"])
        if rest.get("stream_decoder") is not None:
            rest["stream_decoder"] = _by_kind("stream_decoder", rest["stream_decoder"])
        return cls(**rest)

    def to_dict(self) -> dict[str, Any]:
        """The contents of ``model.json``."""
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


_PARTS: Mapping[str, type[Config]] = {
    "autoregressive": AutoregressiveConfig,
    "diffusion": DiffusionConfig,
    "clvp": ClvpConfig,
    "tokenizer": TokenizerSpec,
}


def kind_of(config: Config) -> str:
    """The kind of model a configuration belongs to, a key of CONFIGS."""
    return next(kind for kind, cls in CONFIGS.items() if cls is type(config))


def _by_kind(part: str, values: Mapping[str, Any]) -> Config:
    """A configuration that names its own kind."""
    kind = str(values.get("kind"))
    if kind not in CONFIGS:
        raise ModelError(f"{part}: kind is {kind!r}, must be one of {', '.join(CONFIGS)}", key="kind")
    return CONFIGS[kind].from_dict({key: value for key, value in values.items() if key != "kind"})
