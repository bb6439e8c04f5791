"""Make batches in threads while a GPU works; on a CPU, which is busy enough, one by one when they are needed."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from torch import Tensor

from tutortoietts.train.log import Log
from tutortoietts.train.optim import Trainer

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


def learn(
    make: Callable[[random.Random], T],
    losses: Callable[[T], dict[str, Tensor]],
    trainer: Trainer,
    device: str,
    log: Log,
) -> Iterator[int]:
    """Make updates on batches of ``make`` until the trainer's time is up; yield the number of each.

    ``losses`` gives scalars by name, of which "loss" is made smaller and all are logged now and then.
    """
    for batch in batches(make, trainer.steps, device):
        if trainer.progress >= 1:
            return
        parts = losses(batch)
        trainer.step(parts["loss"])
        if trainer.steps % 50 == 0:
            log(step=trainer.steps, progress=trainer.progress, **{k: float(v.detach()) for k, v in parts.items()})
        yield trainer.steps
