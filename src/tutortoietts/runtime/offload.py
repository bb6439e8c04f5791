"""Models that wait in CPU memory and are copied to the device in time, the next one while one works.

Weights never change, so nothing is copied back: leaving means dropping the copy. Models that fit a small budget stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor, nn

from tutortoietts.runtime.memory import free_bytes

__all__ = ["Copier", "CudaCopier", "Offload", "copier_for"]

_KEPT_BYTES = 1 << 30


class Copier:
    """Copy tensors to a device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def settle(self, tensor: Tensor) -> Tensor:
        """Return the tensor in the memory that copies start from."""
        return tensor.cpu()

    def send(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return copies on the device, which may not be complete before `arrive`."""
        return [tensor.to(self.device, copy=True) for tensor in tensors]

    def arrive(self) -> None:
        """Make later work on the device wait until every copy has arrived."""

    def free(self) -> int:
        """Return the bytes that can be allocated on the device."""
        return free_bytes(self.device)


class CudaCopier(Copier):
    """Copy from page-locked memory, on a stream of its own, while other work goes on."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def settle(self, tensor: Tensor) -> Tensor:
        return tensor.cpu().pin_memory()

    def send(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Start copying to memory of the working stream, so that both streams share one pool.

        That memory may be in use until the work queued so far is done, so the copying stream waits for it.
        """
        there = [torch.empty_like(tensor, device=self.device) for tensor in tensors]
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            for copy, tensor in zip(there, tensors, strict=True):
                copy.copy_(tensor, non_blocking=True)
                copy.record_stream(self._stream)
        return there

    def arrive(self) -> None:
        torch.cuda.current_stream(self.device).wait_stream(self._stream)


def copier_for(device: torch.device) -> Copier | None:
    """Return a copier for a device, None for a CPU."""
    if device.type == "cpu":
        return None
    return CudaCopier(device) if device.type == "cuda" else Copier(device)


class Offload:
    """Components of a model that wait in CPU memory, and which of them are on the device. The owner locks it.

    If all components together take at most `kept_bytes` and half of the free memory, each stays on the device once
    copied. Otherwise a component is there only from `prepare` or `enter` to `leave`.
    """

    def __init__(self, copier: Copier, kept_bytes: int = _KEPT_BYTES) -> None:
        self._copier, self._kept_bytes = copier, kept_bytes
        self._parts: dict[str, _Part] = {}
        self._fits = True

    def add(self, name: str, module: nn.Module) -> None:
        """Add a component, or replace it; it waits in CPU memory from now on."""
        with torch.inference_mode(False):
            self._parts[name] = _Part(module, self._copier)
        there = sum(part.size for part in self._parts.values() if part.there is not None)
        total = sum(part.size for part in self._parts.values())
        self._fits = total <= min(self._kept_bytes, (self._copier.free() + there) // 2)
        self._clear()

    def prepare(self, name: str) -> None:
        """Start copying a component, if there is room for it."""
        part = self._parts.get(name)
        if part is not None and part.there is None and part.size * 5 // 4 <= self._copier.free():
            with suppress(torch.OutOfMemoryError):  # then it is copied when it is entered
                part.come(self._copier)

    def enter(self, name: str) -> nn.Module:
        """Return the component on the device; it stays until `leave` is called as often as this."""
        part = self._parts[name]
        part.users += 1
        if part.there is None:
            self._clear()
        try:
            part.come(self._copier)
        except BaseException:
            part.users -= 1
            raise
        self._copier.arrive()
        part.point(part.there)
        return part.module

    def leave(self, name: str) -> None:
        """Let the component go from the device, unless all fit. Prepared ones stay for the next user."""
        part = self._parts[name]
        part.users -= 1
        if part.users == 0 and not self._fits:
            part.go()

    def _clear(self) -> None:
        """Evict prefetched components that nobody uses, unless all of them fit."""
        for part in () if self._fits else self._parts.values():
            if part.users == 0:
                part.go()


class _Part:
    def __init__(self, module: nn.Module, copier: Copier) -> None:
        self.module, self.users = module, 0
        self._tensors = list(dict.fromkeys([*module.parameters(), *module.buffers()]))
        self._home = [copier.settle(tensor.data) for tensor in self._tensors]
        self.there: list[Tensor] | None = None
        self.size = sum(tensor.numel() * tensor.element_size() for tensor in self._home)
        self.point(self._home)

    def come(self, copier: Copier) -> None:
        if self.there is None:
            with torch.inference_mode(False):
                self.there = copier.send(self._home)

    def go(self) -> None:
        if self.there is not None:
            self.point(self._home)
            self.there = None

    def point(self, where: list[Tensor] | None) -> None:
        for tensor, data in zip(self._tensors, where or (), strict=True):
            tensor.data = data
