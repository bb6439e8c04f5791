"""Turns: of several streams, the one whose listener runs dry first makes its next sound first.

with turns.listener() as listener:
    with listener.turn():
        ...  # make sound
    listener.hears(seconds)
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count

__all__ = ["Listener", "Turns"]

PATIENCE = 0.1  # seconds that a listener waits for the first sound before it is as urgent as a gap
CROWD = 8  # listeners beside whom the second window comes later than the first, a twentieth of a second, is heard


class Turns:
    """Let one thread at a time work: of those that wait, the one with the earliest deadline."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int]] = []
        self._numbers = count()  # of equal deadlines the first comer goes first
        self._busy = False
        self._listeners = 0

    @contextmanager
    def listener(self) -> Iterator[Listener]:
        """Give a stream's listener, who counts as one of a crowd for the length of a block."""
        with self._changed:
            self._listeners += 1
        try:
            yield Listener(self)
        finally:
            with self._changed:
                self._listeners -= 1

    @property
    def crowded(self) -> bool:
        """True if more listen than can be given their first window alone without a gap behind it."""
        return self._listeners > CROWD

    @contextmanager
    def turn(self, deadline: float) -> Iterator[None]:
        """Wait for the turn of this deadline (any clock, one for all), and keep it for the length of a block."""
        ticket = (deadline, next(self._numbers))
        with self._changed:
            heapq.heappush(self._waiting, ticket)
            try:
                self._changed.wait_for(lambda: not self._busy and self._waiting[0] == ticket)
            except BaseException:
                self._waiting.remove(ticket)
                heapq.heapify(self._waiting)
                self._changed.notify_all()
                raise
            heapq.heappop(self._waiting)
            self._busy = True
        try:
            yield
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()


class Listener:
    """A listener of one stream. dry: when all sound so far is heard, or soon after the start; of `time.monotonic`."""

    def __init__(self, turns: Turns | None = None) -> None:
        self._turns, self.started, self.dry = turns, False, time.monotonic() + PATIENCE

    def turn(self) -> AbstractContextManager[None]:
        """Wait until nobody else runs dry before, and keep the turn for the length of a block."""
        return nullcontext() if self._turns is None else self._turns.turn(self.dry)

    @property
    def waits_for_more(self) -> bool:
        """True if the first window should be given together with the second, because many listen."""
        return not self.started and self._turns is not None and self._turns.crowded

    def hears(self, seconds: float) -> None:
        """Note that sound of `seconds` is given out."""
        now = time.monotonic()
        self.dry = (max(self.dry, now) if self.started else now) + seconds
        self.started = True
