"""Memory: where models live, and how many candidates fit at once."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import torch

from tutortoietts.core.config import AutoregressiveConfig

__all__ = ["bytes_a_candidate", "free_bytes", "is_out_of_memory", "pick_batch_size"]

_SHARE = 0.5  # of the free memory for keys, values and hidden states
_MOST_ROWS = {"cpu": 32}  # more rows only wait for the longest of them
_MOST_ROWS_ELSEWHERE = 128
_UNKNOWN_FREE_BYTES = 2 << 30
_DRAWING_BYTES = 24  # a class: logits and their filtered copies


def free_bytes(device: torch.device) -> int:
    """Memory that can be had now on this device; a modest guess where the system does not say."""
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
    cfg: AutoregressiveConfig, positions: int, cache: torch.dtype, hidden: torch.dtype | None = None
) -> int:
    """Of one row of `positions`: keys and values of type `cache`, hidden states of type `hidden` (None: the same),
    once while they are made and once as they are returned, and what drawing a code takes."""
    places = cfg.model_dim * positions
    drawing = _DRAWING_BYTES * cfg.number_mel_codes
    return 2 * cfg.layers * places * cache.itemsize + 2 * places * (hidden or cache).itemsize + drawing


def pick_batch_size(row: int, device: torch.device, candidates: int, reusable: int = 0) -> int:
    """How many of `candidates`, of `row` bytes each, to decode at once: what fits into half of the free memory, in
    batches of equal size. reusable: bytes that are not free only because earlier buffers wait to be used again."""
    fit = int(_SHARE * (free_bytes(device) + reusable)) // row
    most = max(1, min(candidates, fit, _MOST_ROWS.get(device.type, _MOST_ROWS_ELSEWHERE)))
    batches = -(-candidates // most)
    return -(-candidates // batches)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether less work at once may help."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
