"""The progress of a request: time by stage for the report, and steps for whoever shows them."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tutortoietts.core.errors import Cancelled

__all__ = ["STAGES", "Progress", "Report", "show_progress"]

STAGES = ("cache", "load", "codes", "ranking", "latents", "diffusion", "decoder", "vocoder")
"""Stages in the order of the flow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Report on a request: how long its stages took.

    stages: seconds of work by stage, in the order of the flow. audio_seconds: duration of the best result.
    passages: passages spoken one by one. candidates: candidates drawn for each.
    redraws: passages drawn again. faults: number of each fault that was found (`engine.faults.FAULTS`).
    """

    stages: dict[str, float]
    audio_seconds: float
    passages: int
    candidates: int
    seed: int
    redraws: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Seconds of work in all stages."""
        return sum(self.stages.values())

    @property
    def real_time_factor(self) -> float:
        """Seconds of work for a second of audio: under 1 is faster than speech."""
        return self.seconds / self.audio_seconds if self.audio_seconds else float("inf")


@dataclass(slots=True)
class Progress:
    """The progress of one request.

    show: called with (stage, done, total) as stages go on; may raise to stop the work.
    synchronize: waits for a device that works on its own, at the end of a stage, so that each stage has its own time.
    stop: once it is set, the next step raises Cancelled.
    redraws, faults: as in `Report`.
    """

    show: Callable[[str, int, int], None] | None = None
    stages: dict[str, float] = field(default_factory=dict)
    prefix: str = ""
    synchronize: Callable[[], None] | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    redraws: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Time a block. Yield a function that reports the steps (done, total) of it."""
        started = time.perf_counter()
        self.step(name, 0, 1)
        try:
            yield lambda done, total: self.step(name, done, total)
            if self.synchronize is not None:
                self.synchronize()
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + time.perf_counter() - started

    def step(self, name: str, done: int, total: int) -> None:
        """Report a step. Raise Cancelled once `stop` is set."""
        if self.stop.is_set():
            raise Cancelled(f"stopped at {name} {done}/{total}")
        if self.show is not None:
            self.show(self.prefix + name, done, total)

    def ordered_stages(self) -> dict[str, float]:
        """Return the seconds by stage in the order of the flow."""
        known = {name: self.stages[name] for name in STAGES if name in self.stages}
        return known | self.stages


@contextmanager
def show_progress(progress: Progress, verbose: bool) -> Iterator[Progress]:
    """Show the steps as a bar on stderr while the block runs, if `verbose`; the bar vanishes at its end.

    Nothing is shown where stderr is closed or no terminal.
    """
    if not verbose or sys.stderr is None or not sys.stderr.isatty():
        yield progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1)

        def show(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total)

        progress.show = show
        try:
            yield progress
        finally:
            progress.show = None
