"""Discrete VAE: an 80-bin mel to one code for every four frames, and codes to a mel.

Convolutions of stride 2, residual blocks, nearest entry of a codebook (van den Oord et al. 2017, arXiv:1711.00937).
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.config import DvaeConfig

__all__ = ["Dvae"]


class ResidualBlock(nn.Module):
    """Residual block, (B, C, T) -> (B, C, T): conv, ReLU, conv, ReLU, 1x1 conv; the input added."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2)
        self.conv2 = nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2)
        self.conv3 = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(F.relu(self.conv2(F.relu(self.conv1(x))))) + x  # type: ignore[no-any-return]


class Down(nn.Conv1d):
    """Convolution of stride 2 and ReLU, (B, C, T) -> (B, C', T / 2)."""

    def __init__(self, before: int, after: int, kernel_size: int) -> None:
        super().__init__(before, after, kernel_size, stride=2, padding=kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


class Up(nn.Conv1d):
    """Upsampling, (B, C, S) -> (B, C', 2 S): every position repeated, conv, ReLU."""

    def __init__(self, before: int, after: int, kernel_size: int) -> None:
        super().__init__(before, after, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest")))


def _encoder(cfg: DvaeConfig) -> nn.Sequential:
    """Return the encoder, (B, channels, T) -> (B, codebook_dim, T / 2**num_layers)."""
    widths = [cfg.channels] + [cfg.hidden_dim * 2**i for i in range(cfg.num_layers)]
    return nn.Sequential(
        *(Down(before, after, cfg.kernel_size) for before, after in pairwise(widths)),
        *(ResidualBlock(widths[-1], cfg.kernel_size) for _ in range(cfg.num_resnet_blocks)),
        nn.Conv1d(widths[-1], cfg.codebook_dim, 1),
    )


def _decoder(cfg: DvaeConfig) -> nn.Sequential:
    """Return the decoder, (B, codebook_dim, S) -> (B, channels, S * 2**num_layers)."""
    widths = [cfg.hidden_dim * 2**i for i in reversed(range(cfg.num_layers))]
    return nn.Sequential(
        nn.Conv1d(cfg.codebook_dim, widths[0], 1),
        *(ResidualBlock(widths[0], cfg.kernel_size) for _ in range(cfg.num_resnet_blocks)),
        *(Up(before, after, cfg.kernel_size) for before, after in pairwise([widths[0], *widths])),
        nn.Conv1d(widths[-1], cfg.channels, 1),
    )


class Dvae(nn.Module):
    """Mel to codes and back. A round trip keeps the length if T is a multiple of 2**num_layers (4)."""

    codebook: Tensor

    def __init__(self, cfg: DvaeConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.encoder = _encoder(cfg)
        self.decoder = _decoder(cfg)
        self.register_buffer("codebook", nn.init.normal_(torch.empty(cfg.num_tokens, cfg.codebook_dim)))

    def encode(self, mel: Tensor) -> Tensor:
        """Return codes (B, T / 4) int64 of a mel (B, channels, T)."""
        return self.quantize(self.encode_continuous(mel))

    def decode(self, codes: Tensor) -> Tensor:
        """Return a mel (B, channels, 4 S) of codes (B, S) int64."""
        return self.decode_continuous(F.embedding(codes, self.codebook))

    def encode_continuous(self, mel: Tensor) -> Tensor:
        """Return vectors before the codebook (B, T / 4, codebook_dim) of a mel (B, channels, T)."""
        return self.encoder(mel).transpose(1, 2)  # type: ignore[no-any-return]

    def decode_continuous(self, z: Tensor) -> Tensor:
        """Return a mel (B, channels, 4 S) of vectors z (B, S, codebook_dim)."""
        return self.decoder(z.transpose(1, 2))  # type: ignore[no-any-return]

    def quantize(self, z: Tensor) -> Tensor:
        """Return the index (...) int64 of the codebook entry nearest to z (..., codebook_dim)."""
        entries = self.codebook.to(z.dtype)
        # |z - e|^2 without |z|^2, which is the same for every entry
        return (entries.pow(2).sum(dim=1) - 2.0 * (z @ entries.t())).argmin(dim=-1)
