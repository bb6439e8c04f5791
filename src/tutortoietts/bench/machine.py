"""Measure this machine: bytes per second from memory, and operations per second of large matrix products."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["Machine", "measure_machine", "settle"]

_FORMATS: Mapping[str, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "int8": torch.int8,
}
_CPU_BYTES, _GPU_BYTES = 512 << 20, 2 << 30  # far more than any cache
_CPU_WIDTH, _GPU_WIDTH = 2048, 8192
_FIRST_WIDTH = 256  # width of a product that no format takes long for
_TRIES = 5
_LONGEST = 3.0  # seconds for a product, and for the tries of one


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Rates of a machine: `bandwidth` in bytes/s, `rates` in operations/s by format (fp32, bf16, fp16, int8)."""

    device: str
    threads: int | None
    bandwidth: float
    rates: Mapping[str, float]

    def rate(self, name: str) -> float:
        """Return the rate of this format, or of the fastest wider one."""
        order = ("int8", "fp16", "bf16", "fp32")
        wider = order[order.index(name) :]
        return self.rates[name] if name in self.rates else max(self.rates.get(other, 0.0) for other in wider)

    def best_of(self, other: Machine) -> Machine:
        """Return the better figures of two measurements of one machine: other work on it only makes them worse."""
        names = {**self.rates, **other.rates}
        rates = {name: max(self.rates.get(name, 0.0), other.rates.get(name, 0.0)) for name in names}
        return replace(self, bandwidth=max(self.bandwidth, other.bandwidth), rates=rates)


def measure_machine(device: torch.device, *, size: int | None = None, width: int | None = None) -> Machine:
    """Return the best of a few tries, in about two seconds. size: bytes of the buffer; width: of the matrices."""
    gpu = device.type != "cpu"
    size = size or (_GPU_BYTES if gpu else _CPU_BYTES)
    width = width or (_GPU_WIDTH if gpu else _CPU_WIDTH)
    rates = {}
    for name, dtype in _FORMATS.items():
        with suppress(RuntimeError, NotImplementedError):  # not every format works everywhere
            rates[name] = _rate(device, dtype, width)
    return Machine(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        threads=torch.get_num_threads() if device.type == "cpu" else None,
        bandwidth=_bandwidth(device, size),
        rates=rates,
    )


def settle(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@torch.inference_mode()
def _bandwidth(device: torch.device, size: int) -> float:
    """Return the better rate of reading a buffer (as weights are) and of copying one, which reads and writes."""
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    read = source.nbytes / _best(source.sum, device)
    copied = 2 * source.nbytes / _best(lambda: target.copy_(source), device)
    return max(read, copied)


def _rate(device: torch.device, dtype: torch.dtype, width: int) -> float:
    """Return the best rate of square matrices up to this width, or up to one that takes this device seconds.

    The widths grow, so that one slow try decides nothing: the next product is eight times as large, and is tried unless
    it would take too long at the best rate seen so far.
    """
    size = min(width, _FIRST_WIDTH)
    best = _rate_of(device, dtype, size)
    while size < width and 2 * min(2 * size, width) ** 3 / best <= _LONGEST:
        size = min(2 * size, width)
        best = max(best, _rate_of(device, dtype, size))
    return best


@torch.inference_mode()
def _rate_of(device: torch.device, dtype: torch.dtype, width: int) -> float:
    if dtype.is_floating_point:
        left, right = (torch.ones(width, width, device=device, dtype=dtype) for _ in range(2))
        seconds = _best(lambda: left @ right, device)
    else:
        a, b = (torch.ones(width, width, device=device, dtype=dtype) for _ in range(2))
        seconds = _best(lambda: torch._int_mm(a, b.t()), device)
    return 2 * width**3 / seconds


def _best(work: Callable[[], Tensor], device: torch.device) -> float:
    """Return the seconds of the fastest of a few tries, fewer if they are long, after one that does not count."""
    taken: list[float] = []
    while len(taken) < 2 or (len(taken) <= _TRIES and sum(taken) < _LONGEST):
        settle(device)
        started = time.perf_counter()
        work()
        settle(device)
        taken.append(time.perf_counter() - started)
    return max(min(taken[1:]), 1e-9)
