"""CUDA graphs: capture a step of fixed shape once, then replay it. On other devices the step runs directly."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

__all__ = ["Capture", "capture_graph", "default_capture", "use_cuda_graphs"]

Capture = Callable[[Callable[[], None], "list[Tensor]"], Callable[[], None]]
"""(step, the tensors it both reads and writes) -> what to call for each step. The state is afterwards as before."""

_OFF = "TUTORTOIETTS_CUDA_GRAPHS"
_CAPTURING = threading.Lock()  # of the process: to begin a capture waits for the device, which breaks another capture

_log = logging.getLogger(__name__)


def use_cuda_graphs(device: torch.device) -> bool:
    """Return True if steps of fixed shape are used on this device: on CUDA, unless TUTORTOIETTS_CUDA_GRAPHS is 0."""
    return device.type == "cuda" and os.environ.get(_OFF, "1") != "0"


def default_capture(device: torch.device) -> Capture:
    """Return a capture for the device: CUDA graphs on CUDA; elsewhere the step itself is returned."""
    if device.type == "cuda":
        return partial(capture_graph, pool=torch.cuda.graph_pool_handle(), stream=_stream(device))
    return lambda step, state: step


@cache
def _stream(device: torch.device) -> Any:
    """Return the one stream for all captures on a device: for each stream torch keeps up to 32 MiB of workspace."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def capture_graph(
    step: Callable[[], None], state: list[Tensor], pool: Any = None, stream: Any = None
) -> Callable[[], None]:
    """Capture a step as a CUDA graph and return its replay, or with a warning the step itself if capture fails.

    pool: memory shared by graphs that never run at once and keep nothing there. stream: where the step is first tried,
    so that libraries have allocated what they need, and then captured. One capture at a time in the whole process;
    other threads may work meanwhile, but must not wait for the device, only for their streams (`runtime.device`).
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
