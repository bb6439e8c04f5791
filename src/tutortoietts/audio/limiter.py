"""A look-ahead limiter of true peaks, and the 20 Hz high-pass before it, over streams of mono blocks."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from tutortoietts.audio.loudness import TruePeak

__all__ = ["Limiter"]

LOOK_AHEAD_SECONDS = 0.005


class Limiter:
    """Keeps true peaks at or under `ceiling` (an amplitude): the gain goes down 5 ms before a peak, never in a step.

    What is pushed comes back a little later; `flush` gives the rest. Together they have the length of the input.
    """

    def __init__(self, sample_rate: int, ceiling: float) -> None:
        self._ceiling = ceiling
        self._length = max(2, round(LOOK_AHEAD_SECONDS * sample_rate))
        self._peaks = TruePeak(above=ceiling)
        self._lead = TruePeak.LATE  # of the peaks' first values, which lie before the first sample
        self._audio = torch.zeros(self._length - 1)  # before the first sample: the gain may go down there, unheard
        self._gains = torch.ones(self._length - 1)
        self._unheard = self._length - 1
        self._least = torch.ones(self._length - 1)
        ramp = (torch.arange(self._length) + 0.5) / self._length
        self._shape = torch.sin(math.pi * ramp).square()
        self._shape /= self._shape.sum()
        self.reduced = False

    def push(self, block: Tensor) -> Tensor:
        """Return the samples that are ready (N,) float32."""
        block = block.to(torch.float32)
        self._audio = torch.cat([self._audio, block])
        peaks = self._peaks.push(block)
        skipped = min(self._lead, len(peaks))
        self._lead -= skipped
        return self._ready(self._gain(peaks[skipped:]))

    def flush(self) -> Tensor:
        """Return the last samples."""
        peaks = self._peaks.push(torch.zeros(TruePeak.LATE))[self._lead :]
        return self._ready(torch.cat([self._gain(peaks), torch.ones(self._length - 1)]))

    def _gain(self, peaks: Tensor) -> Tensor:
        return (self._ceiling / peaks.clamp_min(1e-9)).clamp_max(1.0)

    def _ready(self, gains: Tensor) -> Tensor:
        """Samples whose gain is final: the least of the next 5 ms, smoothed over the 5 ms before."""
        self._gains = torch.cat([self._gains, gains])
        ready = len(self._gains) - self._length + 1
        if ready <= 0:
            return torch.zeros(0)
        if float(self._gains.min()) >= 1.0 and float(self._least.min()) >= 1.0:
            smooth, least = None, torch.ones(ready)
        else:
            least = -functional.max_pool1d(-self._gains[None, None], self._length, 1)[0, 0]
            smooth = functional.conv1d(torch.cat([self._least, least])[None, None], self._shape[None, None])[0, 0]
            self.reduced = True
        self._least = torch.cat([self._least, least])[-(self._length - 1) :]
        self._gains = self._gains[ready:]
        out, self._audio = self._audio[:ready], self._audio[ready:]
        out = out if smooth is None else out * smooth[: len(out)]
        skipped = min(self._unheard, len(out))
        self._unheard -= skipped
        return out[skipped:]
