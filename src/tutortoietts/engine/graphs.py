"""Decoding in steps of fixed shape: on a CUDA GPU each is captured once as a graph and then only replayed.

A graph remembers addresses, so its buffers must outlive a request. They form a `Workspace` that a request borrows from
a `Workspaces` and has to itself until it is done; two requests at once have two. Positions are tensors; attention looks
over a window of the cache whose length is rounded up, and the number of slots is too, so that few graphs are needed.
Everywhere but in `capture_graph` the code is the same on every device; without a capture the steps run one by one.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from tutortoietts.engine.device import settling
from tutortoietts.engine.memory import bucket, is_out_of_memory
from tutortoietts.engine.slots import Slots, take_step
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.nn.kv_cache import KVCache
from tutortoietts.sampling.tokens import TokenOptions

__all__ = ["Capture", "Workspace", "Workspaces", "capture_graph", "default_capture", "wanted"]

T = TypeVar("T")

Capture = Callable[[Callable[[], None], "list[Tensor]"], Callable[[], None]]
"""(step, the tensors it both reads and writes) -> what to call for each step. The state is afterwards as before."""

_WINDOW = 128  # positions that the attended part of the cache is rounded up to
_PLACES = 64
_OFF = "TUTORTOIETTS_CUDA_GRAPHS"
_CAPTURING = threading.Lock()  # of the process: to begin a capture waits for the device, which breaks another capture

_log = logging.getLogger(__name__)


def wanted(device: torch.device) -> bool:
    """Whether decoding on this device should go in fixed steps: on CUDA, unless TUTORTOIETTS_CUDA_GRAPHS is 0."""
    return device.type == "cuda" and os.environ.get(_OFF, "1") != "0"


def default_capture(device: torch.device) -> Capture:
    """CUDA graphs where there is CUDA; elsewhere the step itself."""
    if device.type == "cuda":
        return partial(capture_graph, pool=torch.cuda.graph_pool_handle(), stream=_stream(device))
    return lambda step, state: step


@cache
def _stream(device: torch.device) -> Any:
    """Of all captures on a device: torch keeps cuBLAS's workspace, up to 32 MiB, for every stream that ever had one."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def capture_graph(
    step: Callable[[], None], state: list[Tensor], pool: Any = None, stream: Any = None
) -> Callable[[], None]:
    """The step as a CUDA graph, or the step itself, with a warning, if this driver cannot capture it.

    pool: the memory that graphs share which never run at once and leave nothing there. stream: where to capture, and
    before that to try, so that libraries have allocated what they need. One capture at a time in the whole process;
    other threads may work meanwhile, but must not wait for the device, only for their streams (`engine.device`).
    """
    kept = [tensor.clone() for tensor in state]
    try:
        stream = stream or torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with _CAPTURING, torch.cuda.device(stream.device):
            replay = _captured(step, pool, stream)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        _log.warning("decoding without CUDA graphs (%s); %s=0 says so at once", str(error).split("\n")[0], _OFF)
        replay = step
    for tensor, before in zip(state, kept, strict=True):
        tensor.copy_(before)
    return replay


def _captured(step: Callable[[], None], pool: Any, stream: Any) -> Callable[[], None]:
    working, graph = torch.cuda.current_stream(), torch.cuda.CUDAGraph()
    stream.wait_stream(working)
    try:
        with torch.cuda.stream(stream):  # what follows would leave it the current one when a capture fails at its end
            step()
            # "global", the default, would fail when a thread of another request allocates memory meanwhile
            with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                step()
    finally:
        working.wait_stream(stream)
    replay: Callable[[], None] = graph.replay
    return replay


def _up(count: int, unit: int) -> int:
    return -(-count // unit) * unit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workspace:
    """Buffers at fixed addresses for one request at a time, and what was captured over them.

    `at` () and `position` () int64: the place among the codes, and in the cache.
    """

    model_key: Hashable
    slots: Slots
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
            slots=Slots.allocate(model, rows, min(_up(places, _PLACES), model.cfg.max_mel_tokens)),
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
        settle = settling(self.at.device)
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

    def _body(self, model: Autoregressive, options: TokenOptions, slots: Slots, cache: KVCache) -> Callable[[], None]:
        def trunk(x: Tensor, _: int | Tensor) -> Tensor:
            return model.trunk(x, cache=cache, position=self.position)

        def step() -> None:
            take_step(model, trunk, slots, options, self.at)
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

    def spared(self, work: Callable[[], T]) -> T:
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
