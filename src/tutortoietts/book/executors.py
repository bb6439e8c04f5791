"""Executors that perform the jobs: this process, or several on this machine. Ray is in `ray_executor`."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from tutortoietts.book.jobs import Job, Result, perform
from tutortoietts.book.speaker import Speaker, SpeakerFactory
from tutortoietts.core.errors import BookError, OptionError
from tutortoietts.engine.recognizers import recognizer

__all__ = ["Executor", "InProcess", "Processes", "refuse_misfit"]

MOST_KILLS = 2  # workers that one job may take down before it is given up


class Executor(Protocol):
    """Performs jobs; results come in any order, each job once."""

    def run(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Yield a result for every job."""
        ...


@dataclass(slots=True)
class InProcess:
    """One job after the other, here."""

    speaker: Speaker
    asr: str = "none"

    def run(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Yield a result for every job, in order."""
        heard = recognizer(self.asr)
        for job in jobs:
            yield perform(self.speaker, job, heard)


@dataclass(slots=True)
class _Worker:
    process: Any
    pipe: Connection
    job: Job | None = None


@dataclass(slots=True)
class Processes:
    """`count` processes of their own, each with its own models; a worker that dies is replaced, its job done again.

    identity: that of the speaker that made the plan; a worker with another one is refused.
    """

    factory: SpeakerFactory
    count: int
    identity: dict[str, Any]
    asr: str = "none"
    threads: int = 1
    _workers: list[_Worker] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 256:
            raise OptionError(f"--workers is {self.count}, outside 1..256")

    def run(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Yield a result for every job, as they come."""
        queue, source = deque[Job](), iter(jobs)
        kills: dict[str, int] = {}
        try:
            self._workers = [self._start() for _ in range(self.count)]
            while True:
                self._hand_out(queue, source)
                busy = [worker for worker in self._workers if worker.job is not None]
                if not busy:
                    return
                wait([worker.pipe for worker in busy])
                for worker in busy:
                    if worker.pipe.poll():
                        yield from self._receive(worker, queue, kills)
        finally:
            self._end()

    def _hand_out(self, queue: deque[Job], source: Iterator[Job]) -> None:
        for worker in self._workers:
            if worker.job is None:
                job = queue.popleft() if queue else next(source, None)
                if job is None:
                    return
                worker.job = job
                with contextlib.suppress(OSError):  # a dead worker is found by reading from it
                    worker.pipe.send(job)

    def _receive(self, worker: _Worker, queue: deque[Job], kills: dict[str, int]) -> Iterator[Result]:
        job = worker.job
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            self._workers[self._workers.index(worker)] = self._start()
            worker.process.join()
            assert job is not None
            kills[job.key] = kills.get(job.key, 0) + 1
            if kills[job.key] < MOST_KILLS:
                queue.appendleft(job)
            else:
                yield Result(key=job.key, error=f"it ended {MOST_KILLS} workers (exit code {worker.process.exitcode})")
            return
        if isinstance(message, BookError):
            raise message
        worker.job = None
        yield message

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs, self.factory, self.identity, self.asr, self.threads), daemon=True
        )
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _end(self) -> None:
        for worker in self._workers:
            worker.pipe.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()


def refuse_misfit(speaker: Speaker, identity: dict[str, Any]) -> None:
    """Raise BookError unless the speaker of a worker would make the same sound as that of the plan."""
    own = dict(speaker.identity())
    if own != identity:
        odd = next((key for key in {*own, *identity} if own.get(key) != identity.get(key)), "identity")
        raise BookError(f"a worker differs in {odd}: {own.get(odd)!r}, the plan has {identity.get(odd)!r}; update it")


def _serve(pipe: Connection, factory: SpeakerFactory, identity: dict[str, Any], asr: str, threads: int) -> None:
    """A worker: jobs in, results out, until the pipe closes."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    speaker, heard = None, None
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            if speaker is None:
                speaker, heard = factory(), recognizer(asr)
                refuse_misfit(speaker, identity)
        except Exception as error:
            pipe.send(error if isinstance(error, BookError) else BookError(f"a worker cannot start: {error}"))
            return
        with contextlib.suppress(BrokenPipeError):
            pipe.send(perform(speaker, job, heard))
