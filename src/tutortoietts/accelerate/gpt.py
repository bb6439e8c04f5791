"""All blocks of a `Gpt`, the norms behind them and the head in two calls on a CPU, instead of some hundreds of torch's.

A step is made for one request from the modules as they are, and reads their own weights: nothing is copied. It stands
in only for what it knows to the letter. A module that was replaced, subclassed or hooked is left to torch.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor, nn

from tutortoietts.accelerate.eligible import forwards, why_not
from tutortoietts.core.errors import OptionError
from tutortoietts.native import kernels
from tutortoietts.native.kernels import KINDS, BlockC, CacheC, GptC, LinearC, NormC
from tutortoietts.nn.gpt import Gpt, GptBlock
from tutortoietts.nn.kv_cache import KVCache
from tutortoietts.nn.linear import FewRowsLinear
from tutortoietts.nn.quant import Int8RowsLinear

__all__ = ["GptStep"]

_THREAD_BYTES = 1 << 18  # of a block's weights, at the least, for each thread
_MOST_ROWS = 256  # more inputs at once are faster in torch
_log = logging.getLogger(__name__)


class GptStep:
    """For one request, and one thread at a time. `fit` makes it."""

    def __init__(self, gpt: Gpt, norms: Sequence[nn.LayerNorm], head: nn.Linear, library: ctypes.CDLL) -> None:
        self._library = library
        self._kept: list[Tensor] = []  # what the structures point to
        blocks = [self._block(block) for block in gpt.blocks]  # type: ignore[arg-type]
        tails = [self._norm(norm) for norm in norms]
        self._dim, heads = gpt.ln_f.normalized_shape[0], gpt.blocks[0].heads
        self._gpt = GptC(
            blocks=(BlockC * len(blocks))(*blocks),
            norms=(NormC * len(tails))(*tails),
            layers=len(blocks),
            norms_count=len(tails),
            dim=self._dim,
            heads=heads,
        )
        read = sum(t.nbytes for t in self._kept) // len(blocks)
        self._threads = max(1, min(torch.get_num_threads(), read // _THREAD_BYTES))
        self._head = self._linear(head)
        self._scratch = kernels.scratch(0)

    @classmethod
    def fit(cls, gpt: nn.Module, norms: Sequence[nn.Module], head: nn.Module) -> GptStep | None:
        """A step through `gpt`, `norms` and `head`; None, said once in the log, where torch must do it."""
        reason = _obstacle(gpt, norms, head)
        library = kernels.library() if reason is None else None
        if library is None:
            _say(reason or "no compiled kernels")
            return None
        return cls(gpt, norms, head, library)  # type: ignore[arg-type]

    def takes(self, x: Tensor, cache: KVCache) -> bool:
        """Whether it can do this call: not too many inputs, in float numbers, with a cache as `KVCache` makes them."""
        size = self._dim // int(self._gpt.heads)
        plain = cache.keys.stride()[3:] == cache.values.stride()[3:] == (size, 1)
        alike = cache.keys.dtype in (torch.float32, torch.bfloat16) and cache.keys.stride() == cache.values.stride()
        return x.shape[0] * x.shape[1] <= _MOST_ROWS and plain and alike and not torch.is_grad_enabled()

    def __call__(self, x: Tensor, cache: KVCache, position: int | Tensor, shared: int = 0) -> Tensor:
        """x (B, S, D) at positions `position`, `position` + 1, ... -> (B, S, D) in x's dtype, as the modules.

        position: int, or () or (B,) int64. shared: so many first positions hold the same in all rows of the cache.
        Raises OptionError where a position leaves the buffer.
        """
        batch, steps, _ = x.shape
        where = torch.as_tensor(position, dtype=torch.int64).expand(batch).contiguous()
        end, first = int(where.max()) + steps, int(where.min())
        if end > cache.max_len:
            raise OptionError(
                f"position {end} is past the {cache.max_len} positions of the KV cache: allocate a longer one"
            )
        inputs = x.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        outputs = torch.empty_like(inputs)
        told = _cache(cache, min(shared, first))
        space = self._space(self._library.gpt_step_bytes(self._gpt, batch * steps, cache.max_len, self._threads))
        places = where.data_ptr(), space, self._threads
        self._library.gpt_step(self._gpt, told, inputs.data_ptr(), outputs.data_ptr(), batch, steps, *places)
        return outputs.to(x.dtype)

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden (B, D) -> what the head says, (B, classes) float32."""
        inputs = hidden.to(torch.float32).contiguous()
        outputs = torch.empty(len(hidden), int(self._head.outputs))
        space = self._space(self._library.linear_bytes(self._head, len(hidden), self._threads))
        places = inputs.data_ptr(), outputs.data_ptr(), len(hidden), space, self._threads
        self._library.linear(self._head, *places)
        return outputs

    def _space(self, size: int) -> int:
        if self._scratch.numel() < size:
            self._scratch = kernels.scratch(size)
        return self._scratch.data_ptr()

    def _block(self, block: GptBlock) -> BlockC:
        layers = {name: self._linear(getattr(block, name)) for name in ("qkv", "proj", "widen", "narrow")}
        return BlockC(before=self._norm(block.ln_1), between=self._norm(block.ln_2), **layers)

    def _linear(self, layer: nn.Linear | Int8RowsLinear) -> LinearC:
        if isinstance(layer, Int8RowsLinear):
            self._kept += layer.buffers()
            return layer.described()
        weight = self._keep(layer.weight)
        bias = self._keep(layer.bias.float())
        kind = KINDS[layer.weight.dtype]
        return LinearC(weight=weight, bias=bias, kind=kind, inputs=layer.in_features, outputs=layer.out_features)

    def _norm(self, norm: nn.LayerNorm) -> NormC:
        return NormC(gain=self._keep(norm.weight.float()), bias=self._keep(norm.bias.float()), eps=norm.eps)

    def _keep(self, tensor: Tensor) -> int:
        self._kept.append(tensor.detach())
        return tensor.data_ptr()


def _cache(cache: KVCache, shared: int) -> CacheC:
    layer, row, head = cache.keys.stride()[:3]
    return CacheC(
        keys=cache.keys.data_ptr(),
        values=cache.values.data_ptr(),
        kind=KINDS[cache.keys.dtype],
        layer=layer,
        row=row,
        head=head,
        positions=cache.max_len,
        shared=shared,
    )


_KNOWN = forwards(Gpt, GptBlock, nn.LayerNorm, FewRowsLinear, nn.Linear, Int8RowsLinear)
_NUMBERS = (torch.float32, torch.bfloat16, torch.int8, torch.int32)


def _obstacle(gpt: nn.Module, norms: Sequence[nn.Module], head: nn.Module) -> str | None:
    """Why torch must do it, or None."""
    reason = why_not((gpt, *norms, head), _KNOWN, _NUMBERS)
    if reason is not None:
        return reason
    if any(getattr(one, "bias", one) is None for part in (gpt, *norms, head) for one in part.modules()):
        return "a layer has no bias"
    if type(gpt) is not Gpt or not gpt.blocks:
        return f"it is a {type(gpt).__name__}"
    if not isinstance(head, nn.Linear | Int8RowsLinear):
        return f"the head is a {type(head).__name__}"
    sizes = {norm.normalized_shape for norm in (gpt.ln_f, *norms) if isinstance(norm, nn.LayerNorm)}
    heads = {block.heads for block in gpt.blocks if isinstance(block, GptBlock)}
    if len(sizes) > 1 or len(heads) > 1:
        return "its parts are of different sizes"
    size, rest = divmod(sizes.pop()[0], heads.pop())
    return f"heads of {size} are no multiple of 16" if rest or size % 16 else None


@cache
def _say(reason: str) -> None:
    _log.info("decoding in single torch operations: %s", reason)
