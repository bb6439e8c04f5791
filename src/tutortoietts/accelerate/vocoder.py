"""BigVGAN and HiFi-GAN by our own convolutions in C on a CPU: about as fast as the processor can multiply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from tutortoietts.accelerate.eligible import changed_layer, forwards
from tutortoietts.models import bigvgan, hifigan
from tutortoietts.models.bigvgan import BigVGAN, SnakeBeta
from tutortoietts.models.hifigan import LAST_SLOPE, SLOPE, Hifigan
from tutortoietts.native.vocoder_conv import (
    Activation,
    Layer,
    Pair,
    Upsampler,
    can_convolve,
    convolution,
    leaky,
    snake,
    transposed_convolution,
)
from tutortoietts.nn.upsample import split_levels

__all__ = ["AcceleratedBigVGAN", "AcceleratedHifigan", "accelerate_vocoder", "conv_layer", "lower"]

_KNOWN = forwards(
    *(nn.Conv1d, nn.ConvTranspose1d, bigvgan.ResidualBlock, SnakeBeta, hifigan.ResidualBlock),
)
_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


class AcceleratedBigVGAN(BigVGAN):
    """BigVGAN whose forwards without gradients on a CPU run in C, with the weights at the time of `accelerate`."""

    network: Upsampler

    def accelerate(self, half: bool = False) -> None:
        """Take the weights anew, after a change to them. half: as in `accelerate_vocoder`."""
        accelerate_vocoder(self, half)

    def upsample(self, mel: Tensor) -> Tensor:
        if mel.device.type != "cpu" or torch.is_grad_enabled():
            return super().upsample(mel)
        return self.network(mel).to(mel.dtype)


class AcceleratedHifigan(Hifigan):
    """HiFi-GAN whose forwards without gradients on a CPU run in C, with the weights at the time of `accelerate`."""

    network: Upsampler

    def accelerate(self, half: bool = False) -> None:
        """Take the weights anew, after a change to them. half: as in `accelerate_vocoder`."""
        accelerate_vocoder(self, half)

    def upsample(self, frames: Tensor, shifts: Sequence[Tensor], skip: tuple[int, int] = (0, 0)) -> Tensor:
        if frames.device.type != "cpu" or torch.is_grad_enabled():
            return super().upsample(frames, shifts, skip)
        needed = self.needed(frames.shape[-1], skip) if any(skip) else None
        return self.network(frames, [shift.flatten(1) for shift in shifts], needed).to(frames.dtype)


def accelerate_vocoder(module: BigVGAN | Hifigan, half: bool) -> str | None:
    """Turn a vocoder into its accelerated form in place; return None, or why torch does its work.

    half: with AMX all convolutions but the last multiply 16-bit numbers, which changes the sound by about 1e-4.
    """
    plain, fast = (BigVGAN, AcceleratedBigVGAN) if isinstance(module, BigVGAN) else (Hifigan, AcceleratedHifigan)
    if type(module) not in (plain, fast):
        return f"it is a {type(module).__name__}"
    reason = _why_not(module)
    module.__class__ = fast if reason is None else plain
    if isinstance(module, AcceleratedBigVGAN | AcceleratedHifigan):
        module.network = _network(module, half and can_convolve(split=True))
    else:
        vars(module).pop("network", None)
    return reason


def _why_not(module: BigVGAN | Hifigan) -> str | None:
    last = (module.activation_post,) if isinstance(module, BigVGAN) else ()
    reason = changed_layer((module.conv_pre, module.ups, module.resblocks, *last, module.conv_post), _KNOWN, _DTYPES)
    if reason is None and any(cast(nn.ConvTranspose1d, up).out_channels == 1 for up in module.ups):
        return "a level has one channel"
    return reason or (None if can_convolve() else "no compiled kernels")


def _network(module: BigVGAN | Hifigan, split: bool) -> Upsampler:
    if isinstance(module, BigVGAN):
        before, last = leaky(1), _snake(module.activation_post)
    else:
        before, last = leaky(SLOPE), leaky(LAST_SLOPE)
    blocks = [_pairs(block, split) for block in module.resblocks]
    levels = zip(module.ups, split_levels(blocks, len(module.ups)), strict=True)
    return Upsampler(
        start=conv_layer(module.conv_pre, split),
        levels=[(before, conv_layer(up, split), level) for up, level in levels],
        last=last,
        end=conv_layer(module.conv_post),
    )


def _pairs(block: nn.Module, split: bool) -> list[Pair]:
    """Return the pairs of a residual block of either model."""
    known = cast("bigvgan.ResidualBlock | hifigan.ResidualBlock", block)
    convs = [[conv_layer(conv, split) for conv in some] for some in (known.dilated, known.plain)]
    if isinstance(known, bigvgan.ResidualBlock):
        activations = [_snake(cast(SnakeBeta, activation)) for activation in known.activations]
    else:
        activations = [leaky(SLOPE)] * 2 * len(convs[0])
    parts = zip(activations[::2], convs[0], activations[1::2], convs[1], strict=True)
    return [Pair(before, first, after, second) for before, first, after, second in parts]


def _snake(activation: SnakeBeta) -> Activation:
    return snake(*activation.rates(), activation.filter)


def conv_layer(conv: nn.Module, split: bool = False) -> Layer:
    """Return a layer with the present weights of a convolution: zero padding, no groups, strides only if transposed."""
    if isinstance(conv, nn.ConvTranspose1d):
        place = {"stride": conv.stride[0], "padding": int(conv.padding[0])}
        return transposed_convolution(conv.weight, conv.bias, split=split, **place)
    conv = cast(nn.Conv1d, conv)
    place = {"padding": int(conv.padding[0]), "dilation": conv.dilation[0]}
    return convolution(conv.weight, conv.bias, split=split, **place)


def lower(decoder: Hifigan, dtype: torch.dtype) -> None:
    """Put all convolutions over samples but the last in `dtype`; frames, the last one and the samples stay float32.

    It is about twice as fast where the processor multiplies such matrices.
    """
    for part in (decoder.conv_pre, decoder.ups, decoder.resblocks):
        part.to(dtype)
