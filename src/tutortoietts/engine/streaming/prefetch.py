"""Run a generator in a background thread, one item ahead of its consumer."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from typing import TypeVar

__all__ = ["prefetch"]

T = TypeVar("T")


def prefetch(items: Generator[T, None, None], stop: threading.Event, *, waiting: bool = True) -> Iterator[T]:
    """Yield the items, each made while the one before is being used; what they raise is raised here.

    waiting: False makes all items as fast as possible, so that what they hold is soon free, however slow the consumer.
    Closing sets `stop`, at which the items must end soon (a `Progress` raises at its next step), and waits until
    the thread has let go of them. The items themselves run in that thread only.
    """
    made: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
    room = threading.Semaphore(1)
    thread = threading.Thread(
        target=_work, args=(items, stop, made, room if waiting else None), name="tutortoietts-prefetch", daemon=True
    )
    thread.start()
    try:
        while True:
            item, error = made.get()
            if error is not None:
                raise error
            if item is None:
                return
            room.release()
            yield item
    finally:
        stop.set()
        room.release()
        thread.join()


def _work(
    items: Generator[T, None, None],
    stop: threading.Event,
    made: SimpleQueue[tuple[T | None, BaseException | None]],
    room: threading.Semaphore | None,
) -> None:
    """Put (item, None) for each item, at last (None, None) or (None, error)."""
    error: BaseException | None = None
    try:
        while (room is None or room.acquire()) and not stop.is_set():
            made.put((next(items), None))
    except StopIteration:
        pass
    except BaseException as raised:
        error = raised
    finally:
        items.close()
        made.put((None, error))
