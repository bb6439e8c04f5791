"""Decoding in steps of fixed shape: on a CUDA GPU each is captured once as a graph and then only replayed.

A graph remembers addresses, so its buffers must outlive a request. They form a `Workspace` that a request borrows from
a `Workspaces` and has to itself until it is done; two requests at once have two. Positions are tensors; attention looks
over a window of the cache whose length is rounded up, and the number of slots is too, so that few graphs are needed.
Everywhere but in `capture_graph` the code is the same on every device; without a capture the steps run one by one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from torch import Tensor

from tutortoietts.engine.decoding.state import DecodeState, decode_step
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.nn.kv_cache import KVCache
from tutortoietts.runtime.cuda_graphs import Capture, default_capture
from tutortoietts.runtime.device import synchronizer
from tutortoietts.runtime.memory import bucket, is_out_of_memory
from tutortoietts.sampling.tokens import TokenOptions

__all__ = ["Workspace", "Workspaces"]

T = TypeVar("T")

_WINDOW = 128  # positions that the attended part of the cache is rounded up to
_PLACES = 64

_log = logging.getLogger(__name__)


def _up(count: int, unit: int) -> int:
    return -(-count // unit) * unit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workspace:
    """Buffers at fixed addresses for one request at a time, and what was captured over them.

    `at` () and `position` () int64: the place among the codes, and in the cache.
    """

    model_key: Hashable
    slots: DecodeState
    cache: KVCache
    at: Tensor
    position: Tensor
    capture: Capture
    steps: dict[Hashable, Callable[[], None]] = field(default_factory=dict)

    @classmethod
    def allocate(
        cls, model: Autoregressive, rows: int, positions: int, places: int, capture: Capture | None = None
    ) -> Workspace:
        """For batches of `rows`, `places` codes and at first `positions` in the cache, all rounded up."""
        rows, positions = bucket(rows), _up(positions, _WINDOW)
        return cls(
            model_key=_identity(model),
            slots=DecodeState.allocate(model, rows, min(_up(places, _PLACES), model.cfg.max_mel_tokens)),
            cache=model.allocate_cache(rows, positions),
            at=torch.zeros((), dtype=torch.int64, device=model.device),
            position=torch.zeros((), dtype=torch.int64, device=model.device),
            capture=capture or default_capture(model.device),
        )

    def fits(self, model: Autoregressive, rows: int, places: int) -> bool:
        """Whether it was made for these weights, in this place in memory, and is large enough; its cache may grow."""
        held, room = self.slots.codes.shape
        return held >= rows and room >= places and self.model_key == _identity(model)

    @property
    def nbytes(self) -> int:
        """Of the cache and the hidden states, which are nearly all."""
        return self.cache.nbytes + self.slots.hidden.nbytes

    def go_to(self, at: int, start: int) -> None:
        """The next step is that of place `at`; the code part of the cache begins at position `start`."""
        self.at.fill_(at)
        self.position.fill_(start + at)

    def longer(self, positions: int, capture: Capture | None = None) -> Workspace:
        """One whose cache has so many positions: this one, or another with its slots, which is captured anew. Then this
        one is of no use any more."""
        if positions <= self.cache.max_len:
            return self
        settle = synchronizer(self.at.device)
        if settle is not None:
            settle()  # graphs go only when they have run
        self.steps.clear()
        self.cache.lengthen(_up(positions, _WINDOW))
        return replace(self, capture=capture or default_capture(self.at.device), steps={})

    def step(self, model: Autoregressive, options: TokenOptions, rows: int, position: int) -> None:
        """Take the first `rows` slots, a bucket, one code further; `position`, which the cache must have, is the host's
        copy of where."""
        window = _up(position + 1, _WINDOW)
        key = (options, rows, window)
        if key not in self.steps:
            slots, cache = self.slots.first(rows), self.cache.rows(0, rows).window(window)
            state = [self.at, self.position, slots.inputs, slots.lengths, slots.seen]
            self.steps[key] = self.capture(self._body(model, options, slots, cache), state)
        self.steps[key]()

    def _body(
        self, model: Autoregressive, options: TokenOptions, slots: DecodeState, cache: KVCache
    ) -> Callable[[], None]:
        def backend(x: Tensor, _: int | Tensor) -> Tensor:
            return model.hidden_states(x, cache=cache, position=self.position)

        def step() -> None:
            decode_step(model, backend, slots, options, self.at)
            self.at.add_(1)
            self.position.add_(1)

        return step


class Workspaces:
    """Lends workspaces, and keeps the last one that came back. Safe to share between threads."""

    def __init__(self, capture: Capture | None = None) -> None:
        self.capture = capture
        self._idle: Workspace | None = None
        self._lock = threading.Lock()

    @property
    def idle_bytes(self) -> int:
        """What a request would not have to allocate again."""
        idle = self._idle
        return 0 if idle is None else idle.nbytes

    def take(self, model: Autoregressive, rows: int, positions: int, places: int) -> Workspace:
        """One that is large enough, for the borrower alone until `give_back`."""
        with self._lock:
            idle, self._idle = self._idle, None
        if idle is not None and idle.fits(model, rows, places):
            return self.longer(idle, positions)
        del idle  # its memory first
        return Workspace.allocate(model, rows, positions, places, self.capture)

    def longer(self, workspace: Workspace, positions: int) -> Workspace:
        """See `Workspace.longer`."""
        return workspace.longer(positions, self.capture)

    def give_back(self, workspace: Workspace) -> None:
        """The next request may have it."""
        with self._lock:
            self._idle = workspace

    def clear(self) -> None:
        """Let the memory go."""
        with self._lock:
            self._idle = None

    def retry_without_idle_buffers(self, work: Callable[[], T]) -> T:
        """What the work gives. Out of memory, once more after `clear`, if that frees any: the work must give the same
        again."""
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if self.idle_bytes == 0 or not is_out_of_memory(error):
                raise
        _log.warning("out of memory: once more without the buffers that wait for the next decoding")
        self.clear()
        return work()


def _identity(model: Autoregressive) -> Hashable:
    """Changes when the weights are others or lie elsewhere; a graph would read the old place."""
    return tuple(tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers()))
