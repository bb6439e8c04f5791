"""Progress for a person, on stderr: one bar for the stage at work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tutortoietts.engine.progress import Progress

__all__ = ["shown"]


@contextmanager
def shown(watch: Progress, verbose: bool) -> Iterator[Progress]:
    """Shows the watch's steps while the block runs, if `verbose`; the bar vanishes at its end, however it ends."""
    if not verbose:
        yield watch
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=1)

        def show(stage: str, done: int, total: int) -> None:
            progress.update(task, description=stage, completed=done, total=total)

        watch.show = show
        try:
            yield watch
        finally:
            watch.show = None
