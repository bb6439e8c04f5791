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
from tutortoietts.core.errors import OptionError
from tutortoietts.nn.attention import query_positions
from tutortoietts.nn.blocks import AttentionBlock
from tutortoietts.nn.gpt import FewRowsLinear, Gpt
from tutortoietts.nn.kv_cache import KVCache

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


class Autoregressive(nn.Module):
    """The parts of decoding, and `forward`, which goes through them for whole sequences: the reference."""

    def __init__(self, cfg: AutoregressiveConfig) -> None:
        super().__init__()
        self.cfg = cfg
        dim = cfg.model_dim
        self.conditioning_encoder = ConditioningEncoder(cfg.mel_channels, dim, cfg.heads, cfg.conditioning_blocks)
        self.text_embedding = nn.Embedding(cfg.text_vocabulary, dim)
        self.mel_embedding = nn.Embedding(cfg.number_mel_codes, dim)
        self.text_pos_embedding = nn.Embedding(cfg.text_positions, dim)
        self.mel_pos_embedding = nn.Embedding(cfg.mel_positions, dim)
        self.gpt = Gpt(dim, cfg.heads, cfg.layers)
        self.final_norm = nn.LayerNorm(dim)
        self.text_head = nn.Linear(dim, cfg.text_vocabulary)
        self.mel_head: nn.Module = FewRowsLinear(dim, cfg.number_mel_codes)
        self.cache_dtype: torch.dtype | None = None  # dtype of keys and values; None: that of the weights
        for table in (self.text_embedding, self.mel_embedding, self.text_pos_embedding, self.mel_pos_embedding):
            nn.init.normal_(table.weight, std=0.02)

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.final_norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of hidden states, and of all weights that are not quantized."""
        return self.final_norm.weight.dtype

    def conditioning(self, mel: Tensor) -> Tensor:
        """Return the speaker latent (B, D), the mean over clips: mel (B, clips, 80, T), divided by the mel norms."""
        batch, clips = mel.shape[:2]
        return self.conditioning_encoder(mel.flatten(0, 1)).view(batch, clips, -1).mean(dim=1)  # type: ignore[no-any-return]

    def embed_text(self, ids: Tensor) -> Tensor:
        """Return the text part (B, T + 2, D): ids (B, T) int64, which end in the stop token 0.

        Raises OptionError if the position table is too short.
        """
        ids = F.pad(F.pad(ids, (1, 0), value=self.cfg.start_text_token), (0, 1), value=self.cfg.stop_text_token)
        length = ids.shape[1]
        if length > self.cfg.text_positions:
            limit = self.cfg.text_positions - 2
            raise OptionError(f"{length - 2} text tokens, but this model has positions for {limit}: split the text")
        return self.text_embedding(ids) + self.text_pos_embedding.weight[:length]  # type: ignore[no-any-return]

    def embed_codes(self, codes: Tensor, offset: int | Tensor = 0) -> Tensor:
        """Return (B, S, D) for codes (B, S) int64 at positions offset, offset + 1, ... of the code part.

        offset: int, or a () or (B,) int64 tensor, whose value is not read. start_mel is at 0, the n-th code at n.
        Raises OptionError if an int offset leads past the position table.
        """
        if not isinstance(offset, int):
            where = query_positions(offset, codes.shape[1], codes.device)
            return self.mel_embedding(codes) + self.mel_pos_embedding(where)  # type: ignore[no-any-return]
        end = offset + codes.shape[1]
        if end > self.cfg.mel_positions:
            raise OptionError(
                f"code position {end} is past the {self.cfg.mel_positions} this model has: split the text"
            )
        return self.mel_embedding(codes) + self.mel_pos_embedding.weight[offset:end]  # type: ignore[no-any-return]

    def prefix(self, speaker: Tensor, text: Tensor) -> Tensor:
        """Return what comes before the codes, (B, 1 + T + 2, D): speaker (B, D), text (B, T) with its stop token.

        Either may have batch 1 and is then used for all rows.
        """
        rows = max(speaker.shape[0], text.shape[0])
        embedded = self.embed_text(text)
        first = speaker[:, None].to(embedded.dtype)
        return torch.cat([first.expand(rows, -1, -1), embedded.expand(rows, -1, -1)], dim=1)

    def hidden_states(
        self, x: Tensor, cache: KVCache | None = None, mask: Tensor | None = None, position: int | Tensor = 0
    ) -> Tensor:
        """Return normalised hidden states (B, S, D) of x (B, S, D). See `Gpt.forward` for cache, mask and position."""
        return self.final_norm(self.gpt(x, cache, mask, position))  # type: ignore[no-any-return]

    def mel_logits(self, hidden: Tensor) -> Tensor:
        """Return logits of the next code, (..., number_mel_codes) float32: hidden (..., D)."""
        return self.mel_head(hidden).float()  # type: ignore[no-any-return]

    def text_logits(self, hidden: Tensor) -> Tensor:
        """Return logits of the next text token, (..., text_vocabulary) float32: hidden (..., D)."""
        return self.text_head(hidden).float()  # type: ignore[no-any-return]

    def allocate_cache(self, rows: int, max_len: int) -> KVCache:
        """Return a cache on the model's device for `rows` sequences of up to `max_len` positions, prefix included."""
        cfg = self.cfg
        size = (cfg.layers, rows, cfg.heads, max_len, cfg.model_dim // cfg.heads)
        return KVCache.allocate(*size, device=self.device, dtype=self.cache_dtype or self.dtype)

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
