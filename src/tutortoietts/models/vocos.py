"""Vocos-style vocoder: ConvNeXt blocks over mel frames, then an inverse STFT (Siuzdak 2023, arXiv:2306.00814)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.config import VocosConfig

__all__ = ["Vocos"]

_MAX_LOG_MAGNITUDE = 5.0


class ConvNeXtBlock(nn.Module):
    """Block, (B, C, L) -> (B, C, L): depthwise conv 7, LayerNorm, widen, GELU, narrow, learned scale; input added."""

    def __init__(self, dim: int, intermediate_dim: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.widen = nn.Linear(dim, intermediate_dim)
        self.narrow = nn.Linear(intermediate_dim, dim)
        self.scale = nn.Parameter(torch.full((dim,), scale))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).transpose(1, 2))
        y = self.narrow(F.gelu(self.widen(y), approximate="tanh"))
        return x + (self.scale * y).transpose(1, 2)  # type: ignore[no-any-return]


class IstftHead(nn.Module):
    """Head, (B, F, dim) -> waveform (B, F * hop): log-magnitude and phase of each frame, windowed and overlap-added.

    Frame f is centred on sample f * hop, as in the mels. Always float32, which phases need.
    """

    def __init__(self, dim: int, n_fft: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.out = nn.Linear(dim, n_fft + 2)

    def forward(self, x: Tensor) -> Tensor:
        magnitude, phase = self.out(x).float().chunk(2, dim=-1)
        magnitude = magnitude.clamp(max=_MAX_LOG_MAGNITUDE).exp()
        window = torch.hann_window(self.n_fft, dtype=torch.float32, device=x.device)
        with torch.autocast(x.device.type, enabled=False):
            spectrum = torch.complex(magnitude * phase.cos(), magnitude * phase.sin())
            frames = torch.fft.irfft(spectrum, n=self.n_fft, dim=-1) * window
            envelope = window.square().expand(1, x.shape[1], -1)
            return self._overlap_add(frames) / self._overlap_add(envelope)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """Sum frames (B, F, n_fft) with shifts of hop -> (B, F * hop), from the middle of the first frame on."""
        batch, count, _ = frames.shape
        parts = frames.reshape(batch, count, -1, self.hop)
        shifts = parts.shape[2]
        total = sum(F.pad(parts[:, :, i], (0, 0, i, shifts - 1 - i)) for i in range(shifts))
        start = self.n_fft // 2
        return total.reshape(batch, -1)[:, start : start + count * self.hop]  # type: ignore[union-attr]


class Vocos(nn.Module):
    """Vocoder, log mel (B, n_mels, F), not normalised -> waveform (B, 1, F * hop) float32."""

    def __init__(self, cfg: VocosConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.embed = nn.Conv1d(cfg.n_mels, cfg.dim, 7, padding=3)
        self.norm = nn.LayerNorm(cfg.dim, eps=1e-6)
        scale = 1.0 / cfg.layers
        self.blocks = nn.ModuleList(ConvNeXtBlock(cfg.dim, cfg.intermediate_dim, scale) for _ in range(cfg.layers))
        self.final_norm = nn.LayerNorm(cfg.dim, eps=1e-6)
        self.head = IstftHead(cfg.dim, cfg.n_fft, cfg.hop)
        self.apply(_initialise)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.norm(self.embed(mel).transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.head(self.final_norm(x.transpose(1, 2))).unsqueeze(1)  # type: ignore[no-any-return]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv1d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
