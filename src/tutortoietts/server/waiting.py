"""The waiting room: who is admitted, and whose turn is next."""

from __future__ import annotations

from collections import deque

from tutortoietts.server.errors import unavailable
from tutortoietts.server.job import Job
from tutortoietts.server.settings import ServerSettings

__all__ = ["WaitingRoom", "Work"]

_EVERY = 4  # of this many turns at least one is a whole clip's, if one waits


class Work:
    """Time that work takes here, learnt from the requests that were done."""

    def __init__(self) -> None:
        self._seconds = {"stream": 0.004, "diffusion": 0.02}  # a character; of a small model, until one is measured
        self._known: set[str] = set()

    def learn(self, decoder: str, characters: int, seconds: float, beside: int) -> None:
        """Note a request of `characters` characters that took `seconds` with `beside` others."""
        each = seconds / max(characters, 1) / max(beside, 1)
        old = self._seconds[decoder]
        self._seconds[decoder] = 0.8 * old + 0.2 * each if decoder in self._known else each
        self._known.add(decoder)

    def seconds(self, job: Job) -> float:
        """Return the seconds that a job would take alone."""
        request = job.request
        candidates = request.options.get("num_autoregressive_samples", 1)
        factor = max(1.0, candidates / 16) if request.decoder == "diffusion" else 1.0
        return self._seconds[request.decoder] * len(request.text) * factor


class WaitingRoom:
    """Jobs that wait, streams before whole clips; every fourth turn is a whole clip's."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self.work = Work()
        self.running: set[Job] = set()
        self._live: deque[Job] = deque()
        self._whole: deque[Job] = deque()
        self._turn = 0

    def __len__(self) -> int:
        return len(self._live) + len(self._whole)

    def admit(self, job: Job) -> None:
        """Let a job in. Raises ApiError 503 if there is no place, or if its turn would come too late."""
        waiting, running = len(self), len(self.running)
        ahead = sum(self.work.seconds(one) for one in [*self._live, *self._whole])
        if running < self._settings.max_rows and not waiting:
            ahead = 0.0
        if running >= self._settings.max_rows:
            ahead += sum(self.work.seconds(one) for one in self.running) / 2
        if waiting + running >= max(self._settings.max_queue, 1):
            raise unavailable(
                f"the server speaks {running} requests and {waiting} wait, its limit: try again soon",
                "queue_full",
                max(ahead / 2, 1.0),
            )
        if ahead > self._settings.queue_timeout:
            raise unavailable(
                f"the work ahead takes about {ahead:.0f} s, above the limit of {self._settings.queue_timeout:g} s",
                "queue_full",
                ahead - self._settings.queue_timeout,
            )
        (self._whole if job.request.whole else self._live).append(job)

    def next(self) -> Job | None:
        """Return the job whose turn it is, if a place is free."""
        if len(self.running) >= self._settings.max_rows or not len(self):
            return None
        self._turn += 1
        first, second = self._live, self._whole
        if self._turn % _EVERY == 0:
            first, second = second, first
        job = (first or second).popleft()
        self.running.add(job)
        return job

    def leave(self, job: Job) -> bool:
        """Take out a job that waits; return False if it does not."""
        for line in (self._live, self._whole):
            if job in line:
                line.remove(job)
                return True
        return False

    def place(self, job: Job) -> int:
        """Return how many come before a waiting job; 0 if it is not waiting."""
        line = [*self._live, *self._whole]
        return line.index(job) + 1 if job in line else 0

    def waiting(self) -> list[Job]:
        """Return all jobs that wait."""
        return [*self._live, *self._whole]
