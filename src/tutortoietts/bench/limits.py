"""Least work of each stage, from the models' sizes: operations and bytes, and so the least time on a machine.

A multiply-add is two operations. Weights are read once a step, whatever the batch; keys and values once a candidate.
Norms, activations and softmax are left out: they are small, and can be done while the weights come.
The full-size model at 118 codes (483 mel frames): 377 M multiply-adds a code and candidate in the blocks and 8 M in the
head; 123 kB of keys and values a position in half precision; 133 GFLOP a diffusion forward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tutortoietts.bench.limits_vocoder import hifigan_macs, vocoder_macs
from tutortoietts.bench.limits_xtts import perceiver_macs, speaker_encoder_macs
from tutortoietts.core.config import AutoregressiveConfig, ClvpConfig, Config, CtcConfig, DiffusionConfig, HifiganConfig
from tutortoietts.core.config_xtts import SpeakerEncoderConfig, XttsConfig

__all__ = ["Formats", "Phase", "Shape", "Sizes", "stage_phases"]

_CLIP_FRAMES, _DIFFUSION_CLIP_FRAMES = 517, 401  # 132 300 and 102 400 samples, 256 a frame
_XTTS_CHUNK_FRAMES = (345, 173)  # the same clip in chunks of at most four seconds
_SPEAKER_FRAMES = 601  # six seconds, 100 a second


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Work that is done `times` times: `operations` and `bytes` each time."""

    name: str
    operations: float
    bytes: float
    times: int = 1

    def seconds(self, bandwidth: float, rate: float) -> float:
        """Return the least time: memory and arithmetic work at once, the slower one decides."""
        return self.times * max(self.bytes / bandwidth, self.operations / rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Configurations of the models of a pipeline.

    `clvp` and `ctc` None if candidates are not ranked. XTTS has no diffusion and no vocoder, but a decoder of latents
    and a speaker encoder.
    """

    autoregressive: AutoregressiveConfig | XttsConfig
    diffusion: DiffusionConfig | None = None
    vocoder: Config | None = None
    clvp: ClvpConfig | None = None
    ctc: CtcConfig | None = None
    decoder: HifiganConfig | None = None
    speaker_encoder: SpeakerEncoderConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One utterance: `text` tokens, `codes` of each of `candidates`, `forwards` of the diffusion.

    `guided`: number of these that have two rows. `parts`: number of such utterances, one after the other.
    """

    text: int
    codes: int
    candidates: int
    forwards: int
    guided: int = 0
    parts: int = 1

    @property
    def frames(self) -> int:
        """Mel frames (24 kHz, hop 256) of the codes (22.05 kHz, hop 1024)."""
        return self.codes * 4 * 24000 // 22050


@dataclass(frozen=True, slots=True, kw_only=True)
class Formats:
    """Bytes per number: of the weights of each model, and of keys and values."""

    autoregressive: float = 4.0
    cache: float = 4.0
    clvp: float = 4.0
    diffusion: float = 4.0


def stage_phases(sizes: Sizes, shape: Shape, formats: Formats) -> Mapping[str, Sequence[Phase]]:
    """Return the phases of each stage, by its name in the report of a request."""
    phases: dict[str, tuple[Phase, ...]] = {
        "condition": _condition(sizes),
        "codes": _codes(sizes.autoregressive, shape, formats),
        "ranking": _ranking(sizes, shape, formats) if shape.candidates > 1 else (),
        "diffusion": () if sizes.diffusion is None else _diffusion(sizes.diffusion, shape, formats),
        "decoder": () if sizes.decoder is None else _waveform(hifigan_macs(sizes.decoder, shape.frames)),
        "vocoder": () if sizes.vocoder is None else _waveform(vocoder_macs(sizes.vocoder, shape.frames)),
    }
    once = ("condition",)
    return {
        stage: some if stage in once else tuple(_repeated(phase, shape.parts) for phase in some)
        for stage, some in phases.items()
        if some
    }


def _waveform(macs: int) -> tuple[Phase, ...]:
    return (Phase(name="waveform", operations=2 * macs, bytes=0.0),)


def _repeated(phase: Phase, parts: int) -> Phase:
    return Phase(name=phase.name, operations=phase.operations, bytes=phase.bytes, times=phase.times * parts)


# the autoregressive model


CodesConfig = AutoregressiveConfig | XttsConfig


def block_weights(cfg: CodesConfig) -> int:
    """Count the weights of the transformer blocks: a layer has 12 times width squared (qkv 3, projection 1, MLP 8)."""
    return 12 * cfg.layers * cfg.model_dim**2


def step_weights(cfg: CodesConfig) -> int:
    """Count the weights that a step reads, also its multiply-adds per candidate before attention: blocks and head."""
    return block_weights(cfg) + cfg.model_dim * cfg.number_mel_codes


def attention_macs(cfg: CodesConfig, positions: int) -> int:
    """Count the multiply-adds of one new code's attention to `positions`: scores and weighted values."""
    return 2 * cfg.layers * cfg.model_dim * positions


def cached_numbers(cfg: CodesConfig) -> int:
    """Count the keys and values of one position and candidate."""
    return 2 * cfg.layers * cfg.model_dim


def prefix_positions(cfg: CodesConfig, text: int) -> int:
    """Count the positions before the first code: the voice, and the text between its start and stop; Tortoise has one
    position for the voice and two stops."""
    return cfg.prompt_latents + text + 2 if isinstance(cfg, XttsConfig) else text + 4


def _codes(cfg: CodesConfig, shape: Shape, formats: Formats) -> tuple[Phase, ...]:
    prefix = prefix_positions(cfg, shape.text)
    seen = prefix + (shape.codes + 1) // 2  # positions that a step sees on average
    weights = block_weights(cfg) * formats.autoregressive
    prefill = prefix * block_weights(cfg) + prefix * attention_macs(cfg, prefix)
    step = shape.candidates * (step_weights(cfg) + attention_macs(cfg, seen))
    traffic = step_weights(cfg) * formats.autoregressive
    traffic += shape.candidates * seen * cached_numbers(cfg) * formats.cache
    return (
        Phase(name="prefix", operations=2 * prefill, bytes=weights),
        Phase(name="steps", operations=2 * step, bytes=traffic, times=shape.codes),
    )


# ranking


def encoder_macs(dim: int, depth: int, inner: int, mult: int, length: int) -> int:
    """Count one row of a rotary encoder: attention of `inner` channels, gated feed-forward of `mult` widths."""
    return depth * length * (encoder_weights(dim, 1, inner, mult) + 2 * length * inner)


def encoder_weights(dim: int, depth: int, inner: int, mult: int) -> int:
    return depth * (4 * dim * inner + 3 * mult * dim**2)


def _ranking(sizes: Sizes, shape: Shape, formats: Formats) -> tuple[Phase, ...]:
    of_clvp = () if sizes.clvp is None else _agreement(sizes.clvp, shape, formats)
    return of_clvp if sizes.ctc is None else (*of_clvp, _recognition(sizes.ctc, shape))


def _recognition(cfg: CtcConfig, shape: Shape) -> Phase:
    block = (7 + 2 * cfg.intermediate_dim) * cfg.dim
    of_code = cfg.layers * block + cfg.dim * cfg.upsample * cfg.num_text_tokens
    return Phase(name="recognition", operations=2 * shape.candidates * shape.codes * of_code, bytes=0.0)


def _agreement(cfg: ClvpConfig, shape: Shape, formats: Formats) -> tuple[Phase, ...]:
    text = (cfg.dim_text, cfg.text_enc_depth, cfg.text_heads * cfg.head_dim, cfg.feed_forward_mult)
    speech = (cfg.dim_speech, cfg.speech_enc_depth, cfg.speech_heads * cfg.head_dim, cfg.feed_forward_mult)
    of_text = encoder_macs(*text, shape.text + 1) + cfg.dim_text * cfg.dim_latent
    of_row = encoder_macs(*speech, shape.codes) + cfg.dim_speech * cfg.dim_latent
    return (
        Phase(name="text", operations=2 * of_text, bytes=encoder_weights(*text) * formats.clvp),
        Phase(name="rows", operations=2 * shape.candidates * of_row, bytes=encoder_weights(*speech) * formats.clvp),
    )


# diffusion


def frame_weights(cfg: DiffusionConfig) -> int:
    """Count the weights that each mel frame passes in a forward, also its multiply-adds before attention.

    A layer has 4 (residual block) and 4 (attention) times the width squared, the residual blocks at the end have 4.
    """
    width, layers = cfg.model_channels, cfg.integrator_layers + cfg.num_layers
    ends = 3 * width * (cfg.in_channels + cfg.out_channels) + 2 * width**2
    return (8 * layers + 4 * cfg.head_residual_blocks) * width**2 + ends


def time_weights(cfg: DiffusionConfig) -> int:
    """Count the weights that only the embedded step passes, once per row."""
    residual = cfg.integrator_layers + cfg.num_layers + cfg.head_residual_blocks
    return (2 + 2 * residual) * cfg.model_channels**2


def forward_macs(cfg: DiffusionConfig, frames: int) -> int:
    """Count the multiply-adds of a forward of one row."""
    attention = 2 * (cfg.integrator_layers + cfg.num_layers) * cfg.model_channels * frames
    return frames * (frame_weights(cfg) + attention) + time_weights(cfg)


def align_macs(cfg: DiffusionConfig, latents: int) -> int:
    """Count the multiply-adds of aligning latents to frames, once per utterance."""
    width = cfg.model_channels
    spread = cfg.latent_upsample * width**2 if cfg.latent_upsample > 1 else 0
    blocks = cfg.latent_conditioner_blocks * (4 * width**2 + 2 * width * latents)
    return latents * (3 * cfg.in_latent_channels * width + blocks + spread)


def _diffusion(cfg: DiffusionConfig, shape: Shape, formats: Formats) -> tuple[Phase, ...]:
    read = (frame_weights(cfg) + time_weights(cfg)) * formats.diffusion
    row, plain = 2 * forward_macs(cfg, shape.frames), shape.forwards - shape.guided
    return (
        Phase(name="align", operations=2 * align_macs(cfg, shape.codes), bytes=0.0),
        Phase(name="forwards", operations=row, bytes=read, times=plain),
        Phase(name="guided forwards", operations=2 * row, bytes=read, times=shape.guided),
    )


# a voice from one clip


def speaker_macs(cfg: CodesConfig, frames: int) -> int:
    """Count the multiply-adds of the speaker latent of a clip's mel."""
    blocks = cfg.conditioning_blocks * (4 * cfg.model_dim**2 + 2 * cfg.model_dim * frames)
    return frames * (cfg.mel_channels * cfg.model_dim + blocks)


def spectrum_macs(cfg: DiffusionConfig, frames: int) -> int:
    """Count those of the diffusion latent of a clip's mel: two convolutions that halve its length, then attention."""
    width, half = cfg.model_channels, -(-frames // 2)
    length = -(-half // 2)
    convolutions = 3 * cfg.in_channels * width * half + 6 * width**2 * length
    return convolutions + cfg.contextual_embedder_blocks * length * (16 * width**2 + 4 * width * length)


def _condition(sizes: Sizes) -> tuple[Phase, ...]:
    cfg = sizes.autoregressive
    if isinstance(cfg, XttsConfig):
        macs = {"prompt": sum(speaker_macs(cfg, n) + perceiver_macs(cfg, n) for n in _XTTS_CHUNK_FRAMES)}
    else:
        macs = {"speaker": speaker_macs(cfg, _CLIP_FRAMES)}
    if sizes.diffusion is not None:
        macs["spectrum"] = spectrum_macs(sizes.diffusion, _DIFFUSION_CLIP_FRAMES)
    if sizes.speaker_encoder is not None:
        macs["vector"] = speaker_encoder_macs(sizes.speaker_encoder, _SPEAKER_FRAMES)
    return tuple(Phase(name=name, operations=2 * count, bytes=0.0) for name, count in macs.items())
