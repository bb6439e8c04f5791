"""Score of how likely a text is what codes say: characters read from codes, summed by CTC (Graves et al., 2006).

A recogniser of our own, which public models do not have. It sees 15 codes (0.7 s) to either side, so that
it hears what is said and does not guess from context.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.config import CtcConfig
from tutortoietts.models.vocos import ConvNeXtBlock
from tutortoietts.nn.rotary_encoder import real_positions

__all__ = ["Ctc", "ctc_losses"]

BLANK = 0  # the stop token, which no text holds inside


class Ctc(nn.Module):
    """Model that ranks candidates: ConvNeXt blocks over codes, then `upsample` rows of token scores a code."""

    def __init__(self, cfg: CtcConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.embed = nn.Embedding(cfg.num_speech_tokens, cfg.dim)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(cfg.dim, cfg.intermediate_dim, 1 / cfg.layers) for _ in range(cfg.layers)
        )
        self.norm = nn.LayerNorm(cfg.dim, eps=1e-6)
        self.out = nn.Linear(cfg.dim, cfg.upsample * cfg.num_text_tokens)

    def states(self, codes: Tensor, lengths: Tensor) -> Tensor:
        """Return hidden states (B, S, dim): codes (B, S) int64, of which `lengths` (B,) are real."""
        real = real_positions(codes.shape[1], lengths).unsqueeze(1)
        x = self.embed(codes).transpose(1, 2) * real
        for block in self.blocks:
            x = block(x) * real
        return self.norm(x.transpose(1, 2))  # type: ignore[no-any-return]

    def scores(self, states: Tensor) -> Tensor:
        """Return log-probabilities (B, S * upsample, num_text_tokens) float32 of hidden states (B, S, dim)."""
        rows = self.out(states).unflatten(-1, (self.cfg.upsample, -1)).flatten(1, 2)
        return rows.float().log_softmax(-1)  # type: ignore[no-any-return]

    def forward(self, text: Tensor, codes: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the log-likelihood of one text under each row of codes, (B,) float32 in nats, higher is better.

        text (1, T) int64, stop tokens in it do not count; codes (B, S) int64, of which `lengths` (B,) are real,
        None: all.
        """
        if lengths is None:
            lengths = codes.new_full((len(codes),), codes.shape[1])
        said = text[0][text[0] != BLANK].cpu()
        scores = self.scores(self.states(codes, lengths)).cpu()  # small, and Apple's GPU cannot sum paths
        sizes = torch.full((len(codes),), len(said))
        losses = ctc_losses(scores, lengths.cpu() * self.cfg.upsample, said.repeat(len(codes)), sizes)
        return -losses.to(codes.device)


def ctc_losses(scores: Tensor, lengths: Tensor, texts: Tensor, sizes: Tensor) -> Tensor:
    """Return the negative log-likelihood of each row's text, (B,) in nats; inf where it has more tokens than rows.

    scores (B, L, V): log-probabilities, of which `lengths` (B,) rows are real. texts (sum of sizes,) int64: all texts
    one behind another, without stop tokens; sizes (B,): tokens of each.
    """
    return F.ctc_loss(scores.transpose(0, 1), texts, lengths, sizes, blank=BLANK, reduction="none")
