"""Where the models work, by name and by number."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tutortoietts.core.errors import OptionError
from tutortoietts.runtime.device import pick_device


class Probe:
    """Stands in for torch.zeros: of three GPUs the second is the thread's own."""

    def __call__(self, _: int, device: torch.device | str) -> object:
        wanted = torch.device(device)
        if wanted.index == 3:
            raise RuntimeError("CUDA error: invalid device ordinal\nmore of it")
        here = torch.device("cuda", 1) if wanted.index is None else wanted
        return SimpleNamespace(device=here, cpu=lambda: None)


@pytest.mark.parametrize(("given", "found"), [(None, 1), ("cuda", 1), (torch.device("cuda"), 1), ("cuda:2", 2)])
def test_a_gpu_has_a_number(monkeypatch: pytest.MonkeyPatch, given: torch.device | str | None, found: int) -> None:
    """In another thread, which has chosen none, "cuda" alone would be the first."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "zeros", Probe())
    assert pick_device(given) == torch.device("cuda", found)


def test_what_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "zeros", Probe())
    with pytest.raises(OptionError, match=r"'cuda:3' cannot be used here \(CUDA error: invalid device ordinal\)"):
        pick_device("cuda:3")


def test_other_devices_are_as_they_were_named() -> None:
    assert pick_device("cpu") == torch.device("cpu")
