"""Batch sizes from memory."""

from __future__ import annotations

import pytest
import torch

from tutortoietts.core.config import AutoregressiveConfig
from tutortoietts.engine import memory
from tutortoietts.engine.memory import bytes_a_candidate, free_bytes, is_out_of_memory, pick_batch_size

CPU = torch.device("cpu")
FULL = AutoregressiveConfig()
F32 = torch.float32
ROW = bytes_a_candidate(FULL, 600, F32)


def test_free_memory_is_known_here() -> None:
    assert free_bytes(CPU) > 1 << 20


def test_full_size_candidate() -> None:
    """About 123 kB of keys and values a position in half precision, and the hidden state twice."""
    assert bytes_a_candidate(FULL, 600, torch.float16) / 600 == pytest.approx(123_000 + 4096, rel=0.01)
    wide, mixed = (bytes_a_candidate(FULL, 600, *types) for types in ((F32,), (torch.bfloat16, F32)))
    assert mixed == pytest.approx(wide / 2, rel=0.05)


@pytest.mark.parametrize(("candidates", "expected"), [(1, 1), (3, 3), (16, 16), (33, 17), (96, 32)])
def test_enough_memory(monkeypatch: pytest.MonkeyPatch, candidates: int, expected: int) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1 << 40)
    assert pick_batch_size(ROW, CPU, candidates) == expected


def test_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2 * 5 * ROW)
    assert pick_batch_size(ROW, CPU, 16) == 4  # four batches of four, not 5 + 5 + 5 + 1
    monkeypatch.setattr(memory, "free_bytes", lambda device: 0)
    assert pick_batch_size(ROW, CPU, 16) == 1
    assert pick_batch_size(ROW, CPU, 16, reusable=2 * 8 * ROW) == 8


def test_longer_requests_have_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 32 * ROW)
    sizes = [pick_batch_size(bytes_a_candidate(FULL, length, F32), CPU, 16) for length in (300, 600, 1000)]
    assert sizes == [16, 16, 8]


def test_out_of_memory_errors() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError())
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."))
    assert not is_out_of_memory(RuntimeError("shapes"))
