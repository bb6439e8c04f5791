"""Cutting bracketed text: the spans of a path, quiet cuts, what is left."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tutortoietts.engine.redact import cut_spans, kept_spans, redact

CODE = 1024 / 22050
RATE = 24000


def test_spans_in_proportion_and_by_the_path() -> None:
    hidden, ends = [True, False, True], [10, 30, 40]
    assert cut_spans(None, 80, ends, hidden) == [(0.0, 20 * CODE), (60 * CODE, None)]
    path = torch.arange(80).clamp(max=40) // 1  # one token a code
    assert cut_spans(path, 80, ends, hidden) == [(0.0, 10 * CODE), (30 * CODE, None)]
    assert cut_spans(None, 80, [10, 40], [False, True]) == [(20 * CODE, None)]


def speech_with_pauses(*pauses: float, seconds: float = 3.0) -> Tensor:
    wave = 0.3 * torch.sin(torch.arange(int(seconds * RATE)) * 0.1)
    for pause in pauses:
        wave[round((pause - 0.05) * RATE) : round((pause + 0.05) * RATE)] = 0
    return wave[None, None]


def test_cuts_are_moved_to_pauses() -> None:
    wave = speech_with_pauses(1.0, 2.0)
    left = redact(wave, [(0.0, 1.15)], RATE)
    assert left.shape[-1] / RATE == pytest.approx(2.0, abs=0.1)
    middle = redact(wave, [(0.9, 2.2)], RATE)
    assert middle.shape[-1] / RATE == pytest.approx(2.0, abs=0.1)
    end = redact(wave, [(1.9, None)], RATE)
    assert end.shape[-1] / RATE == pytest.approx(2.0, abs=0.1)
    spans = [(0.0, 1.1), (1.9, None)]
    both = redact(wave, spans, RATE)
    assert both.shape[-1] / RATE == pytest.approx(1.0, abs=0.15)


def test_spans_that_meet_or_leave_the_sound() -> None:
    wave = speech_with_pauses(1.0)
    assert redact(wave, [(0.0, 5.0)], RATE).shape[-1] == 0
    assert redact(wave, [(0.0, None)], RATE).shape[-1] == 0
    assert redact(wave, [(0.9, 1.1), (1.05, 1.0)], RATE).shape[-1] <= wave.shape[-1]
    tiny = torch.ones(1, 1, 100)
    assert redact(tiny, [(0.0, 0.002)], RATE).shape[-1] == 52


def test_what_is_kept_is_what_redact_leaves() -> None:
    wave = speech_with_pauses(1.0, 2.0)
    for spans in ([(0.0, 1.15)], [(0.9, 2.2)], [(1.9, None)], [(0.0, 1.1), (1.9, None)], [(0.0, None)], []):
        kept = kept_spans(wave, spans, RATE)
        left = redact(wave, spans, RATE) if spans else wave
        assert sum(round((end - start) * RATE) for start, end in kept) == left.shape[-1]
    ((start, end),) = kept_spans(wave, [(0.0, 1.1), (1.9, None)], RATE)
    assert (start, end) == (pytest.approx(1.0, abs=0.05), pytest.approx(2.0, abs=0.05))
