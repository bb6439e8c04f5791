"""Hidden states of new codes: from a KV cache, from a cache in steps of fixed shape, or by a full pass for each code.

A backend belongs to one request and serves its batches one after the other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tutortoietts.accelerate import GptStep, compiled_step
from tutortoietts.engine.decoding.model import CodeModel
from tutortoietts.engine.decoding.request import DecodeRequest
from tutortoietts.engine.decoding.state import DecodeState, decode_step
from tutortoietts.engine.decoding.workspace import Workspaces
from tutortoietts.runtime.cuda_graphs import use_cuda_graphs
from tutortoietts.runtime.device import synchronizer
from tutortoietts.runtime.memory import bucket

__all__ = ["CachedBackend", "FixedShapeBackend", "UncachedBackend", "open_backend"]

_CODES = 128  # codes the cache has room for at first, about a sentence, and by how many it grows


class CachedBackend:
    """Keep keys and values in a cache that belongs to one batch and grows with what is drawn.

    The prefix is computed once and copied to the rows of each batch. On a CPU a step is one compiled call where that is
    possible (`accelerate.gpt`), otherwise the model's own operations.
    """

    def __init__(self, model: CodeModel, request: DecodeRequest, rows: int) -> None:
        self.model, self.options = model, request.options
        self.start, self.most = request.prefix.shape[1], request.prefix.shape[1] + request.max_codes
        self.cache = self.prefilled = model.allocate_cache(1, self.start)
        model.hidden_states(request.prefix, self.prefilled, position=0)
        self.state = self.allocate_state(request, rows)
        self.compiled = self.compile()

    def compile(self) -> GptStep | None:
        """Return a compiled step that stands in for the model's own methods, None where only these will do."""
        return compiled_step(self.model)

    def allocate_state(self, request: DecodeRequest, rows: int) -> DecodeState:
        """Return the buffers of batches of up to `rows` rows."""
        return DecodeState.allocate(self.model, rows, request.max_codes)

    def size(self, rows: int) -> int:
        """Return how many rows are computed for a batch of `rows`."""
        return rows

    def begin(self, rows: int) -> None:
        """Start a batch: the cached prefix is copied to all its rows."""
        self.rest()
        self.cache = self.model.allocate_cache(rows, self.positions(1))
        self.cache.copy_start(self.prefilled)

    def rest(self) -> None:
        """Let the keys and values of the last batch go."""
        self.cache = self.prefilled

    def positions(self, codes: int) -> int:
        """Return the cache positions to allocate for `codes` codes behind the prefix."""
        return min(self.start + -(-codes // _CODES) * _CODES, self.most)

    def reach(self, codes: int) -> None:
        """Grow the cache until it has room for `codes` codes."""
        if self.start + codes > self.cache.max_len:
            self.cache.lengthen(self.positions(codes))

    def __call__(self, x: Tensor, position: int | Tensor) -> Tensor:
        """Run embedded inputs (R, S, D), the first at code `position`, -> hidden states (R, S, D)."""
        if isinstance(position, int):
            self.reach(position + x.shape[1])
        where = self.start + position
        if self.compiled is not None and self.compiled.takes(x, self.cache):
            return self.compiled(x, self.cache, where, shared=self.start)
        return self.model.hidden_states(x, cache=self.cache, position=where)

    def step(self, state: DecodeState, position: int) -> None:
        """Draw the code at `position` of every row of `state`."""
        logits_of = self.model.mel_logits if self.compiled is None else self.compiled.logits
        decode_step(self.model, self, state, self.options, position, logits_of)

    def keep(self, index: Tensor) -> None:
        """Go on with the rows `index` of the cache, in that order."""
        self.cache = self.cache.keep_rows(index)

    def close(self) -> None:
        """Give back what was borrowed: nothing here."""


class FixedShapeBackend(CachedBackend):
    """Decode in steps of fixed shape over borrowed buffers, which CUDA graphs need."""

    def compile(self) -> None:
        """Return None: a step that may be captured runs in torch."""

    def allocate_state(self, request: DecodeRequest, rows: int) -> DecodeState:
        self.lender, self.lent = request.workspaces or Workspaces(), request.workspaces is not None
        self.space = self.lender.take(self.model, rows, self.positions(1), request.max_codes)
        self.space.cache.rows(0, bucket(rows)).clear()
        return self.space.state

    def size(self, rows: int) -> int:
        return bucket(rows)

    def begin(self, rows: int) -> None:
        self.cache = self.space.cache.rows(0, rows)
        self.cache.copy_start(self.prefilled)

    def reach(self, codes: int) -> None:
        if self.start + codes > self.space.cache.max_len:
            rows, self.cache = self.cache.batch, self.prefilled
            self.space = self.lender.longer(self.space, self.start + codes)
            self.cache = self.space.cache.rows(0, rows)

    def step(self, state: DecodeState, position: int) -> None:
        self.reach(position + 1)
        self.space.step(self.model, self.options, len(state.lengths), self.start + position)

    def close(self) -> None:
        self.lender.give_back(self.space)
        synchronize = synchronizer(self.model.device)
        if not self.lent and synchronize is not None:
            synchronize()  # the buffers go now, and graphs may go only when they have run


class UncachedBackend(CachedBackend):
    """The slow reference: everything so far goes through the model again for each code."""

    def __init__(self, model: CodeModel, request: DecodeRequest, rows: int) -> None:
        self.model, self.options = model, request.options
        self.compiled, self.start = None, request.prefix.shape[1]
        self.inputs = self.prefix = request.prefix
        self.state = self.allocate_state(request, rows)

    def begin(self, rows: int) -> None:
        self.inputs = self.prefix.expand(rows, -1, -1)

    def rest(self) -> None:
        """Do nothing: there is no cache."""

    def __call__(self, x: Tensor, position: int | Tensor) -> Tensor:
        self.inputs = torch.cat([self.inputs, x], dim=1)
        return self.model.hidden_states(self.inputs)[:, -x.shape[1] :]

    def keep(self, index: Tensor) -> None:
        self.inputs = self.inputs[index]


def open_backend(model: CodeModel, request: DecodeRequest, rows: int) -> CachedBackend:
    """Return the backend that the request asks for, prefilled, for batches of up to `rows` rows."""
    if not request.cached:
        return UncachedBackend(model, request, rows)
    fixed = use_cuda_graphs(model.device) if request.fixed is None else request.fixed
    return (FixedShapeBackend if fixed else CachedBackend)(model, request, rows)
