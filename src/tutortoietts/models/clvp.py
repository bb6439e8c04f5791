"""How well codes agree with a text: two encoders and the scaled cosine of their latents (CLIP, arXiv:2103.00020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.config import ClvpConfig
from tutortoietts.nn.quant import quantize
from tutortoietts.nn.rotary_encoder import RotaryEncoder, real_positions

__all__ = ["Clvp"]


class Clvp(nn.Module):
    """Ranks candidates. A text is encoded once for all of them."""

    def __init__(self, cfg: ClvpConfig) -> None:
        super().__init__()
        self.cfg = cfg
        shape = (cfg.head_dim, cfg.rotary_dim, cfg.feed_forward_mult)
        self.temperature = nn.Parameter(torch.tensor(1.0))
        self.text_emb = nn.Embedding(cfg.num_text_tokens, cfg.dim_text)
        self.text_encoder = RotaryEncoder(cfg.dim_text, cfg.text_enc_depth, cfg.text_heads, *shape)
        self.to_text_latent = nn.Linear(cfg.dim_text, cfg.dim_latent, bias=False)
        self.speech_emb = nn.Embedding(cfg.num_speech_tokens, cfg.dim_speech)
        self.speech_encoder = RotaryEncoder(cfg.dim_speech, cfg.speech_enc_depth, cfg.speech_heads, *shape)
        self.to_speech_latent = nn.Linear(cfg.dim_speech, cfg.dim_latent, bias=False)

    def quantize(self, precision: str) -> None:
        """The encoders' weights in "int8" (`nn.quant`), for the device the model is on, and for good."""
        quantize(self.text_encoder, precision)
        quantize(self.speech_encoder, precision)

    def encode_text(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """ids (B, T) int64 with their one 0 at the end -> (B, L) float32 of length 1.

        lengths (B,) int64: ids from there on are padding; None: none is.
        """
        return _latent(self.text_encoder(self.text_emb(ids), lengths), lengths, self.to_text_latent)

    def encode_codes(self, codes: Tensor, lengths: Tensor | None = None) -> Tensor:
        """codes (B, S) int64 -> (B, L) float32 of length 1. lengths as above."""
        return _latent(self.speech_encoder(self.speech_emb(codes), lengths), lengths, self.to_speech_latent)

    def score(self, text_latent: Tensor, code_latent: Tensor) -> Tensor:
        """text_latent (B or 1, L), code_latent (B, L) -> (B,) float32, higher is better."""
        return (text_latent * code_latent).sum(dim=-1) * self.temperature.float().exp()

    def forward(self, text: Tensor, codes: Tensor) -> Tensor:
        """text (B, T), codes (B, S), both int64 -> the score of each pair (B,) float32."""
        return self.score(self.encode_text(text), self.encode_codes(codes))


def _latent(x: Tensor, lengths: Tensor | None, project: nn.Linear) -> Tensor:
    """Mean over the positions that count, projected and normalised: x (B, T, D) -> (B, L)."""
    if lengths is None:
        mean = x.mean(dim=1)
    else:
        counted = real_positions(x.shape[1], lengths).float().unsqueeze(-1)
        mean = ((x * counted).sum(dim=1) / lengths[:, None]).to(x.dtype)
    return F.normalize(project(mean).float(), dim=-1)
