"""Jobs on a Ray cluster: one actor a worker with its own models; only the driver writes, each segment exactly once."""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tutortoietts.book.executors import MOST_KILLS, refuse_misfit
from tutortoietts.book.jobs import Job, Result, perform
from tutortoietts.book.speaker import SpeakerFactory
from tutortoietts.core.errors import BookError, OptionError
from tutortoietts.engine.recognizers import recognizer

__all__ = ["RayExecutor", "Worker"]

_log = logging.getLogger(__name__)

IN_FLIGHT = 2  # jobs an actor has at a time: one at work, one waiting
START_SECONDS = 600


class Worker:
    """Worker that runs in an actor, with a speaker of its own."""

    def __init__(self, factory: SpeakerFactory, identity: dict[str, Any], asr: str, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._speaker, self._heard = factory(), recognizer(asr)
        refuse_misfit(self._speaker, identity)

    def ready(self) -> bool:
        """Return True once the models are loaded."""
        return True

    def perform(self, job: Job) -> Result:
        """Return the result of a job."""
        return perform(self._speaker, job, self._heard)


@dataclass(slots=True)
class RayExecutor:
    """`count` actors on the cluster at `address`: "local" starts Ray here for this run, "auto" finds a running one.

    cpus, gpus: of each actor; fractions of a GPU are possible. identity: that of the speaker that made the plan.
    A job whose actor died is given to another, up to twice; results that come twice are dropped.
    """

    factory: SpeakerFactory
    count: int
    identity: dict[str, Any]
    address: str = "local"
    asr: str = "none"
    cpus: float = 1.0
    gpus: float = 0.0
    _ray: Any = None
    _actors: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 4096:
            raise OptionError(f"--workers is {self.count}, outside 1..4096")

    def run(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Yield a result for every job, as they come. Raises BookError when no actor can start."""
        self._connect()
        source, again = iter(jobs), deque[Job]()
        flying: dict[Any, tuple[Job, int]] = {}
        kills: dict[str, int] = {}
        done: set[str] = set()
        try:
            self._actors = [self._start() for _ in range(self.count)]
            while True:
                self._hand_out(flying, again, source, kills)
                if not flying:
                    return
                (reference, *_), _ = self._ray.wait(list(flying), num_returns=1)
                job, number = flying.pop(reference)
                result = self._result(reference, job, number, kills, again)
                if result is not None and result.key not in done:
                    done.add(result.key)
                    yield result
        finally:
            self._end()

    def _connect(self) -> None:
        try:
            self._ray = importlib.import_module("ray")
        except ImportError as error:
            raise BookError("--ray needs the package ray: pip install 'tutortoietts[ray]'") from error
        if self._ray.is_initialized():
            return
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
        if self.address == "local":
            settings |= {"num_cpus": max(1, round(self.count * self.cpus)), "include_dashboard": False}
        else:
            settings["address"] = self.address
        try:
            self._ray.init(**settings)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise BookError(f"no Ray cluster at {self.address!r} ({error}): start one, or use --ray local") from error

    def _start(self) -> Any:
        actor = self._ray.remote(Worker).options(num_cpus=self.cpus, num_gpus=self.gpus, max_restarts=0)
        return actor.remote(self.factory, self.identity, self.asr, max(1, int(self.cpus)))

    def _hand_out(
        self, flying: dict[Any, tuple[Job, int]], again: deque[Job], source: Iterator[Job], kills: dict[str, int]
    ) -> None:
        """Give every actor up to two jobs, the least busy first; a job whose actor died has an actor to itself."""
        busy = [0] * len(self._actors)
        for job, number in flying.values():
            busy[number] += IN_FLIGHT if job.key in kills else 1
        while min(busy) < IN_FLIGHT:
            number = busy.index(min(busy))
            if again and busy[number] == 0:
                next_job: Job | None = again.popleft()
            else:
                next_job = next(source, None)
            if next_job is None:
                return
            busy[number] += IN_FLIGHT if next_job.key in kills else 1
            flying[self._actors[number].perform.remote(next_job)] = (next_job, number)

    def _result(self, reference: Any, job: Job, number: int, kills: dict[str, int], again: deque[Job]) -> Result | None:
        """The result of a call; None when its actor died and the job is to be done again."""
        errors = self._ray.exceptions
        try:
            result: Result = self._ray.get(reference)
            return result
        except errors.RayActorError as error:
            if isinstance(cause := getattr(error, "cause", None), BookError) or "BookError" in str(error):
                raise BookError(str(cause or error).strip().splitlines()[-1]) from error
            self._replace(number)
            kills[job.key] = kills.get(job.key, 0) + 1
            if kills[job.key] >= MOST_KILLS:
                return Result(key=job.key, error=f"it ended {kills[job.key]} workers")
            again.append(job)
            return None
        except errors.RayError as error:
            return Result(key=job.key, error=f"Ray: {str(error).strip().splitlines()[-1]}")

    def _replace(self, number: int) -> None:
        """A new actor in the place of one that is dead; the other jobs of the dead one fail by themselves."""
        actor = self._actors[number]
        try:
            self._ray.get(actor.ready.remote(), timeout=0)
        except self._ray.exceptions.GetTimeoutError:
            return  # it was replaced already, for another of its jobs
        except self._ray.exceptions.RayActorError:
            _log.warning("a worker ended and is replaced")
            self._actors[number] = self._start()

    def _end(self) -> None:
        for actor in self._actors:
            with contextlib.suppress(Exception):
                self._ray.kill(actor)
        if self.address == "local" and self._ray is not None and self._ray.is_initialized():
            self._ray.shutdown()
