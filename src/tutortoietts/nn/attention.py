"""Attention: the only place that chooses a kernel.

It is torch's scaled_dot_product_attention, except for training with a learned bias: the fused kernels have no gradient
for a mask, and torch's fallback is slower than the plain formula.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["attend", "causal_mask", "query_positions"]


def attend(q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """Return softmax(q k^T / sqrt(E) [+ mask]) v.

    q (B, H, S, E), k and v (B, H, K, E) -> (B, H, S, E). mask broadcasts to (B, H, S, K): bool (True may be seen) or
    added to the scores. causal: query i sees keys 0..i, for S = K only. The softmax is accumulated in float32.
    """
    if mask is not None and mask.requires_grad:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        weights: Tensor = (scores + mask).softmax(dim=-1).to(v.dtype)
        return weights @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)


def causal_mask(position: int | Tensor, steps: int, span: int, device: torch.device) -> Tensor:
    """Return which of `span` keys each of `steps` queries may see, bool; the first query is at `position`.

    position: an int or a () tensor -> (1, 1, steps, span); (B,), one for each row -> (B, 1, steps, span).
    """
    queries = query_positions(position, steps, device)
    return torch.arange(span, device=device) <= queries[:, None, :, None]


def query_positions(position: int | Tensor, steps: int, device: torch.device) -> Tensor:
    """Return position, position + 1, ... as (1 or B, steps) int64: position int, () or (B,); its value is not read."""
    offsets = torch.arange(steps, device=device)
    if isinstance(position, Tensor):
        return position.reshape(-1, 1) + offsets
    return (position + offsets)[None]
