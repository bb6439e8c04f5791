"""The earliest deadline goes first, and nobody is left behind."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from tutortoietts.engine.streaming import turns as turns_module
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


def test_a_listener_is_patient_once_and_then_runs_dry(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(turns_module.time, "monotonic", lambda: now[0])
    with Turns().listener() as listener:
        assert (listener.dry, listener.waits_for_more) == (100.0 + turns_module.PATIENCE, False)
        now[0] = 101.0
        listener.hears(2.0)
        assert listener.dry == 103.0
        listener.hears(1.0)
        assert listener.dry == 104.0
        now[0] = 110.0  # a gap
        listener.hears(1.0)
        assert listener.dry == 111.0


def test_only_those_of_a_crowd_who_hear_nothing_yet_wait_for_more() -> None:
    turns = Turns()
    with ExitStack() as stack:
        listeners = [stack.enter_context(turns.listener()) for _ in range(turns_module.CROWD)]
        assert not any(one.waits_for_more for one in listeners)
        listeners.append(stack.enter_context(turns.listener()))
        listeners[0].hears(0.1)
        assert [one.waits_for_more for one in listeners] == [False] + [True] * turns_module.CROWD
    assert not listeners[1].waits_for_more
