"""Memory: how much is free, how many candidates fit at once, and how it goes back to the system."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path

import torch

from tutortoietts.core.config import AutoregressiveConfig
from tutortoietts.core.config_xtts import XttsConfig

__all__ = [
    "bucket",
    "bytes_a_candidate",
    "free_bytes",
    "give_back",
    "is_out_of_memory",
    "limit_arenas",
    "pick_batch_size",
    "returning_memory",
]

_SHARE = 0.5  # of the free memory for keys, values and hidden states
_MOST_ROWS = {"cpu": 32}  # beyond this, rows mostly idle until the longest one ends
_MOST_ROWS_ELSEWHERE = 128
_BUCKETS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128)  # rows that steps of fixed shape are made for
_UNKNOWN_FREE_BYTES = 2 << 30
_TORCH = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
_FULL = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
_M_ARENA_MAX = -8  # of glibc's malloc.h
_DRAWING_BYTES = 24  # a class: logits and their filtered copies


def free_bytes(device: torch.device) -> int:
    """Return the bytes that can be allocated on this device now; a modest guess where the system does not say."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch's own reserve
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type == "cpu":
        with suppress(OSError, ValueError):
            for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
        with suppress(OSError, ValueError, AttributeError):
            return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return _UNKNOWN_FREE_BYTES


def bytes_a_candidate(
    cfg: AutoregressiveConfig | XttsConfig, positions: int, cache: torch.dtype, hidden: torch.dtype | None = None
) -> int:
    """Return the bytes that one row of `positions` needs.

    These are keys and values of type `cache`, hidden states of type `hidden` (None: the same), once while they are made
    and once as they are returned, and the numbers needed to draw a code.
    """
    places = cfg.model_dim * positions
    drawing = _DRAWING_BYTES * cfg.number_mel_codes
    return 2 * cfg.layers * places * cache.itemsize + 2 * places * (hidden or cache).itemsize + drawing


def bucket(rows: int) -> int:
    """Return the least number of rows that holds `rows`, among those that steps of fixed shape are made for."""
    return next((size for size in _BUCKETS if size >= rows), -(-rows // _BUCKETS[-1]) * _BUCKETS[-1])


def pick_batch_size(row: int, device: torch.device, candidates: int, reusable: int = 0, *, fixed: bool = False) -> int:
    """Return how many of `candidates`, of `row` bytes each, to decode at once.

    They fit into half of the free memory, in batches of equal size. reusable: bytes of earlier buffers that can be used
    again. fixed: `bucket` of a batch fits as well.
    """
    fit = int(_SHARE * (free_bytes(device) + reusable)) // row
    most = max(1, min(fit, _MOST_ROWS.get(device.type, _MOST_ROWS_ELSEWHERE)))
    if fixed:
        most = max(size for size in _BUCKETS if size <= most)
    batches = -(-candidates // min(most, candidates))
    return -(-candidates // batches)


def is_out_of_memory(error: BaseException) -> bool:
    """Return True for an error after which a smaller batch may succeed."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _FULL)


@contextmanager
def returning_memory(device: torch.device) -> Iterator[None]:
    """Give memory back to the system (`give_back`) after a block that works on a CPU."""
    try:
        yield
    finally:
        if device.type == "cpu":
            give_back()


def give_back() -> None:
    """Give the system what allocators keep of work that is done: this thread's buffers of MKL, and glibc's free pages.

    Both are kept for each thread, as large as its largest request, and no use to other threads; glibc's are also pinned
    by what lies above them. With work of many lengths in several threads the process would grow for hours.
    """
    for release in _releases():
        release()


def limit_arenas(most: int) -> None:
    """Let glibc keep at most ``most`` arenas from now on, where there is glibc.

    Each thread that allocates beside others gets one, up to 8 a core, and each grows to the largest work ever done in
    it. A server of 16 threads would grow for thousands of requests; arenas shared by its threads are soon full-grown.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, most)


@cache
def _releases() -> tuple[Callable[[], object], ...]:
    """Return the functions that release memory of MKL inside torch and of glibc, where this process has them."""
    found: list[Callable[[], object]] = []
    with suppress(OSError, AttributeError):
        found.append(ctypes.CDLL(str(_TORCH)).mkl_serv_thread_free_buffers)
    with suppress(OSError, AttributeError):
        found.append(partial(ctypes.CDLL("libc.so.6").malloc_trim, 0))
    return tuple(found)
