"""The earliest deadline goes first, and nobody is left behind."""

from __future__ import annotations

import threading

import pytest

from tutortoietts.engine.streaming.turns import Turns


def test_the_earliest_deadline_goes_first() -> None:
    turns, order = Turns(), []
    waiting = threading.Semaphore(0)
    wait_for = turns._changed.wait_for

    def noted(predicate):
        waiting.release()
        return wait_for(predicate)

    turns._changed.wait_for = noted  # type: ignore[method-assign]

    def work(deadline: float) -> None:
        with turns.turn(deadline):
            order.append(deadline)

    threads = [threading.Thread(target=work, args=(deadline,)) for deadline in (5.0, 1.0, 3.0, -1.0)]
    with turns.turn(0.0):
        waiting.acquire()
        for thread in threads:
            thread.start()
            waiting.acquire()
        assert order == []
    for thread in threads:
        thread.join()
    assert order == [-1.0, 1.0, 3.0, 5.0]


def test_an_error_ends_the_turn() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="broken"), turns.turn(0.0):
        raise ValueError("broken")
    with turns.turn(1.0):
        pass
