"""BigVGAN vocoder: HiFi-GAN's layout with periodic activations that are kept free of aliasing.

Lee et al., "BigVGAN: A Universal Neural Vocoder with Large-Scale Training", 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutortoietts.core.config import BigVGANConfig
from tutortoietts.nn.upsample import branch_mean, dilated_pairs, level_widths, upsamplers

__all__ = ["EPSILON", "BigVGAN", "ResidualBlock", "SnakeBeta", "antialias_filter"]

_TAPS = 12
EPSILON = 1e-9
_BLOCK = 1 << 16  # samples at once on a CPU: with the doubled signal and a copy about 1 MB, which stays in its cache


class BigVGAN(nn.Module):
    """Vocoder, mel (B, num_mels, F) -> waveform (B, 1, F * product of upsample_rates)."""

    def __init__(self, cfg: BigVGANConfig) -> None:
        super().__init__()
        self.cfg = cfg
        widths = level_widths(cfg.upsample_initial_channel, len(cfg.upsample_rates))
        self.conv_pre = nn.Conv1d(cfg.num_mels, widths[0], 7, padding=3)
        self.ups = upsamplers(widths, cfg.upsample_rates, cfg.upsample_kernel_sizes)
        shapes = list(zip(cfg.resblock_kernel_sizes, cfg.resblock_dilation_sizes, strict=True))
        self.resblocks = nn.ModuleList(
            ResidualBlock(width, size, dilations) for width in widths[1:] for size, dilations in shapes
        )
        self.activation_post = SnakeBeta(widths[-1])
        self.conv_post = nn.Conv1d(widths[-1], 1, 7, padding=3, bias=cfg.use_bias_at_final)

    def forward(self, mel: Tensor) -> Tensor:
        """Return samples (B, 1, L) in [-1, 1] of a log mel (B, num_mels, F)."""
        x = self.upsample(mel)
        return torch.tanh(x) if self.cfg.use_tanh_at_final else x.clamp(-1.0, 1.0)

    def upsample(self, mel: Tensor) -> Tensor:
        """Return samples (B, 1, L) before the last activation."""
        x = self.conv_pre(mel)
        branches = len(self.cfg.resblock_kernel_sizes)
        for level, up in enumerate(self.ups):
            x = up(x)
            x = branch_mean(self.resblocks, level, branches, x)
        return self.conv_post(self.activation_post(x))  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """Residual block, (B, C, L) -> (B, C, L): pairs of a dilated and a plain convolution, an activation before each."""

    def __init__(self, width: int, size: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.dilated, self.plain = dilated_pairs(width, size, dilations)
        self.activations = nn.ModuleList(SnakeBeta(width) for _ in range(2 * len(dilations)))

    def forward(self, x: Tensor) -> Tensor:
        for pair, (dilated, plain) in enumerate(zip(self.dilated, self.plain, strict=True)):
            inner = dilated(self.activations[2 * pair](x))
            x = x + plain(self.activations[2 * pair + 1](inner))
        return x


class SnakeBeta(nn.Module):
    """Activation x + sin^2(x e^alpha) / e^beta at twice the rate, so that its harmonics do not alias."""

    filter: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(width))
        self.beta = nn.Parameter(torch.zeros(width))
        self.register_buffer("filter", antialias_filter(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of x (B, C, L), in the same shape."""
        taps, (alpha, beta) = self.filter.to(x.dtype), (rate[:, None] for rate in self.rates())
        if x.device.type == "cpu" and not torch.is_grad_enabled():
            return _in_blocks(x, taps, alpha, beta)
        x = _double(x, taps)
        return _halve(x + torch.sin(x * alpha).square() / beta, taps)

    def rates(self) -> tuple[Tensor, Tensor]:
        """Return e^alpha and e^beta, (C,) each."""
        return self.alpha.exp(), self.beta.exp() + EPSILON


def antialias_filter() -> Tensor:
    """Return a low-pass filter (12,) at a quarter of the sample rate, transition 0.3: a sinc under a Kaiser window."""
    cutoff, transition = 0.25, 0.3
    attenuation = 2.285 * (_TAPS // 2 - 1) * torch.pi * 4 * transition + 7.95
    window = torch.kaiser_window(
        _TAPS, periodic=False, beta=0.1102 * (attenuation - 8.7), dtype=torch.float32, device="cpu"
    )
    time = torch.arange(-_TAPS // 2, _TAPS // 2, dtype=torch.float32, device="cpu") + 0.5
    taps = window * torch.sinc(2 * cutoff * time)
    return taps / taps.sum()


def _double(x: Tensor, taps: Tensor) -> Tensor:
    """Interpolate (B, C, L) -> (B, C, 2 L), edges replicated. Each output phase uses every second tap."""
    batch, width, length = x.shape
    padded = F.pad(x, (3, 3), mode="replicate").reshape(batch * width, 1, length + 6)
    phases = torch.stack([taps[1::2].flip(0), taps[0::2].flip(0)])[:, None] * 2
    out = F.conv1d(padded, phases)  # (B C, 2, L + 1): the first phase lags by one
    both = torch.stack([out[:, 0, :length], out[:, 1, 1:]], dim=-1)
    return both.reshape(batch, width, 2 * length)


def _halve(x: Tensor, taps: Tensor) -> Tensor:
    """Halve the rate, (B, C, 2 L) -> (B, C, L): low-pass, then every second sample; edges replicated."""
    batch, width, length = x.shape
    padded = F.pad(x, (_TAPS // 2 - 1, _TAPS // 2), mode="replicate").reshape(batch * width, 1, -1)
    return F.conv1d(padded, taps[None, None], stride=2).view(batch, width, length // 2)


def _in_blocks(x: Tensor, taps: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Do all of `SnakeBeta.forward` for some rows at a time: x (B, C, L), alpha and beta (C, 1).

    On a CPU this is 3 to 5 times as fast. The doubled signal is kept as its even and its odd samples, and each filter
    is a sum of shifted copies.
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
    """Set out (N, L) to the sum of weight i times x (N, L + 6) from index i + shift on."""
    length = out.shape[1]
    torch.mul(x[:, shift : shift + length], weights[0], out=out)
    for place, weight in enumerate(weights[1:], start=shift + 1):
        out.add_(x[:, place : place + length], alpha=weight)
