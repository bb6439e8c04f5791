"""The decoder of codes that Tortoise and XTTS share: a GPT-2 over [voice] [text] [codes].

Text and codes have learned tables of positions, each from 0; the voice has none.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.errors import OptionError
from tutortoietts.nn.attention import query_positions
from tutortoietts.nn.gpt import FewRowsLinear, Gpt
from tutortoietts.nn.kv_cache import KVCache

__all__ = ["CodeGpt", "CodeGptConfig"]


class CodeGptConfig(Protocol):
    """Sizes and marks of a decoder of codes."""

    @property
    def layers(self) -> int: ...
    @property
    def model_dim(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def start_text_token(self) -> int: ...
    @property
    def stop_text_token(self) -> int: ...
    @property
    def number_mel_codes(self) -> int: ...
    @property
    def start_mel_token(self) -> int: ...
    @property
    def stop_mel_token(self) -> int: ...
    @property
    def text_vocabulary(self) -> int: ...
    @property
    def text_positions(self) -> int: ...
    @property
    def mel_positions(self) -> int: ...


class CodeGpt(nn.Module):
    """Embeddings, transformer and heads; what a voice is, is up to the model built on it."""

    def __init__(self, cfg: CodeGptConfig) -> None:
        super().__init__()
        self.sizes = cfg
        dim = cfg.model_dim
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

    def embed_text(self, ids: Tensor) -> Tensor:
        """Embed the text part, start and stop token added: ids (B, T) int64 -> (B, T + 2, D).

        Raises OptionError if the position table is too short.
        """
        cfg = self.sizes
        ids = F.pad(F.pad(ids, (1, 0), value=cfg.start_text_token), (0, 1), value=cfg.stop_text_token)
        length = ids.shape[1]
        if length > cfg.text_positions:
            limit = cfg.text_positions - 2
            raise OptionError(f"{length - 2} text tokens, but this model has positions for {limit}: split the text")
        return self.text_embedding(ids) + self.text_pos_embedding.weight[:length]  # type: ignore[no-any-return]

    def embed_codes(self, codes: Tensor, offset: int | Tensor = 0) -> Tensor:
        """Embed codes (B, S) int64 at positions offset, offset + 1, ... of the code part -> (B, S, D).

        offset: int, or a () or (B,) int64 tensor, whose value is not read. The start code is at 0, the n-th code at n.
        Raises OptionError if an int offset leads past the position table.
        """
        if not isinstance(offset, int):
            where = query_positions(offset, codes.shape[1], codes.device)
            return self.mel_embedding(codes) + self.mel_pos_embedding(where)  # type: ignore[no-any-return]
        end = offset + codes.shape[1]
        if end > self.sizes.mel_positions:
            raise OptionError(
                f"code position {end} is past the {self.sizes.mel_positions} this model has: split the text"
            )
        return self.mel_embedding(codes) + self.mel_pos_embedding.weight[offset:end]  # type: ignore[no-any-return]

    def voiced_text(self, voice: Tensor, text: Tensor) -> Tensor:
        """Join what comes before the codes: voice (B, P, D), text (B, T) -> (B, P + T + 2, D).

        Either may have batch 1 and is then used for all rows.
        """
        rows = max(voice.shape[0], text.shape[0])
        embedded = self.embed_text(text)
        first = voice.to(embedded.dtype)
        return torch.cat([first.expand(rows, -1, -1), embedded.expand(rows, -1, -1)], dim=1)

    def hidden_states(
        self, x: Tensor, cache: KVCache | None = None, mask: Tensor | None = None, position: int | Tensor = 0
    ) -> Tensor:
        """Run the GPT: x (B, S, D) -> normalised hidden states (B, S, D). Other arguments: see `Gpt.forward`."""
        return self.final_norm(self.gpt(x, cache, mask, position))  # type: ignore[no-any-return]

    def mel_logits(self, hidden: Tensor) -> Tensor:
        """Compute logits of the next code from hidden (..., D) -> (..., number_mel_codes) float32."""
        return self.mel_head(hidden).float()  # type: ignore[no-any-return]

    def text_logits(self, hidden: Tensor) -> Tensor:
        """Compute logits of the next text token from hidden (..., D) -> (..., text_vocabulary) float32."""
        return self.text_head(hidden).float()  # type: ignore[no-any-return]

    def allocate_cache(self, rows: int, max_len: int) -> KVCache:
        """Make a cache for `rows` sequences of up to `max_len` positions (prefix and codes), placed as the weights."""
        cfg = self.sizes
        size = (cfg.layers, rows, cfg.heads, max_len, cfg.model_dim // cfg.heads)
        return KVCache.allocate(*size, device=self.device, dtype=self.cache_dtype or self.dtype)
