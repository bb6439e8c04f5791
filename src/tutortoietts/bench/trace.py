"""Profile of one run, by operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch.profiler import ProfilerActivity, profile

from tutortoietts.bench.workload import Workload

__all__ = ["Operation", "trace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. `seconds`: its own, without what it calls, on the GPU if there is one; `share` of the total."""

    name: str
    calls: int
    seconds: float
    share: float


def trace(workload: Workload, path: Path, count: int = 15) -> Sequence[Operation]:
    """Run once under the profiler; write a Chrome trace to `path` and return the `count` slowest operations."""
    gpu = workload.tts.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]
    with profile(activities=activities) as profiler:
        workload.run()
    profiler.export_chrome_trace(str(path))
    own = "self_device_time_total" if gpu else "self_cpu_time_total"
    rows = sorted(((getattr(event, own), event) for event in profiler.key_averages()), key=lambda row: -row[0])
    total = sum(microseconds for microseconds, _ in rows) or 1.0
    return [
        Operation(name=str(event.key), calls=int(event.count), seconds=took / 1e6, share=took / total)
        for took, event in rows[:count]
        if took > 0
    ]
