"""The soak finds what it looks for: a result that differs, memory that grows."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from tutortoietts.api import TextToSpeech

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import soak

FEW = ("--requests", "14", "--distinct", "4")
OPTIONS = {"max_mel_tokens": 3}


@pytest.fixture
def one_word(monkeypatch: pytest.MonkeyPatch) -> None:
    words = iter(["Yes.", "No.", "Why?", "So!"])
    kinds = iter(["whole", "stream", "closed", "whole"])
    pool = [soak.Spoken(text=next(words), kind=next(kinds), seed=number) for number in range(4)]
    monkeypatch.setattr(soak, "requests_of", lambda count, seed: pool[:count])
    monkeypatch.setattr(soak, "resident_bytes", lambda: 1000)


def run(tts: TextToSpeech) -> dict[str, Any]:
    return soak.soak(tts, soak.arguments(FEW), {**OPTIONS})


def test_equal_results_pass_and_a_changed_one_does_not(
    tiny_model: Path, one_word: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tts = TextToSpeech(model=tiny_model, device="cpu")
    report = run(tts)
    assert report["passed"] and report["different"] == 0 and report["worst_difference"] == 0.0
    assert report["at_once"] == 4 + 6  # the warm-up, and the one block that follows
    speak, calls = soak.speak, count(1)

    def wrong_once(*request: Any) -> torch.Tensor:
        number = next(calls)  # taken before it speaks: two speak at once
        return speak(*request) + (1e-6 if number == 11 else 0.0)

    monkeypatch.setattr(soak, "speak", wrong_once)
    report = run(tts)
    assert not report["passed"] and report["different"] == 1 and 0 < report["worst_difference"] < 1e-5


def test_a_shorter_result_differs() -> None:
    assert soak.difference(torch.ones(5), torch.ones(4)) == float("inf")
    assert soak.difference(torch.ones(5), torch.ones(5)) == 0.0


def test_growth_is_of_the_trend() -> None:
    requests = [100, 200, 300]
    assert soak.growth([1000, 1000, 1000], requests) == 0.0
    assert soak.growth([1000, 1100, 1200], requests) == pytest.approx(300 / 1100)
    assert soak.growth([1200, 1100, 1000], requests) < 0
    assert soak.growth([1000], requests[:1]) == 0.0


def test_growth_minds_no_single_block() -> None:
    requests = list(range(100, 310, 10))
    steady = [1000 + number for number, _ in enumerate(requests)]
    jumping = [value + (500 if number in (3, 20) else 0) for number, value in enumerate(steady)]
    assert soak.growth(jumping, requests) == pytest.approx(soak.growth(steady, requests), rel=0.2)


def test_memory_that_grows_does_not_pass() -> None:
    options = soak.arguments(("--requests", "300"))
    for step, passed in ((0, True), (10, True), (1000, False)):
        memory = [
            soak.Memory(requests=done, resident=100_000 + step * done // 10, allocated=0)
            for done in (80, 100, 200, 300)
        ]
        assert soak._report(options, memory, 0, 0, 0.0, 1.0)["passed"] is passed


def test_the_warm_up_does_not_count(tiny_model: Path, one_word: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is noted before every request has been spoken alone and beside others."""
    seen: list[int] = []
    monkeypatch.setattr(soak, "resident_bytes", lambda: seen.append(len(spoken)) or 1000)
    spoken: list[str] = []
    monkeypatch.setattr(soak, "speak", lambda tts, request, extra: spoken.append(request.text) or torch.ones(1))
    run(TextToSpeech(model=tiny_model, device="cpu"))
    assert seen == [8, 14] and set(spoken[:4]) == set(spoken[4:8]) == {"Yes.", "No.", "Why?", "So!"}


def test_requests_are_mixed() -> None:
    pool = soak.requests_of(40, 0)
    assert {request.kind for request in pool} == {"whole", "stream", "closed"}
    assert {len(request.text.split()) for request in pool} == {1, 3, 6, 9, 14, 24}
    assert len({request.seed for request in pool}) == 40
    with pytest.raises(SystemExit):
        soak.arguments(("--requests", "5", "--distinct", "5"))
