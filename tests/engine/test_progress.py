"""The times of a request belong to the stages that took them."""

from __future__ import annotations

import pytest

from tutortoietts.engine.progress import Progress


def test_a_stage_ends_when_its_device_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def settle() -> None:
        now[0] += 2.0

    for watch, expected in ((Progress(), 1.0), (Progress(synchronize=settle), 3.0)):
        with watch.stage("codes"):
            now[0] += 1.0
        with pytest.raises(KeyboardInterrupt), watch.stage("ranking"):
            now[0] += 1.0
            raise KeyboardInterrupt  # nothing is waited for then
        assert watch.stages == {"codes": expected, "ranking": 1.0}
