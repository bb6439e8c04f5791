"""Cutting bracketed text: where they lie, quiet cuts, what is left."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tutortoietts.engine.redact import LETTER_SECONDS, cut_spans, heard_seconds, kept_spans, redact

RATE = 24000


# "go, no now." as letters: two tokens with a letter, a comma and a space, and so on; a token begins each 0.1 s
LETTERS = [1, 1, 0, 0, 1, 1, 0, 1, 1, 1, 0, 0]
BEGINS = [0.1 * number for number in range(len(LETTERS) + 1)]


def test_a_cut_lies_in_the_pause_and_passes_no_neighbouring_letter() -> None:
    (cut,) = cut_spans(BEGINS, LETTERS, [2, 12], [False, True])
    assert cut.start == pytest.approx(0.3) and cut.end is None
    assert cut.start_within == (pytest.approx(0.1), pytest.approx(0.5))
    (cut,) = cut_spans(BEGINS, LETTERS, [4, 12], [True, False])
    assert (cut.start, cut.end) == (0.0, pytest.approx(0.3))
    (cut,) = cut_spans(BEGINS, LETTERS, [3, 6, 12], [False, True, False])
    assert (cut.start, cut.end) == (pytest.approx(0.3), pytest.approx(0.65))
    assert heard_seconds([cut], 1.2) == pytest.approx(0.85)


def test_a_piece_without_letters_goes_with_the_hidden_one() -> None:
    (cut,) = cut_spans(BEGINS, LETTERS, [4, 10, 12], [False, True, False])
    assert cut.end is None
    (cut,) = cut_spans(BEGINS, LETTERS, [4, 6, 7, 12], [True, False, False, True])[1:]
    assert cut.start == pytest.approx(0.65)


def test_a_visible_piece_keeps_the_time_of_its_letters() -> None:
    rushed = [0.01 * number for number in range(4)] + [0.03 + 0.1 * number for number in range(9)]
    (cut,) = cut_spans(rushed, LETTERS, [2, 12], [False, True])
    assert cut.start_within[0] == pytest.approx(2 * LETTER_SECONDS) and cut.start >= 2 * LETTER_SECONDS
    wave = torch.ones(1, 1, RATE)
    wave[..., : RATE // 20] = 0  # the quietest place would leave nothing
    assert redact(wave, [cut], RATE).shape[-1] >= 2 * LETTER_SECONDS * RATE
    late = [0.1 * number for number in range(11)] + [1.01, 1.02, 1.03]
    (cut,) = cut_spans(late, [1] * 13, [10, 13], [True, False])
    assert cut.end is not None and late[-1] - cut.end >= 3 * LETTER_SECONDS - 0.02


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
