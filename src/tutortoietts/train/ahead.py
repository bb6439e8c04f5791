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
    """Yield results of ``make``, which draws from the generator that it is given, until the iterator is closed."""
    if device == "cpu":
        rng = random.Random(seed)
        while True:
            yield make(rng)
    waiting: queue.Queue[T | BaseException] = queue.Queue(WAITING)
    stopped = threading.Event()

    def work(number: int) -> None:
        rng = random.Random(seed * THREADS + number)
        while not stopped.is_set():
            try:
                waiting.put(make(rng))
            except BaseException as error:  # the caller raises it
                waiting.put(error)
                return

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        while True:
            found = waiting.get()
            if isinstance(found, BaseException):
                raise found
            yield found
    finally:
        stopped.set()
        while any(thread.is_alive() for thread in threads):  # one may wait for room
            try:
                waiting.get(timeout=0.05)
            except queue.Empty:
                continue
