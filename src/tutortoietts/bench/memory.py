"""Peak memory of a block of work: allocated by torch on a CUDA device, resident memory elsewhere."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

__all__ = ["PeakMemory", "peak_memory", "resident_bytes"]

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(slots=True)
class PeakMemory:
    """Peak of a block: `bytes`, set when it has ended.

    kind: "allocated" (CUDA), "resident" (all of the process, in the block), or "resident since start" where the system
    cannot forget an older peak.
    """

    kind: str
    bytes: int = 0


@contextmanager
def peak_memory(device: torch.device) -> Iterator[PeakMemory]:
    """Measure the peak memory of a block."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        peak = PeakMemory("allocated")
    else:
        peak = PeakMemory("resident" if _forget_peak() else "resident since start")
    try:
        yield peak
    finally:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            peak.bytes = torch.cuda.max_memory_allocated(device)
        else:
            peak.bytes = _status("VmHWM") or _peak_since_start()


def resident_bytes() -> int:
    """Return the resident bytes of this process; its peak where the system does not tell."""
    return _status("VmRSS") or _peak_since_start()


def _forget_peak() -> bool:
    with suppress(OSError):
        _CLEAR.write_text("5", encoding="ascii")
        return True
    return False


def _status(name: str) -> int:
    with suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def _peak_since_start() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
