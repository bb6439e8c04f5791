"""Batch sizes from memory, and memory that goes back when work is done."""

from __future__ import annotations

import platform
from contextlib import closing
from pathlib import Path

import pytest
import torch

from tutortoietts.api import TextToSpeech
from tutortoietts.bench.memory import resident_bytes
from tutortoietts.core.config import AutoregressiveConfig
from tutortoietts.engine.decoding.workspace import Workspace
from tutortoietts.runtime import memory
from tutortoietts.runtime.memory import (
    bucket,
    bytes_a_candidate,
    free_bytes,
    give_back,
    is_out_of_memory,
    pick_batch_size,
)

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


def test_buckets() -> None:
    assert [bucket(rows) for rows in (1, 2, 3, 4, 5, 9, 16, 17, 33, 96, 100)] == [
        1,
        2,
        4,
        4,
        8,
        12,
        16,
        24,
        48,
        96,
        128,
    ]
    assert bucket(129) == 256
    assert all(rows <= bucket(rows) <= max(2, 1.6 * rows) for rows in range(1, 129))


@pytest.mark.parametrize("fit", [1, 3, 9, 20, 40, 100, 1000])
def test_fixed_steps_have_no_more_slots_than_fit(monkeypatch: pytest.MonkeyPatch, fit: int) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2 * fit * ROW)
    for candidates in (1, 8, 16, 32, 33, 96, 256):
        assert bucket(pick_batch_size(ROW, torch.device("cuda"), candidates, fixed=True)) <= fit
    if fit >= 100:
        assert pick_batch_size(ROW, torch.device("cuda"), 96, fixed=True) == 96


def test_longer_requests_have_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 32 * ROW)
    sizes = [pick_batch_size(bytes_a_candidate(FULL, length, F32), CPU, 16) for length in (300, 600, 1000)]
    assert sizes == [16, 16, 8]


def test_out_of_memory_errors() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError())
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."))
    assert is_out_of_memory(RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be ..."))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert not is_out_of_memory(RuntimeError("shapes"))


@pytest.mark.parametrize(("part", "method"), [("diffusion", "align"), ("vocoder", "forward")])
def test_a_later_stage_gets_the_memory_of_idle_buffers(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, part: str, method: str
) -> None:
    tts = TextToSpeech(model=tiny_model, device="cpu")
    lender, module = tts._workspaces, getattr(tts, part)
    work, full = getattr(module, method), [False]

    def little(*args, **more):
        if lender.idle_bytes or full[0]:
            raise torch.OutOfMemoryError("no room")
        return work(*args, **more)

    wanted = tts.tts("One.", use_deterministic_seed=1, verbose=False)
    monkeypatch.setattr(module, method, little)
    lender.give_back(Workspace.allocate(tts.autoregressive, 1, 8, 8))
    assert torch.equal(tts.tts("One.", use_deterministic_seed=1, verbose=False), wanted)
    assert lender.idle_bytes == 0
    full[0] = True
    with pytest.raises(torch.OutOfMemoryError):
        tts.tts("One.", use_deterministic_seed=1, verbose=False)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_memory_below_what_is_still_used_goes_back() -> None:
    pieces = [torch.ones(25_000) for _ in range(1000)]  # small enough to lie in the heap
    held, last = resident_bytes(), pieces[-1]
    del pieces
    give_back()
    assert resident_bytes() < held - 70_000_000 and last.sum() == 25_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or not torch.backends.mkl.is_available(), reason="of MKL")
def test_the_buffers_of_mkl_are_found() -> None:
    assert len(memory._releases()) == 2


def test_every_request_gives_back_when_it_is_done(streaming_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(memory, "give_back", lambda: calls.append(1))
    tts = TextToSpeech(model=streaming_model, device="cpu")
    tts.tts("Hello.", verbose=False)
    assert len(calls) == 1
    with closing(tts.tts_stream("Hello there, and so on.", stream_chunk_size=2)) as chunks:  # type: ignore[type-var]
        next(chunks)
        assert len(calls) == 1
    assert len(calls) == 2
