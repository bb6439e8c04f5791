"""Running a book from the command line: progress, Ctrl-C, files at the end."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tutortoietts.book.book import Book
from tutortoietts.book.executors import Executor, InProcess, Processes
from tutortoietts.book.export.files import check_target
from tutortoietts.book.export.material import Choices
from tutortoietts.book.progress import BookProgress, clock
from tutortoietts.book.run import Event, Failed, Flagged, Planned
from tutortoietts.cache.phrases import PhraseCache
from tutortoietts.cli.common import EXIT_FAILURE, EXIT_INTERRUPTED, say
from tutortoietts.core.errors import OptionError

if TYPE_CHECKING:
    from tutortoietts.book.engine import EngineFactory
    from tutortoietts.book.master import Measured
    from tutortoietts.book.options import BookOptions

__all__ = ["factory_of", "run", "write_files"]

PROGRESS = ("auto", "json", "none")


def run(
    book: Book, outputs: list[Path], *, workers: int, cached: bool, progress: str, strict: bool, form: str = "mp3",
    split_hours: float = 0.0, cluster: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Speak what is to do and write the files. Leaves with exit code 1 when segments failed, 130 after a Ctrl-C."""
    if progress not in PROGRESS:
        raise OptionError(f"--progress is {progress!r}, must be one of {', '.join(PROGRESS)}")
    choices = Choices(form=form, split_hours=split_hours)
    for path in outputs:
        check_target(path)
    state = BookProgress()
    show = _Shown(progress, state)
    factory = factory_of(book.options, book.language)
    speaker = factory()
    executor: Executor = InProcess(speaker, book.options.asr)
    if cluster is not None:
        from tutortoietts.book.ray_executor import RayExecutor

        executor = RayExecutor(factory, workers, dict(speaker.identity()), asr=book.options.asr, **cluster)
    elif workers != 1:
        executor = Processes(factory, workers, dict(speaker.identity()), asr=book.options.asr)
    cache = PhraseCache() if cached else None
    with _stopping() as stop:
        for event in book.make(speaker, executor=executor, cache=cache, stop=stop.is_set):
            state.add(event)
            show.event(event)
        show.end()
        if stop.is_set():
            say(f"stopped: {state.summary()}; run the same command to go on")
            raise typer.Exit(EXIT_INTERRUPTED)
    say(state.summary())
    if state.failed:
        say(f"error: {state.failed} segments failed; run the same command to try them again")
        raise typer.Exit(EXIT_FAILURE)
    if outputs:
        _write(book, outputs, choices, progress)
    _say_left_out(book, strict)


def factory_of(options: BookOptions, language: str) -> EngineFactory:
    """Return what loads the models with which a book was made."""
    from tutortoietts.book.engine import EngineFactory

    engine = options.engine
    return EngineFactory(
        engine=engine.get("load", {}),
        preset=engine.get("preset"),
        options=engine.get("options", {}),
        seed=options.seed,
        language=language,
    )


def write_files(book: Book, outputs: list[Path], **choices: Any) -> None:
    """Write files from what is spoken, with progress."""
    for path in outputs:
        check_target(path)
    _write(book, outputs, Choices(**choices), "auto")


def _write(book: Book, outputs: list[Path], choices: Choices, progress: str) -> None:
    started = time.monotonic()
    bar = _Bar(progress == "auto")

    def show(done: float, whole: float) -> None:
        bar.show(f"writing {100 * done / max(whole, 1e-9):5.1f} %")

    given = {name: value for name, value in asdict(choices).items() if name != "progress"}
    measured = book.export(*outputs, **given, progress=show)
    bar.end()
    for line in measured:
        _say_faults(line)
    seconds = sum(line.loudness.seconds for line in measured)
    took = time.monotonic() - started
    for path in outputs:
        say(f"{path}: {clock(seconds)} in {len(measured)} chapters, written in {took:.1f} s" if measured else f"{path}")


def _say_faults(measured: Measured) -> None:
    for fault in measured.faults:
        say(f"warning: {measured.title}: {fault}")


def _say_left_out(book: Book, strict: bool) -> None:
    plan = book.store.plan()
    for warning in plan.warnings:
        say(f"warning: {warning}")
    unlisted = ("scene break", "page number", "mark of a note", "mark of a heading")
    left_out = [dropped for dropped in plan.dropped if dropped.reason not in unlisted]
    if left_out:
        say(f"{len(left_out)} pieces of text were left out: tutortoietts book check {book.store.folder} lists them")
    flagged = sum(1 for s in plan.segments if (t := book.store.take(s)) and t.info.get("faults") and not s.accepted)
    if flagged:
        say(f"{flagged} segments are flagged: tutortoietts book status {book.store.folder} lists them")
    if strict and (flagged or left_out):
        raise typer.Exit(EXIT_FAILURE)


class _Bar:
    """One line on stderr that changes, if that is a terminal."""

    def __init__(self, wanted: bool) -> None:
        self._on = wanted and sys.stderr is not None and sys.stderr.isatty()
        self._width = 0
        self._last = 0.0

    def show(self, line: str) -> None:
        now = time.monotonic()
        if self._on and now - self._last > 0.1:
            sys.stderr.write("\r" + line.ljust(self._width))
            sys.stderr.flush()
            self._width, self._last = len(line), now

    def end(self) -> None:
        if self._on and self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
            self._width = 0


class _Shown:
    """Events as they come: a changing line for a person, JSON lines for a program."""

    def __init__(self, progress: str, state: BookProgress) -> None:
        self._json, self._state, self._bar = progress == "json", state, _Bar(progress == "auto")
        self._quiet = progress == "none"

    def event(self, event: Event) -> None:
        """Show an event, already counted."""
        if self._json:
            print(json.dumps(self._values(event), ensure_ascii=False), flush=True)
        elif isinstance(event, Planned):
            if event.done and event.done < event.segments:
                say(f"{event.segments - event.done} of {event.segments} segments to speak, {event.done} are done")
        elif not self._quiet:
            if isinstance(event, Failed | Flagged):
                self._bar.end()
                why = event.error if isinstance(event, Failed) else "; ".join(event.faults)
                say(f"{'failed' if isinstance(event, Failed) else 'flagged'} {event.segment.id}: {why}")
            self._bar.show(self._state.line())

    def end(self) -> None:
        """Clear the line."""
        self._bar.end()

    def _values(self, event: Event) -> dict[str, Any]:
        values: dict[str, Any] = {"event": type(event).__name__.lower()}
        segment = getattr(event, "segment", None)
        if segment is None:
            values |= asdict(event)
        else:
            values |= {"id": segment.id, "chapter": segment.chapter + 1}
            values |= {name: getattr(event, name) for name in ("seconds", "faults", "error") if hasattr(event, name)}
        left = self._state.left
        return {**values, "percent": round(self._state.percent, 2), "left": None if left is None else round(left, 1)}


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second one interrupts at once."""
    stop = threading.Event()

    def first(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        say("finishing the sentence in hand; Ctrl-C again stops at once")

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, first)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
