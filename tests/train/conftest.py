"""A clock for the stages of training."""

from __future__ import annotations

import itertools

import pytest

from tutortoietts.train import optim


@pytest.fixture
def a_second_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by a second whenever it is looked at, which is once a step."""
    seconds = itertools.count()
    monkeypatch.setattr(optim, "_clock", lambda: float(next(seconds)))
