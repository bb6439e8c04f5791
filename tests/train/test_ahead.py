"""Batches made ahead are those that the maker makes, and its errors arrive."""

from __future__ import annotations

import random
import threading
from itertools import islice

import pytest

from tutortoietts.train.ahead import batches


def test_on_a_cpu_one_generator_draws_all() -> None:
    rng = random.Random(5)
    assert list(islice(batches(lambda given: given.random(), 5, "cpu"), 4)) == [rng.random() for _ in range(4)]


def test_threads_draw_from_generators_of_their_own() -> None:
    assert len(set(islice(batches(lambda given: given.random(), 5, "cuda"), 40))) == 40


def test_an_error_of_a_thread_arrives() -> None:
    def fail(rng: random.Random) -> int:
        raise ValueError("no such clip")

    with pytest.raises(ValueError, match="no such clip"):
        next(batches(fail, 0, "cuda"))


def test_threads_end_with_the_iterator() -> None:
    before = threading.active_count()
    made = batches(lambda given: given.random(), 5, "cuda")
    next(made)
    assert threading.active_count() > before
    made.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
