"""Batch sizes from memory."""

from __future__ import annotations

import pytest
import torch

from tutortoietts.core.config import AutoregressiveConfig
from tutortoietts.engine import memory
from tutortoietts.engine.memory import bytes_a_candidate, free_bytes, is_out_of_memory, pick_batch_size

CPU = torch.device("cpu")
FULL = AutoregressiveConfig()


def test_free_memory_is_known_here() -> None:
    assert free_bytes(CPU) > 1 << 20


def test_full_size_candidate() -> None:
    """About 123 kB of keys and values a position in half precision."""
    assert bytes_a_candidate(FULL, 1, torch.float16) == pytest.approx(123_000, rel=0.03)


@pytest.mark.parametrize(("candidates", "expected"), [(1, 1), (3, 3), (16, 16), (33, 17), (96, 32)])
def test_enough_memory(monkeypatch: pytest.MonkeyPatch, candidates: int, expected: int) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1 << 40)
    assert pick_batch_size(FULL, 600, CPU, torch.float32, candidates) == expected


def test_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    row = bytes_a_candidate(FULL, 600, torch.float32)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2 * 5 * row)
    assert pick_batch_size(FULL, 600, CPU, torch.float32, 16) == 4  # four batches of four, not 5 + 5 + 5 + 1
    monkeypatch.setattr(memory, "free_bytes", lambda device: 0)
    assert pick_batch_size(FULL, 600, CPU, torch.float32, 16) == 1


def test_out_of_memory_errors() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError())
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."))
    assert not is_out_of_memory(RuntimeError("shapes"))
