"""Score of how well codes agree with a voice: CLVP's idea between a reference clip's mel and codes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.config import CvvpConfig
from tutortoietts.nn.blocks import AttentionBlock, TimeConv
from tutortoietts.nn.rotary_encoder import RotaryEncoder

__all__ = ["Cvvp"]


class Cvvp(nn.Module):
    """Model that ranks candidates by voice. A reference clip is encoded once for all of them."""

    def __init__(self, cfg: CvvpConfig) -> None:
        super().__init__()
        self.cfg = cfg
        dim = cfg.model_dim
        latent = cfg.latent_multiplier * dim
        self.temperature = nn.Parameter(torch.tensor(1.0))
        self.cond_emb = nn.Sequential(TimeConv(cfg.mel_channels, dim // 2, 5, 2), TimeConv(dim // 2, dim, 3, 2))
        self.mel_tower = _Tower(cfg, cfg.conditioning_enc_depth)
        self.to_conditioning_latent = nn.Linear(latent, latent, bias=False)
        self.speech_emb = nn.Embedding(cfg.mel_codes, dim)
        self.speech_tower = _Tower(cfg, cfg.speech_enc_depth)
        self.to_speech_latent = nn.Linear(latent, latent, bias=False)

    def encode_mel(self, mel: Tensor) -> Tensor:
        """Return the latents of reference clips, (B, L) float32 of norm 1: mel (B, 80, T)."""
        x = self.cond_emb(mel.transpose(1, 2))
        return F.normalize(self.to_conditioning_latent(self.mel_tower(x)).float(), dim=-1)

    def encode_codes(self, codes: Tensor) -> Tensor:
        """Return the latents of codes (B, S) int64, (B, L) float32 of norm 1."""
        x = self.speech_emb(codes)
        return F.normalize(self.to_speech_latent(self.speech_tower(x)).float(), dim=-1)

    def score(self, mel_latent: Tensor, code_latent: Tensor) -> Tensor:
        """Return scores (B,) float32, higher is better: mel_latent (B or 1, L), code_latent (B, L)."""
        return (mel_latent * code_latent).sum(dim=-1) * self.temperature.float().exp()

    def forward(self, mel: Tensor, codes: Tensor) -> Tensor:
        """Return the score of each pair, (B,) float32: mel (B, 80, T), codes (B, S) int64."""
        return self.score(self.encode_mel(mel), self.encode_codes(codes))


class _Tower(nn.Module):
    """Tower, (B, T, D) -> (B, D * latent_multiplier): encoder, attention block between two Linears, mean over time."""

    def __init__(self, cfg: CvvpConfig, depth: int) -> None:
        super().__init__()
        dim = cfg.model_dim
        self.encoder = RotaryEncoder(dim, depth, cfg.transformer_heads, cfg.head_dim, cfg.rotary_dim, 1)
        self.combine_in = nn.Linear(dim, dim)
        self.attention = AttentionBlock(dim, cfg.transformer_heads)
        self.combine_out = nn.Linear(dim, cfg.latent_multiplier * dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention(self.combine_in(self.encoder(x)))
        pooled: Tensor = self.combine_out(x).mean(dim=1)
        return pooled
