"""Models on a CUDA GPU by kernels that do several operations in one launch (`native.gpu_kernels`).

At the sizes of a decoding step a launch takes longer than its work, also within a CUDA graph, so what counts is how
many there are: five for each layer of the GPT instead of about twenty. The kernels are in Triton, which compiles them
when they are first needed; where that fails, torch does the same work from then on, as it does without Triton and with
TUTORTOIETTS_TRITON=0.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.bigvgan import EPSILON, SnakeBeta
from tutortoietts.models.diffusion import ResidualBlock
from tutortoietts.models.xtts import Xtts
from tutortoietts.nn.blocks import TimeConv, TimeGroupNorm
from tutortoietts.nn.code_gpt import CodeGpt
from tutortoietts.nn.gpt import FewRowsLinear, Gpt, GptBlock
from tutortoietts.nn.kv_cache import KVCache
from tutortoietts.nn.quant import WeightInt8Linear

__all__ = ["fuse"]

_OFF = "TUTORTOIETTS_TRITON"
_DEVICES = ("cuda",)
_HALF = (torch.float16, torch.bfloat16)
_LEAST_CAPABILITY = 8

_log = logging.getLogger(__name__)


@cache
def _kernels() -> Any:
    """Return the module of kernels."""
    from tutortoietts.native import gpu_kernels

    return gpu_kernels


def _usable(device: torch.device) -> bool:
    """Return whether the kernels may be tried on a device."""
    if device.type not in _DEVICES or os.environ.get(_OFF, "1") == "0" or find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device)[0] >= _LEAST_CAPABILITY


def fuse(module: nn.Module, device: torch.device) -> None:
    """Let the parts of a model that the kernels know use them on this device, where they may be tried."""
    if not _usable(device):
        return
    for part in module.modules():
        if type(part) in _FAST:
            part.__class__ = _FAST[type(part)]


def _fast(x: Tensor) -> bool:
    """Return whether a part that was fused uses its kernels for this input."""
    return _state.working and x.device.type in _DEVICES and not torch.is_grad_enabled()


class _State:
    """Whether the kernels work in this process, as far as is known."""

    working = True


_state = _State()


def _attempt(x: Tensor, fast: Callable[[], Tensor], plain: Callable[[], Tensor]) -> Tensor:
    """Return what `fast` gives on the device of x; when a kernel cannot be compiled, that of `plain`, and use no kernel
    any more."""
    try:
        with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]  # Triton launches on the current one
            return fast()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # Triton, the compilers it calls, and how it finds them all have exceptions of their own
        _state.working = False
        _log.warning("no Triton kernels on this GPU (%s: %s); %s=0 says so at once", type(error).__name__, error, _OFF)
        return plain()


class GpuGpt(Gpt):
    """Transformer whose decoding steps are five kernels a layer."""

    def forward(
        self, x: Tensor, cache: KVCache | None = None, mask: Tensor | None = None, position: int | Tensor = 0
    ) -> Tensor:
        plain = super().forward
        if cache is None or mask is not None or x.shape[1] != 1 or not (_fast(x) and self._known(cache)):
            return plain(x, cache, mask, position)
        if isinstance(position, int) and position >= cache.max_len:
            return plain(x, cache, mask, position)  # which says why not
        return _attempt(x, lambda: self._step(x, cache, position), lambda: plain(x, cache, mask, position))

    def _known(self, cache: KVCache) -> bool:
        size = cache.keys.shape[-1]
        return size >= 16 and size & (size - 1) == 0 and all(map(_is_plain, self.blocks))

    def _step(self, x: Tensor, cache: KVCache, position: int | Tensor) -> Tensor:
        rows, _, dim = x.shape
        if isinstance(position, int):
            where = torch.full((rows,), position, dtype=torch.int64, device=x.device)
        else:
            where = position.expand(rows).contiguous()
        y = x.reshape(rows, dim)
        for layer, block in enumerate(cast("list[GptBlock]", [*self.blocks])):
            qkv = _linear(block.qkv, y, norm=block.ln_1)
            seen = _kernels().attend_step(qkv, cache.keys[layer], cache.values[layer], where)
            y = _linear(block.proj, seen, residual=y)
            wide = _linear(block.widen, y, norm=block.ln_2, gelu=True)
            y = _linear(block.narrow, wide, residual=y)
        return self.ln_f(y.view(rows, 1, dim))  # type: ignore[no-any-return]


def _is_plain(block: nn.Module) -> bool:
    """Return whether a block was neither replaced, nor subclassed, hooked or compiled."""
    return type(block) is GptBlock and _untouched(block)


def _untouched(module: nn.Module) -> bool:
    hooked = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    return not hooked and module._compiled_call_impl is None


class _GpuHead(CodeGpt):
    """Logits of a step in one kernel. The classes are seldom a multiple of 8, without which torch's product in half
    precision takes six times as long as reading its weights; over 8-bit weights torch needs three kernels."""

    def mel_logits(self, hidden: Tensor) -> Tensor:
        plain = super().mel_logits
        rows = hidden.reshape(-1, hidden.shape[-1])
        if not (_fast(hidden) and len(rows) <= _kernels().MOST_ROWS and _untouched(self.mel_head)):
            return plain(hidden)

        def fast() -> Tensor:
            return _linear(self.mel_head, rows.contiguous()).view(*hidden.shape[:-1], -1).float()

        return _attempt(hidden, fast, lambda: plain(hidden))


class GpuAutoregressive(_GpuHead, Autoregressive):
    """Autoregressive model with such logits."""


class GpuXtts(_GpuHead, Xtts):
    """XTTS with such logits."""


def _linear(
    layer: nn.Module,
    x: Tensor,
    *,
    norm: nn.LayerNorm | None = None,
    gelu: bool = False,
    residual: Tensor | None = None,
) -> Tensor:
    """Return residual + gelu(layer(norm(x))) of x (R, K), in one launch where the kernel can."""
    inputs = x.shape[1]
    if norm is not None and len(x) > _kernels().MOST_NORMED:
        x, norm = norm(x), None
    fits = len(x) <= _kernels().MOST_ROWS and inputs % 16 == 0 and (norm is None or inputs & (inputs - 1) == 0)
    if fits and x.dtype in _HALF and (weights := _weights(layer, x.dtype)) is not None:
        given = None if norm is None else (norm.weight, norm.bias, norm.eps)
        return _kernels().rows_linear(x, *weights, norm=given, gelu=gelu, residual=residual)  # type: ignore[no-any-return]
    y = layer(x if norm is None else norm(x))
    y = F.gelu(y, approximate="tanh") if gelu else y
    return y if residual is None else residual + y


def _weights(layer: nn.Module, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor | None] | None:
    """Return weight, bias and scale of a layer that the kernel knows."""
    if isinstance(layer, nn.Linear) and type(layer) in (nn.Linear, FewRowsLinear):
        known = layer.weight.dtype == dtype and layer.weight.is_contiguous() and layer.bias is not None
        return (layer.weight, layer.bias, None) if known else None
    return (layer.q, layer.bias, layer.scale) if type(layer) is WeightInt8Linear else None


class GpuTimeGroupNorm(TimeGroupNorm):
    """Group norm over time in one kernel."""

    def forward(self, x: Tensor) -> Tensor:
        plain = super().forward
        return _attempt(x, lambda: _norm(self, x), lambda: plain(x)) if _fast(x) else plain(x)


def _norm(
    norm: TimeGroupNorm, x: Tensor, modulation: Tensor | None = None, silu: bool = False, taps: int = 1
) -> Tensor:
    weights = norm.weight, norm.bias, norm.eps
    return _kernels().group_norm(x.contiguous(), norm.num_groups, *weights, modulation, silu, taps)  # type: ignore[no-any-return]


class GpuResidualBlock(ResidualBlock):
    """Residual block of the diffusion in five kernels."""

    def forward(self, x: Tensor, modulation: Tensor, bias: Tensor | None = None) -> Tensor:
        plain = super().forward
        conv = self.conv_out
        if not (_fast(x) and type(conv) is TimeConv and (conv.kernel_size, conv.stride) == (3, 1)):
            return plain(x, modulation, bias)

        def fast() -> Tensor:
            y = self.conv_in(_norm(self.norm_in, x, silu=True))
            taps = _norm(self.norm_out, y, modulation, silu=True, taps=3)
            return x + F.linear(taps, conv.weight, conv.bias)

        return _attempt(x, fast, lambda: plain(x, modulation, bias))


class GpuSnakeBeta(SnakeBeta):
    """Activation of BigVGAN in two kernels."""

    def forward(self, x: Tensor) -> Tensor:
        plain = super().forward
        if not (_fast(x) and x.dtype == self.alpha.dtype == torch.float32):
            return plain(x)
        return _attempt(
            x, lambda: _kernels().snake(x.contiguous(), self.filter, self.alpha, self.beta, EPSILON), lambda: plain(x)
        )


_FAST: dict[type[nn.Module], type[nn.Module]] = {
    Autoregressive: GpuAutoregressive,
    Xtts: GpuXtts,
    Gpt: GpuGpt,
    TimeGroupNorm: GpuTimeGroupNorm,
    ResidualBlock: GpuResidualBlock,
    SnakeBeta: GpuSnakeBeta,
}
