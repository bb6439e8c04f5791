"""Score of how well codes agree with a text: two encoders and the scaled cosine of their latents (arXiv:2103.00020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.config import ClvpConfig
from tutortoietts.nn.rotary_encoder import RotaryEncoder, real_positions

__all__ = ["Clvp"]


class Clvp(nn.Module):
    """Model that ranks candidates. A text is encoded once for all of them."""

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

    def encode_text(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the latents of texts, (B, L) float32 of norm 1: ids (B, T) int64, which end in the stop token 0.

        lengths (B,) int64: ids from there on are padding; None: no padding.
        """
        return _latent(self.text_encoder(self.text_emb(ids), lengths), lengths, self.to_text_latent)

    def encode_codes(self, codes: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the latents of codes (B, S) int64, (B, L) float32 of norm 1. lengths: as for `encode_text`."""
        return _latent(self.speech_encoder(self.speech_emb(codes), lengths), lengths, self.to_speech_latent)

    def score(self, text_latent: Tensor, code_latent: Tensor) -> Tensor:
        """Return scores (B,) float32, higher is better: text_latent (B or 1, L), code_latent (B, L)."""
        return (text_latent * code_latent).sum(dim=-1) * self.temperature.float().exp()

    def forward(self, text: Tensor, codes: Tensor) -> Tensor:
        """Return the score of each pair, (B,) float32: text (B, T), codes (B, S), both int64."""
        return self.score(self.encode_text(text), self.encode_codes(codes))


def _latent(x: Tensor, lengths: Tensor | None, project: nn.Linear) -> Tensor:
    """Return the mean of x (B, T, D) over all positions but padding, projected and normalised: (B, L)."""
    if lengths is None:
        mean = x.mean(dim=1)
    else:
        counted = real_positions(x.shape[1], lengths).float().unsqueeze(-1)
        mean = ((x * counted).sum(dim=1) / lengths[:, None]).to(x.dtype)
    return F.normalize(project(mean).float(), dim=-1)
