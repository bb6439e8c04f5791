"""Make batches in threads while a GPU works; on a CPU, which is busy enough, one by one when they are needed."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
THREADS, WAITING = 8, 16


def batches(make: Callable[[random.Random], T], seed: int, device: str) -> Iterator[T]:
    """Endless results of ``make``, which draws from the generator that it is given."""
    if device == "cpu":
        rng = random.Random(seed)
        while True:
            yield make(rng)
    waiting: queue.Queue[T | BaseException] = queue.Queue(WAITING)

    def work(number: int) -> None:
        rng = random.Random(seed * THREADS + number)
        try:
            while True:
                waiting.put(make(rng))
        except BaseException as error:  # the caller raises it
            waiting.put(error)

    for number in range(THREADS):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    while True:
        found = waiting.get()
        if isinstance(found, BaseException):
            raise found
        yield found
