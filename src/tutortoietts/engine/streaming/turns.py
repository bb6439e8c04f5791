"""Turns: of several streams, the one whose listener runs dry first makes its next sound first."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

__all__ = ["Turns"]


class Turns:
    """Let one thread at a time work: of those that wait, the one with the earliest deadline."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int]] = []
        self._numbers = count()  # of equal deadlines the first comer goes first
        self._busy = False

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
