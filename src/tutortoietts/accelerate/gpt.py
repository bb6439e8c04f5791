"""A decoding step of `Autoregressive` in two calls on a CPU: all blocks with the norms behind them, and the code head.

A step is made for one request, whose scratch memory it holds, and reads the model's weights in place. It stands in only
for modules that it knows; where one was replaced, subclassed or hooked, torch does the work.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache, partial

import torch
from torch import nn

from tutortoietts.accelerate.cache import KernelCache
from tutortoietts.accelerate.eligible import changed_layer, forwards
from tutortoietts.accelerate.layers import CompiledInt8Linear, linear_weights, norm_weights
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.xtts import Xtts
from tutortoietts.native import gpt_step as native
from tutortoietts.native.gpt_step import BlockWeights, GptStep
from tutortoietts.nn.code_gpt import CodeGpt
from tutortoietts.nn.gpt import FewRowsLinear, Gpt, GptBlock
from tutortoietts.nn.quant import Int8RowsLinear

__all__ = ["AcceleratedAutoregressive", "AcceleratedGpt", "AcceleratedXtts", "GptStep", "compiled_step", "gpt_step"]

_KNOWN = forwards(Gpt, GptBlock, nn.LayerNorm, FewRowsLinear, nn.Linear, Int8RowsLinear, CompiledInt8Linear)
_DTYPES = (torch.float32, torch.bfloat16, torch.int8, torch.int32)
_METHODS = {name: getattr(CodeGpt, name) for name in ("hidden_states", "mel_logits")}
_log = logging.getLogger(__name__)

steps: KernelCache[GptStep] = KernelCache()
"""Steps of this process's models, from which each request takes a copy."""


class AcceleratedGpt(CodeGpt):
    """Model whose decoding may go through `compiled_step`; `accelerate` turns a `CodeGpt` into it."""

    def why_not(self) -> str | None:
        """Return why torch does the decoding, or None."""
        own = all(getattr(type(self), name) is method for name, method in _METHODS.items())
        if not own or _METHODS.keys() & vars(self).keys():
            return "the model was changed"
        return _why_not(self.gpt, (self.gpt.ln_f, self.final_norm), self.mel_head)


class AcceleratedAutoregressive(Autoregressive, AcceleratedGpt):
    """Tortoise's model in this form."""


class AcceleratedXtts(Xtts, AcceleratedGpt):
    """The model of XTTS in this form."""


def compiled_step(model: object) -> GptStep | None:
    """Return `hidden_states` and `mel_logits` of an accelerated model in compiled form, for one request and one thread.

    None where torch must do it: the model was not accelerated or was changed; the log then says once why.
    """
    if not isinstance(model, AcceleratedGpt):
        return None
    reason = model.why_not()
    if reason is not None:
        _say(reason)
        return None
    layers = (model.gpt, model.final_norm, model.mel_head)
    build = partial(gpt_step, model.gpt, (model.gpt.ln_f, model.final_norm), model.mel_head)
    return steps.get(model.gpt, layers, 0, build).copy()


def gpt_step(gpt: Gpt, norms: Sequence[nn.LayerNorm], head: nn.Module) -> GptStep:
    """Return a step through blocks, norms and head, which the kernel must know."""
    known = [block for block in gpt.blocks if isinstance(block, GptBlock)]
    blocks = [
        BlockWeights(
            before=norm_weights(block.ln_1),
            between=norm_weights(block.ln_2),
            **{name: linear_weights(getattr(block, name)) for name in ("qkv", "proj", "widen", "narrow")},
        )
        for block in known
    ]
    return GptStep(blocks, [*map(norm_weights, norms)], linear_weights(head), known[0].heads, native.library())


def _why_not(gpt: nn.Module, norms: Sequence[nn.Module], head: nn.Module) -> str | None:
    reason = changed_layer((gpt, *norms, head), _KNOWN, _DTYPES)
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
    if rest or size % 16:
        return f"heads of {size} are no multiple of 16"
    return None if native.library() is not None else "no compiled kernels"


@cache
def _say(reason: str) -> None:
    _log.info("decoding in single torch operations: %s", reason)
