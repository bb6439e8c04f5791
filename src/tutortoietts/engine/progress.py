"""What a request has done so far: time by stage, for the report, and progress, for whoever shows it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tutortoietts.core.errors import Cancelled

__all__ = ["Progress", "Report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a request went: `stages` name -> seconds of work, `audio_seconds` made of the best candidate."""

    stages: dict[str, float]
    audio_seconds: float
    parts: int
    candidates: int
    seed: int

    @property
    def seconds(self) -> float:
        """Seconds of work in all stages."""
        return sum(self.stages.values())

    @property
    def real_time_factor(self) -> float:
        """Work a second of audio: under 1 is faster than speech."""
        return self.seconds / self.audio_seconds if self.audio_seconds else float("inf")


@dataclass(slots=True)
class Progress:
    """Belongs to one request. `show(stage, done, total)` is called as stages go on and may raise to stop the work.

    `settle()` waits for a device that works on its own, at the end of a stage, so that each stage has its own time.
    `stop`: once it is set, the next step raises Cancelled.
    """

    show: Callable[[str, int, int], None] | None = None
    stages: dict[str, float] = field(default_factory=dict)
    prefix: str = ""
    settle: Callable[[], None] | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Times a block; what it yields reports steps (done, total) of it."""
        started = time.perf_counter()
        self.step(name, 0, 1)
        try:
            yield lambda done, total: self.step(name, done, total)
            if self.settle is not None:
                self.settle()
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + time.perf_counter() - started

    def step(self, name: str, done: int, total: int) -> None:
        if self.stop.is_set():
            raise Cancelled(f"stopped at {name} {done}/{total}")
        if self.show is not None:
            self.show(self.prefix + name, done, total)
