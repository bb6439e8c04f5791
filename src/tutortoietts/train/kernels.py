"""GELU and causal attention for training in bfloat16 on a CPU, three times as fast as torch's there.

The C beside this file is compiled once with the machine's own compiler. `hidden_states` computes what
`Autoregressive.hidden_states` computes (tests hold them together); without a compiler it is what is used.
"""

from __future__ import annotations

import ctypes as c
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.native import build
from tutortoietts.nn.gpt import GptBlock

_SOURCE = Path(__file__).with_name("kernels.c")


def library() -> c.CDLL | None:
    """Return the compiled kernels, or None where there is no C compiler."""
    return build.library(_SOURCE, "-mprefer-vector-width=512", "-ffast-math")


def _pointer(x: Tensor) -> c.c_void_p:
    return c.c_void_p(x.data_ptr())


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        y, slope = torch.empty_like(x), torch.empty_like(x)
        library().gelu(_pointer(x), _pointer(y), _pointer(slope), c.c_int64(x.numel()))  # type: ignore[union-attr]
        ctx.save_for_backward(slope)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * ctx.saved_tensors[0]  # type: ignore[no-any-return]


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        size = q.shape[1]
        ctx.scale = q.shape[-1] ** -0.5
        p = torch.bmm(q, k.transpose(1, 2))
        library().causal_softmax(_pointer(p), c.c_int64(len(q)), c.c_int64(size), c.c_float(ctx.scale))  # type: ignore[union-attr]
        ctx.save_for_backward(q, k, v, p)
        return torch.bmm(p, v)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, p = ctx.saved_tensors
        ds = torch.bmm(grad, v.transpose(1, 2))
        sizes = c.c_int64(len(q)), c.c_int64(q.shape[1]), c.c_float(ctx.scale)
        library().causal_softmax_backward(_pointer(p), _pointer(ds), *sizes)  # type: ignore[union-attr]
        return torch.bmm(ds, k), torch.bmm(ds.transpose(1, 2), q), torch.bmm(p.transpose(1, 2), grad)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend causally: q, k, v (N, S, E) bfloat16 contiguous -> (N, S, E)."""
    return _Attention.apply(q, k, v)  # type: ignore[no-any-return, no-untyped-call]


def gelu(x: Tensor) -> Tensor:
    """Apply the tanh-approximated GELU to a bfloat16 tensor of any shape."""
    return _Gelu.apply(x)  # type: ignore[no-any-return, no-untyped-call]


def hidden_states(model: Autoregressive, x: Tensor) -> Tensor:
    """Run ``model.hidden_states(x)``: x (B, S, D) -> (B, S, D)."""
    if x.dtype != torch.bfloat16 or x.is_cuda or library() is None:
        return model.hidden_states(x)
    batch, steps, dim = x.shape
    for block in cast(list[GptBlock], list(model.gpt.blocks)):
        heads = block.heads
        qkv = block.qkv(block.ln_1(x)).view(batch, steps, 3, heads, dim // heads)
        q, k, v = (part.reshape(batch * heads, steps, -1) for part in qkv.permute(2, 0, 3, 1, 4))
        y = attend(q, k, v).view(batch, heads, steps, -1).transpose(1, 2).reshape(batch, steps, dim)
        x = x + block.proj(y)
        x = x + block.narrow(gelu(block.widen(block.ln_2(x))))
    return model.final_norm(model.gpt.ln_f(x))  # type: ignore[no-any-return]
