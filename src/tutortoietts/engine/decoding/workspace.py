"""Buffers for decoding in steps of fixed shape, which CUDA graphs need.

A graph remembers addresses, so its buffers must outlive a request. They form a `Workspace` that a request borrows from
a `Workspaces` and has to itself until it is done; two requests at once have two. Attention looks over a window of the
cache whose length is rounded up, and the number of rows is too, so that few graphs are needed. The code is the same on
every device; without a capture the steps run one by one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from torch import Tensor, nn

from tutortoietts.engine.decoding.model import CodeModel
from tutortoietts.engine.decoding.state import DecodeState, decode_step
from tutortoietts.nn.kv_cache import KVCache
from tutortoietts.runtime.cuda_graphs import Capture, default_capture
from tutortoietts.runtime.device import synchronizer
from tutortoietts.runtime.memory import bucket, is_out_of_memory
from tutortoietts.sampling.tokens import TokenOptions

__all__ = ["Workspace", "Workspaces"]

T = TypeVar("T")

_WINDOW = 128  # positions that the attended part of the cache is rounded up to
_CODES = 64

_log = logging.getLogger(__name__)


def _round_up(count: int, unit: int) -> int:
    return -(-count // unit) * unit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workspace:
    """Buffers at fixed addresses for one request at a time, and the steps captured over them."""

    model_key: Hashable
    state: DecodeState
    cache: KVCache
    capture: Capture
    steps: dict[Hashable, Callable[[], None]] = field(default_factory=dict)

    @classmethod
    def allocate(
        cls, model: CodeModel, rows: int, positions: int, codes: int, capture: Capture | None = None
    ) -> Workspace:
        """Return one for batches of `rows`, `codes` codes and at first `positions` in the cache, all rounded up."""
        rows, positions = bucket(rows), _round_up(positions, _WINDOW)
        return cls(
            model_key=_identity(model),
            state=DecodeState.allocate(model, rows, min(_round_up(codes, _CODES), model.cfg.max_mel_tokens)),
            cache=model.allocate_cache(rows, positions),
            capture=capture or default_capture(model.device),
        )

    def fits(self, model: CodeModel, rows: int, codes: int) -> bool:
        """Return whether it was made for these weights at this place in memory and is large enough; its cache may
        grow."""
        held, room = self.state.codes.shape
        return held >= rows and room >= codes and self.model_key == _identity(model)

    @property
    def nbytes(self) -> int:
        """Bytes of the cache and the hidden states, which are nearly all."""
        return self.cache.nbytes + self.state.hidden.nbytes

    def longer(self, positions: int, capture: Capture | None = None) -> Workspace:
        """Return one whose cache has `positions`: this one, or another over the same state, to be captured anew; then
        this one must not be used any more."""
        if positions <= self.cache.max_len:
            return self
        synchronize = synchronizer(self.state.positions.device)
        if synchronize is not None:
            synchronize()  # graphs may go only when they have run
        self.steps.clear()
        self.cache.lengthen(_round_up(positions, _WINDOW))
        return replace(self, capture=capture or default_capture(self.state.positions.device), steps={})

    def step(self, model: CodeModel, options: TokenOptions, rows: int, position: int) -> None:
        """Draw one code for the first `rows` rows, a bucket. `position`: the host's copy of their cache position."""
        window = _round_up(position + 1, _WINDOW)
        key = (options, rows, window)
        if key not in self.steps:
            state, cache = self.state.rows(0, rows), self.cache.rows(0, rows).window(window)
            changed = [state.positions, state.inputs, state.lengths, state.seen]
            self.steps[key] = self.capture(_step(model, options, state, cache), changed)
        self.steps[key]()


def _step(model: CodeModel, options: TokenOptions, state: DecodeState, cache: KVCache) -> Callable[[], None]:
    def hidden_states(x: Tensor, position: int | Tensor) -> Tensor:
        return model.hidden_states(x, cache=cache, position=state.starts + position)

    def step() -> None:
        decode_step(model, hidden_states, state, options, state.positions)
        state.positions.add_(1)

    return step


class Workspaces:
    """Lend workspaces and keep the last one that came back. Safe to share between threads."""

    def __init__(self, capture: Capture | None = None) -> None:
        self.capture = capture
        self._idle: Workspace | None = None
        self._lock = threading.Lock()

    @property
    def idle_bytes(self) -> int:
        """Bytes that a request would not have to allocate again."""
        idle = self._idle
        return 0 if idle is None else idle.nbytes

    def take(self, model: CodeModel, rows: int, positions: int, codes: int) -> Workspace:
        """Lend one that is large enough, to the borrower alone until `give_back`."""
        with self._lock:
            idle, self._idle = self._idle, None
        if idle is not None and idle.fits(model, rows, codes):
            return self.longer(idle, positions)
        del idle  # its memory first
        return Workspace.allocate(model, rows, positions, codes, self.capture)

    def longer(self, workspace: Workspace, positions: int) -> Workspace:
        """Lengthen a lent workspace, as `Workspace.longer` does."""
        return workspace.longer(positions, self.capture)

    def give_back(self, workspace: Workspace) -> None:
        """Keep the workspace for the next request."""
        with self._lock:
            self._idle = workspace

    def clear(self) -> None:
        """Let the memory go."""
        with self._lock:
            self._idle = None

    def retry_without_idle_buffers(self, work: Callable[[], T]) -> T:
        """Return the result of `work`. Out of memory, run it once more after `clear`, if that frees any: the work must
        be repeatable."""
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if self.idle_bytes == 0 or not is_out_of_memory(error):
                raise
        _log.warning("out of memory: once more without the buffers that wait for the next decoding")
        self.clear()
        return work()


def _identity(model: CodeModel) -> Hashable:
    """Return a key that changes when the weights are others or lie elsewhere; a graph would read the old place."""
    if not isinstance(model, nn.Module):
        return id(model)
    return tuple(tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers()))
