"""Text and a speaker to codes: a GPT-2 over [speaker] [text] [codes], each part with its own learned positions.

    text part   start_text, t..., stop_text       t: text tokens, which already end in the tokenizer's stop token, 0
    code part   start_mel, c..., stop_mel

Latents are the normalised hidden states from which codes are predicted: they describe the sound of a code in its place.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.config import AutoregressiveConfig
from tutortoietts.nn.blocks import AttentionBlock
from tutortoietts.nn.code_gpt import CodeGpt

__all__ = ["Autoregressive"]


class ConditioningEncoder(nn.Module):
    """Encoder, mel (B, mel_channels, T) -> (B, D): attention blocks over time, then the first time step."""

    def __init__(self, mel_channels: int, dim: int, heads: int, blocks: int) -> None:
        super().__init__()
        self.init = nn.Linear(mel_channels, dim)
        self.attn = nn.ModuleList(AttentionBlock(dim, heads) for _ in range(blocks))

    def forward(self, mel: Tensor) -> Tensor:
        x = self.init(mel.transpose(1, 2))
        for block in self.attn:
            x = block(x)
        return x[:, 0]  # type: ignore[no-any-return]


class Autoregressive(CodeGpt):
    """All parts of the decoding, and `forward`, the obvious slow way through them."""

    def __init__(self, cfg: AutoregressiveConfig) -> None:
        super().__init__(cfg)
        self.cfg = cfg
        size = (cfg.mel_channels, cfg.model_dim, cfg.heads, cfg.conditioning_blocks)
        self.conditioning_encoder = ConditioningEncoder(*size)

    def conditioning(self, mel: Tensor) -> Tensor:
        """Return the speaker latent (B, D), the mean over clips: mel (B, clips, 80, T), divided by the mel norms."""
        batch, clips = mel.shape[:2]
        return self.conditioning_encoder(mel.flatten(0, 1)).view(batch, clips, -1).mean(dim=1)  # type: ignore[no-any-return]

    def prefix(self, speaker: Tensor, text: Tensor) -> Tensor:
        """Return what comes before the codes, (B, 1 + T + 2, D): speaker (B, D), text (B, T) with its stop token.

        Either may have batch 1 and is then used for all rows.
        """
        return self.voiced_text(speaker[:, None], text)

    def forward(self, speaker: Tensor, text: Tensor, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run a whole sequence at once: speaker (B or 1, D), text (B or 1, T) with its stop token, codes (B, S).

        Returns latents (B, S, D), where latent i is the one that code i is drawn from; mel logits (B, S + 2, V), at i
        those of code i, then of stop_mel; text logits (B, T + 2, W), of the token after each of the text part.
        """
        inputs = F.pad(F.pad(codes, (1, 0), value=self.cfg.start_mel_token), (0, 1), value=self.cfg.stop_mel_token)
        prefix = self.prefix(speaker, text).expand(codes.shape[0], -1, -1)
        hidden = self.hidden_states(torch.cat([prefix, self.embed_codes(inputs)], dim=1))
        texts, mels = hidden[:, 1 : prefix.shape[1]], hidden[:, prefix.shape[1] :]
        return mels[:, :-2], self.mel_logits(mels), self.text_logits(texts)
