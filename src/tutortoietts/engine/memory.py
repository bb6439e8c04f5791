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


def free_bytes(device: torch.device) -> int:
    """Memory that can be had now on this device; a modest guess where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "cpu":
        with suppress(OSError, ValueError):
            for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
        with suppress(OSError, ValueError, AttributeError):
            return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return _UNKNOWN_FREE_BYTES


def bytes_a_candidate(cfg: AutoregressiveConfig, positions: int, dtype: torch.dtype) -> int:
    """Keys, values and hidden states of one row of `positions`."""
    return (2 * cfg.layers + 1) * cfg.model_dim * positions * dtype.itemsize


def pick_batch_size(
    cfg: AutoregressiveConfig, positions: int, device: torch.device, dtype: torch.dtype, candidates: int
) -> int:
    """How many of `candidates` to decode at once: what fits into half of the free memory, in batches of equal size."""
    fit = int(_SHARE * free_bytes(device)) // bytes_a_candidate(cfg, positions, dtype)
    most = max(1, min(candidates, fit, _MOST_ROWS.get(device.type, _MOST_ROWS_ELSEWHERE)))
    batches = -(-candidates // most)
    return -(-candidates // batches)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether less work at once may help."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
