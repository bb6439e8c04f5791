"""The soak finds what it looks for: a result that differs, memory that grows."""

from __future__ import annotations

import sys
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
    assert report["at_once"] == 10
    speak, calls = soak.speak, []

    def wrong_once(*request: Any) -> torch.Tensor:
        calls.append(1)
        return speak(*request) + (1e-6 if len(calls) == 9 else 0.0)

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
    assert abs(soak.growth([1000, 1040, 1000], requests)) < 1e-9


def test_memory_that_grows_does_not_pass() -> None:
    options = soak.arguments(("--requests", "300"))
    for step, passed in ((0, True), (10, True), (1000, False)):
        memory = [
            soak.Memory(requests=done, resident=100_000 + step * done // 10, allocated=0)
            for done in (40, 100, 200, 300)
        ]
        assert soak._report(options, memory, 0, 0, 0.0, 1.0)["passed"] is passed
    before_warm_up = [soak.Memory(requests=n, resident=r, allocated=0) for n, r in ((40, 1), (100, 900), (300, 900))]
    assert soak._report(options, before_warm_up, 0, 0, 0.0, 1.0)["passed"]


def test_requests_are_mixed() -> None:
    pool = soak.requests_of(40, 0)
    assert {request.kind for request in pool} == {"whole", "stream", "closed"}
    assert {len(request.text.split()) for request in pool} == {1, 3, 6, 9, 14, 24}
    assert len({request.seed for request in pool}) == 40
    with pytest.raises(SystemExit):
        soak.arguments(("--requests", "5", "--distinct", "5"))
