"""Speech faster or slower at the same pitch (WSOLA, Verhelst and Roelands 1993)."""

from __future__ import annotations

import torch
from torch import Tensor

from tutortoietts.core.errors import AudioError, OptionError

__all__ = ["Stretcher", "stretch", "stretched_length"]

WINDOW_SECONDS = 0.030
SEARCH_SECONDS = 0.010


def stretched_length(samples: int, rate: float) -> int:
    """Return the number of samples that `stretch` gives for a clip of `samples`."""
    return round(samples / rate)


def stretch(wav: Tensor, sample_rate: int, rate: float) -> Tensor:
    """Return `wav` (N,) spoken `rate` times as fast -> (round(N / rate),) float32. Raises OptionError outside 0.25..4.

    Windows are taken from the source at the pace, each moved by up to 10 ms to where it continues the one before
    best, and overlapped by half.
    """
    if not 0.25 <= rate <= 4:
        raise OptionError(f"rate is {rate}, outside 0.25..4")
    if wav.ndim != 1:
        raise AudioError(f"a clip to stretch has shape (N,), not {tuple(wav.shape)}")
    size = stretched_length(len(wav), rate)
    hop = round(WINDOW_SECONDS * sample_rate) // 2
    if rate == 1 or len(wav) < 4 * hop:
        return _fitted(wav.to(torch.float32), size)
    search = round(SEARCH_SECONDS * sample_rate)
    source = torch.nn.functional.pad(wav.to(torch.float32), (search, 4 * hop + 2 * search))
    window = torch.hann_window(2 * hop, periodic=True)
    out = torch.zeros(size + 4 * hop)
    place = search  # in the source: where the window that follows on would begin
    for number in range(-(-size // hop) + 1):
        target = min(round(number * hop * rate), len(wav)) + search
        if number:
            place = _best(source, place + hop, target, search, hop)
        out[number * hop : (number + 2) * hop] += source[place : place + 2 * hop] * window
    out[:hop] += source[search : search + hop] * (1 - window[:hop])
    return out[:size]


def _best(source: Tensor, following: int, target: int, search: int, hop: int) -> int:
    """The start within `search` of `target` whose window looks most like the one that would follow on."""
    like = source[following : following + 2 * hop]
    if len(like) < 2 * hop:
        return target
    region = source[target - search : target + search + 2 * hop]
    products = torch.nn.functional.conv1d(region[None, None], like[None, None])[0, 0]
    energy = region.square().unfold(0, 2 * hop, 1).sum(1).clamp_min(1e-9).sqrt()
    return target - search + int((products / energy).argmax())


def _fitted(wav: Tensor, length: int) -> Tensor:
    if len(wav) >= length:
        return wav[:length]
    return torch.nn.functional.pad(wav, (0, length - len(wav)))


class Stretcher:
    """`stretch` for sound that comes in blocks: joined, what it returns is `stretch` of the joined blocks."""

    def __init__(self, sample_rate: int, rate: float) -> None:
        if not 0.25 <= rate <= 4:
            raise OptionError(f"rate is {rate}, outside 0.25..4")
        self.rate = rate
        self._hop = round(WINDOW_SECONDS * sample_rate) // 2
        self._search = round(SEARCH_SECONDS * sample_rate)
        self._window = torch.hann_window(2 * self._hop, periodic=True)
        self._source = torch.zeros(self._search)  # padded as in `stretch`; its first sample is number `_dropped`
        self._dropped, self._length = 0, 0
        self._place, self._number, self._given = self._search, 0, 0
        self._tail = torch.zeros(self._hop)  # second half of the last window, to which the next one is added

    def push(self, block: Tensor) -> Tensor:
        """Return the samples (M,) that are final once the next ones (N,) are known."""
        if self.rate == 1:
            return block
        self._length += len(block)
        self._source = torch.cat([self._source, block.to(torch.float32)])
        if self._length < 4 * self._hop:
            return torch.zeros(0)
        return self._advance(final=False)

    def finish(self) -> Tensor:
        """Return the last samples."""
        if self.rate == 1:
            return torch.zeros(0)
        size = stretched_length(self._length, self.rate)
        if self._length < 4 * self._hop:
            return _fitted(self._source[self._search :], size)
        self._source = torch.nn.functional.pad(self._source, (0, 4 * self._hop + 2 * self._search))
        return self._advance(final=True)[: size - self._given]

    def _advance(self, *, final: bool) -> Tensor:
        """Place windows as long as all that they may look at is there."""
        pieces = []
        hop, search = self._hop, self._search
        last = -(-stretched_length(self._length, self.rate) // hop)
        while not final or self._number <= last:
            aim = round(self._number * hop * self.rate)
            target = min(aim, self._length) + search
            furthest = max(target + search, self._place + 2 * hop) + 2 * hop
            ahead = (self._number + 1) * hop > stretched_length(self._length, self.rate)
            if not final and (ahead or furthest > self._dropped + len(self._source)):
                break
            pieces.append(self._next(target))
        made = torch.cat(pieces) if pieces else torch.zeros(0)
        if not final:
            self._given += len(made)
            self._drop()
        return made

    def _next(self, target: int) -> Tensor:
        hop, at = self._hop, self._dropped
        if self._number:
            self._place = _best(self._source, self._place + hop - at, target - at, self._search, hop) + at
        piece = self._source[self._place - at : self._place - at + 2 * hop] * self._window
        half = self._tail + piece[:hop]
        if self._number == 0:
            half = half + self._source[self._search : self._search + hop] * (1 - self._window[:hop])
        self._tail = piece[hop:]
        self._number += 1
        return half

    def _drop(self) -> None:
        """Forget what no later window looks at."""
        target = min(round(self._number * self._hop * self.rate), self._length)
        unneeded = min(target, self._place) - self._dropped
        if unneeded > 0:
            self._source = self._source[unneeded:].clone()
            self._dropped += unneeded
