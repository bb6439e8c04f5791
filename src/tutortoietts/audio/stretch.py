"""Speech faster or slower at the same pitch (WSOLA, Verhelst and Roelands 1993)."""

from __future__ import annotations

import torch
from torch import Tensor

from tutortoietts.core.errors import AudioError, OptionError

__all__ = ["stretch", "stretched_length"]

WINDOW_SECONDS = 0.030
SEARCH_SECONDS = 0.010


def stretched_length(samples: int, rate: float) -> int:
    """Return the number of samples that `stretch` gives for a clip of `samples`."""
    return round(samples / rate)


def stretch(wav: Tensor, sample_rate: int, rate: float) -> Tensor:
    """Return `wav` (N,) spoken `rate` times as fast -> (round(N / rate),) float32. Raises OptionError outside 0.25..4.

    Windows are taken from the source at the wanted pace, each moved by up to 10 ms to where it continues the one before
    best, and overlapped by half.
    """
    if not 0.25 <= rate <= 4:
        raise OptionError(f"rate is {rate}, outside 0.25..4")
    if wav.ndim != 1:
        raise AudioError(f"a clip to stretch has shape (N,), not {tuple(wav.shape)}")
    wanted = stretched_length(len(wav), rate)
    hop = round(WINDOW_SECONDS * sample_rate) // 2
    if rate == 1 or len(wav) < 4 * hop:
        return _fitted(wav.to(torch.float32), wanted)
    search = round(SEARCH_SECONDS * sample_rate)
    source = torch.nn.functional.pad(wav.to(torch.float32), (search, 4 * hop + 2 * search))
    window = torch.hann_window(2 * hop, periodic=True)
    out = torch.zeros(wanted + 4 * hop)
    place = search  # in the source: where the window that follows on would begin
    for number in range(-(-wanted // hop) + 1):
        target = min(round(number * hop * rate), len(wav)) + search
        if number:
            place = _best(source, place + hop, target, search, hop)
        out[number * hop : (number + 2) * hop] += source[place : place + 2 * hop] * window
    out[:hop] += source[search : search + hop] * (1 - window[:hop])
    return out[:wanted]


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
