"""Hidden states of new codes: from the cache, from the cache in steps of fixed shape, or by a whole pass for each code.

A backend belongs to one request, and serves its batches one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tutortoietts.accelerate.gpt import GptStep
from tutortoietts.engine.decoding.state import DecodeState, decode_step
from tutortoietts.engine.decoding.workspace import Workspaces
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.runtime.cuda_graphs import use_cuda_graphs
from tutortoietts.runtime.memory import bucket

if TYPE_CHECKING:
    from tutortoietts.engine.decoding.loop import DecodeRequest

__all__ = ["CachedBackend", "FixedShapeBackend", "UncachedBackend", "open_backend"]

_CODES = 128  # that the cache has room for at first, about a sentence, and by how many it grows
_HIDDEN, _LOGITS = Autoregressive.hidden_states, Autoregressive.mel_logits


class CachedBackend:
    """Hidden states of new inputs from a cache that belongs to a batch and grows with what is said; the prefix is
    computed once. On a CPU by one compiled call where that can be (`accelerate.gpt`), otherwise by the model itself."""

    def __init__(self, model: Autoregressive, request: DecodeRequest, rows: int) -> None:
        self.model, self.options = model, request.options
        prefix = model.prefix(request.speaker, request.text)
        self.start, self.most = prefix.shape[1], prefix.shape[1] + request.max_codes
        self.cache = self.kept = model.allocate_cache(1, self.start)
        model.hidden_states(prefix, self.kept, position=0)
        self.slots = self.buffers(request, rows)
        self.compiled = self.compile()

    def compile(self) -> GptStep | None:
        """What does the same as `model.hidden_states` and `model.mel_logits`, None where only these will do."""
        model, kind = self.model, type(self.model)
        own = getattr(kind, "hidden_states", None) is _HIDDEN and getattr(kind, "mel_logits", None) is _LOGITS
        if model.device.type != "cpu" or not own or {"hidden_states", "mel_logits"} & vars(model).keys():
            return None
        return GptStep.fit(model.gpt, (model.gpt.ln_f, model.final_norm), model.mel_head)

    def buffers(self, request: DecodeRequest, rows: int) -> DecodeState:
        return DecodeState.allocate(self.model, rows, request.max_codes)

    def size(self, rows: int) -> int:
        """Rows to compute for so many rows."""
        return rows

    def begin(self, slots: int) -> None:
        """A batch of so many slots, with the prefix in the cache."""
        self.rest()
        self.cache = self.model.allocate_cache(slots, self.positions(1))
        self.cache.copy_start(self.kept)

    def rest(self) -> None:
        """The batch is done: its keys and values may go."""
        self.cache = self.kept

    def positions(self, codes: int) -> int:
        """Of the cache for so many codes."""
        return min(self.start + -(-codes // _CODES) * _CODES, self.most)

    def reach(self, codes: int) -> None:
        """Room for so many codes."""
        if self.start + codes > self.cache.max_len:
            self.cache.lengthen(self.positions(codes))

    def __call__(self, x: Tensor, at: int | Tensor) -> Tensor:
        if isinstance(at, int):
            self.reach(at + x.shape[1])
        position = self.start + at
        if self.compiled is not None and self.compiled.takes(x, self.cache):
            return self.compiled(x, self.cache, position, shared=self.start)
        return self.model.hidden_states(x, cache=self.cache, position=position)

    def step(self, slots: DecodeState, at: int) -> None:
        head = self.model.mel_logits if self.compiled is None else self.compiled.logits
        decode_step(self.model, self, slots, self.options, at, head)

    def keep(self, index: Tensor) -> None:
        self.cache = self.cache.keep_rows(index)

    def close(self) -> None:
        """Nothing outlives the request."""


class FixedShapeBackend(CachedBackend):
    """The same in steps of fixed shape over borrowed buffers."""

    def compile(self) -> None:
        """Steps that may be captured are torch's."""

    def buffers(self, request: DecodeRequest, rows: int) -> DecodeState:
        self.lender = request.workspaces or Workspaces()
        self.space = self.lender.take(self.model, rows, self.positions(1), request.max_codes)
        self.space.cache.rows(0, bucket(rows)).clear()
        return self.space.slots

    def size(self, rows: int) -> int:
        return bucket(rows)

    def begin(self, slots: int) -> None:
        self.cache = self.space.cache.rows(0, slots)
        self.cache.copy_start(self.kept)
        self.space.go_to(0, self.start)

    def reach(self, codes: int) -> None:
        if self.start + codes > self.space.cache.max_len:
            rows, self.cache = self.cache.batch, self.kept
            self.space = self.lender.longer(self.space, self.start + codes)
            self.cache = self.space.cache.rows(0, rows)

    def step(self, slots: DecodeState, at: int) -> None:
        self.reach(at + 1)
        self.space.step(self.model, self.options, len(slots.lengths), self.start + at)

    def close(self) -> None:
        self.lender.give_back(self.space)


class UncachedBackend(CachedBackend):
    """The oracle: everything so far goes through the model again."""

    def __init__(self, model: Autoregressive, request: DecodeRequest, rows: int) -> None:
        self.model, self.options = model, request.options
        self.compiled = None
        self.inputs = self.prefix = model.prefix(request.speaker, request.text)
        self.slots = DecodeState.allocate(model, rows, request.max_codes)

    def begin(self, slots: int) -> None:
        self.inputs = self.prefix.expand(slots, -1, -1)

    def rest(self) -> None:
        """There is no cache."""

    def __call__(self, x: Tensor, at: int | Tensor) -> Tensor:
        self.inputs = torch.cat([self.inputs, x], dim=1)
        return self.model.hidden_states(self.inputs)[:, -x.shape[1] :]

    def keep(self, index: Tensor) -> None:
        self.inputs = self.inputs[index]


def open_backend(model: Autoregressive, request: DecodeRequest, rows: int) -> CachedBackend:
    """What the request asks for, for batches of up to so many rows, with the prefix in it."""
    if not request.cached:
        return UncachedBackend(model, request, rows)
    fixed = use_cuda_graphs(model.device) if request.fixed is None else request.fixed
    return (FixedShapeBackend if fixed else CachedBackend)(model, request, rows)
