"""Interface of the models that draw codes, as decoding uses them."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from tutortoietts.nn.kv_cache import KVCache

__all__ = ["CodeModel", "CodeModelConfig"]


class CodeModelConfig(Protocol):
    """Sizes and special codes of a model that draws codes."""

    @property
    def model_dim(self) -> int: ...
    @property
    def number_mel_codes(self) -> int: ...
    @property
    def start_mel_token(self) -> int: ...
    @property
    def stop_mel_token(self) -> int: ...
    @property
    def max_mel_tokens(self) -> int: ...


class CodeModel(Protocol):
    """A causal transformer over [prefix] [codes], as `models.autoregressive.Autoregressive` is one."""

    @property
    def cfg(self) -> CodeModelConfig: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def dtype(self) -> torch.dtype: ...

    def embed_codes(self, codes: Tensor, offset: int | Tensor = 0) -> Tensor: ...
    def hidden_states(
        self, x: Tensor, cache: KVCache | None = None, mask: Tensor | None = None, position: int | Tensor = 0
    ) -> Tensor: ...
    def mel_logits(self, hidden: Tensor) -> Tensor: ...
    def allocate_cache(self, rows: int, max_len: int) -> KVCache: ...
