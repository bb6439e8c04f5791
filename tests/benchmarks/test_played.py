"""What a player does with the chunks of a stream, by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import stream


def test_chunks_in_time_leave_no_silence() -> None:
    result = stream.played([0.5, 0.9, 1.0], [0.5, 0.5, 2.0])
    assert (result.underruns, result.silent_seconds, result.head_start) == (0, 0.0, 0.0)
    assert result.first_seconds == 0.5 and result.audio_seconds == 3.0 and result.chunks == 3
    assert result.real_time_factor == pytest.approx(1 / 3)


def test_late_chunks_are_underruns() -> None:
    late = [1.0, 2.5, 3.0, 6.0]  # sound until 2.0, then 3.5, then 4.5
    result = stream.played(late, [1.0, 1.0, 1.0, 1.0])
    assert result.underruns == 2
    assert result.silent_seconds == pytest.approx(0.5 + 1.5)
    assert result.head_start == pytest.approx(2.0)
    waited = stream.played([late[0] + result.head_start, *(max(at, 3.0) for at in late[1:])], [1.0] * 4)
    assert waited.underruns == 0
