"""BigVGAN vocoder: HiFi-GAN's layout with periodic activations that are kept free of aliasing.

Lee et al., "BigVGAN: A Universal Neural Vocoder with Large-Scale Training", 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutortoietts.core.config import BigVGANConfig
from tutortoietts.native.vocoder_conv import Activation, Pair, Upsampler, layer_of, leaky, snake, upsampler_of
from tutortoietts.nn.upsample import branch_mean, dilated_pairs, level_widths, upsamplers

__all__ = ["BigVGAN", "antialias_filter"]

_TAPS = 12
_EPSILON = 1e-9
_BLOCK = 1 << 16  # samples at once on a CPU: with their doubles and a copy about 1 MB, which stays in its cache


class BigVGAN(nn.Module):
    """Mel (B, num_mels, F) -> waveform (B, 1, F * product of upsample_rates)."""

    def __init__(self, cfg: BigVGANConfig) -> None:
        super().__init__()
        self.cfg = cfg
        widths = level_widths(cfg.upsample_initial_channel, len(cfg.upsample_rates))
        self.conv_pre = nn.Conv1d(cfg.num_mels, widths[0], 7, padding=3)
        self.ups = upsamplers(widths, cfg.upsample_rates, cfg.upsample_kernel_sizes)
        shapes = list(zip(cfg.resblock_kernel_sizes, cfg.resblock_dilation_sizes, strict=True))
        self.resblocks = nn.ModuleList(
            _ResidualBlock(width, size, dilations) for width in widths[1:] for size, dilations in shapes
        )
        self.activation_post = _SnakeBeta(widths[-1])
        self.conv_post = nn.Conv1d(widths[-1], 1, 7, padding=3, bias=cfg.use_bias_at_final)
        self.native: Upsampler | None = None

    def accelerate(self, half: bool = False) -> None:
        """Run forwards without gradients on a CPU by `native.vocoder_conv` where the machine can, with the
        weights as they are now. `half`: where it has a matrix unit, its convolutions but the last may multiply numbers
        of 16 bits, which leaves the sound within about 1e-4 of what it is."""
        self.native = upsampler_of(self, leaky(1), self.activation_post.native(), half)

    def forward(self, mel: Tensor) -> Tensor:
        """mel (B, num_mels, F), log scale -> (B, 1, L) in [-1, 1]."""
        if self.native is not None and mel.device.type == "cpu" and not torch.is_grad_enabled():
            x = self.native(mel).to(mel.dtype)
        else:
            x = self.conv_pre(mel)
            branches = len(self.cfg.resblock_kernel_sizes)
            for level, up in enumerate(self.ups):
                x = up(x)
                x = branch_mean(self.resblocks, level, branches, x)
            x = self.conv_post(self.activation_post(x))
        return torch.tanh(x) if self.cfg.use_tanh_at_final else x.clamp(-1.0, 1.0)


class _ResidualBlock(nn.Module):
    """(B, C, L) -> same: pairs of a dilated and a plain convolution, an activation before each."""

    def __init__(self, width: int, size: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.dilated, self.plain = dilated_pairs(width, size, dilations)
        self.activations = nn.ModuleList(_SnakeBeta(width) for _ in range(2 * len(dilations)))

    def forward(self, x: Tensor) -> Tensor:
        for pair, (dilated, plain) in enumerate(zip(self.dilated, self.plain, strict=True)):
            inner = dilated(self.activations[2 * pair](x))
            x = x + plain(self.activations[2 * pair + 1](inner))
        return x

    def native(self, split: bool) -> list[Pair]:
        """The same for `native.vocoder_conv`."""
        acts = [cast(_SnakeBeta, activation).native() for activation in self.activations]
        first, second = ([layer_of(cast(nn.Conv1d, c), split) for c in convs] for convs in (self.dilated, self.plain))
        return [Pair(*parts) for parts in zip(acts[::2], first, acts[1::2], second, strict=True)]


class _SnakeBeta(nn.Module):
    """x + sin^2(x e^alpha) / e^beta at twice the rate, so that the harmonics it makes do not fold back."""

    filter: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(width))
        self.beta = nn.Parameter(torch.zeros(width))
        self.register_buffer("filter", antialias_filter(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, L) -> same."""
        taps, alpha, beta = self.filter.to(x.dtype), self.alpha.exp()[:, None], self.beta.exp()[:, None] + _EPSILON
        if x.device.type == "cpu" and not torch.is_grad_enabled():
            return _in_blocks(x, taps, alpha, beta)
        x = _double(x, taps)
        return _halve(x + torch.sin(x * alpha).square() / beta, taps)

    def native(self) -> Activation:
        """The same for `native.vocoder_conv`."""
        return snake(self.alpha.exp(), self.beta.exp() + _EPSILON, self.filter)


def antialias_filter() -> Tensor:
    """(12,): low-pass at a quarter of the sample rate, transition 0.3: a sinc under a Kaiser window, of sum 1."""
    cutoff, transition = 0.25, 0.3
    attenuation = 2.285 * (_TAPS // 2 - 1) * torch.pi * 4 * transition + 7.95
    window = torch.kaiser_window(
        _TAPS, periodic=False, beta=0.1102 * (attenuation - 8.7), dtype=torch.float32, device="cpu"
    )
    time = torch.arange(-_TAPS // 2, _TAPS // 2, dtype=torch.float32, device="cpu") + 0.5
    taps = window * torch.sinc(2 * cutoff * time)
    return taps / taps.sum()


def _double(x: Tensor, taps: Tensor) -> Tensor:
    """(B, C, L) -> (B, C, 2 L): interpolation, edges replicated. Each output phase sees every second tap."""
    batch, width, length = x.shape
    padded = F.pad(x, (3, 3), mode="replicate").reshape(batch * width, 1, length + 6)
    phases = torch.stack([taps[1::2].flip(0), taps[0::2].flip(0)])[:, None] * 2
    out = F.conv1d(padded, phases)  # (B C, 2, L + 1): the first phase lags by one
    both = torch.stack([out[:, 0, :length], out[:, 1, 1:]], dim=-1)
    return both.reshape(batch, width, 2 * length)


def _halve(x: Tensor, taps: Tensor) -> Tensor:
    """(B, C, 2 L) -> (B, C, L): low-pass and keep every second sample, edges replicated."""
    batch, width, length = x.shape
    padded = F.pad(x, (_TAPS // 2 - 1, _TAPS // 2), mode="replicate").reshape(batch * width, 1, -1)
    return F.conv1d(padded, taps[None, None], stride=2).view(batch, width, length // 2)


def _in_blocks(x: Tensor, taps: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """All of `_SnakeBeta.forward` some rows at a time: x (B, C, L), alpha and beta (C, 1).

    On a CPU 3 to 5 times as fast. The doubled signal stays apart as its even and odd samples, and each filter is a sum
    of shifted copies.
    """
    batch, width, length = x.shape
    rows, out = x.reshape(batch * width, length), x.new_empty(batch * width, length)
    alpha, share = alpha.repeat(batch, 1), beta.reciprocal().repeat(batch, 1)
    even, odd = taps[1::2].tolist(), taps[0::2].tolist()
    count = max(1, _BLOCK // length)
    for start in range(0, len(rows), count):
        part = slice(start, start + count)
        padded = F.pad(rows[part], (3, 3), mode="replicate")
        doubled = padded.new_empty(2, *padded.shape)  # edges included, for the second filter
        for phase, weights, shift in ((0, even[::-1], 0), (1, odd[::-1], 1)):
            _weigh(padded, [2 * weight for weight in weights], shift, out=doubled[phase, :, 3:-3])
        for phase in doubled[:, :, 3:-3]:
            phase.addcmul_((phase * alpha[part]).sin_().square_(), share[part])
        doubled[:, :, :3], doubled[:, :, -3:] = doubled[0, :, 3:4].clone(), doubled[1, :, -4:-3].clone()
        _weigh(doubled[0], even, 1, out=out[part])
        for place, weight in enumerate(odd):
            out[part].add_(doubled[1, :, place : place + length], alpha=weight)
    return out.view(batch, width, length)


def _weigh(x: Tensor, weights: Sequence[float], shift: int, *, out: Tensor) -> None:
    """out (N, L) = the sum of weight i times x (N, L + 6) from place i + shift on."""
    length = out.shape[1]
    torch.mul(x[:, shift : shift + length], weights[0], out=out)
    for place, weight in enumerate(weights[1:], start=shift + 1):
        out.add_(x[:, place : place + length], alpha=weight)
