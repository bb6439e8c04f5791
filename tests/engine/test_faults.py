"""Faults of what is drawn once: repeated codes, silence, a length that the text cannot have."""

from __future__ import annotations

import pytest
import torch

from tutortoietts.engine.faults import code_fault, repeats, sound_fault


def codes(*pieces: torch.Tensor) -> torch.Tensor:
    return torch.cat(pieces)


def drawn(length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(1024, (length,), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("lag", [1, 2, 7, 31, 40])
def test_a_stretch_that_is_said_again_is_found(lag: int) -> None:
    again = drawn(lag, 1).repeat(1 + -(-max(lag, 32) // lag))
    assert repeats(codes(drawn(50), again, drawn(20, 2)))
    assert not repeats(codes(drawn(50), again[: max(lag, 32) + lag - 2], drawn(20, 2)))


def test_speech_that_does_not_repeat() -> None:
    assert not repeats(drawn(602)) and not repeats(drawn(0)) and not repeats(drawn(5))
    apart = codes(drawn(30, 1), drawn(10, 2), drawn(30, 1))  # a word said twice
    assert not repeats(apart)


def test_the_worst_fault_is_named() -> None:
    again = codes(drawn(40), drawn(40))
    assert code_fault(again, finished=False, least=0) == "unfinished"
    assert code_fault(again, finished=True, least=100) == "short"
    assert code_fault(again, finished=True, least=0) == "repeated"
    assert code_fault(drawn(80), finished=True, least=80) is None


@pytest.mark.parametrize(("seconds", "fault"), [(1.9, None), (2.1, "silent")])
def test_two_seconds_of_silence(seconds: float, fault: str | None) -> None:
    noise = 0.1 * torch.randn(24000, generator=torch.Generator().manual_seed(0))
    wave = torch.cat([noise, torch.zeros(round(24000 * seconds)), noise])
    assert sound_fault(wave.view(1, 1, -1), 24000) == fault


def test_no_sound_at_all() -> None:
    assert sound_fault(torch.zeros(2400), 24000) == "silent"
