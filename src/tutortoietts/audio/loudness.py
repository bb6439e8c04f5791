"""Loudness after ITU-R BS.1770-4 and EBU R 128, true peak, RMS and noise floor, measured on a stream of mono samples.

meter = Meter(24000)
for block in blocks: meter.push(block)
meter.result()                         # Loudness(lufs=-19.0, ...)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from tutortoietts.core.errors import AudioError, OptionError

__all__ = ["FirStream", "Loudness", "Meter", "TruePeak", "decibels", "highpass_taps", "integrated_loudness", "measure"]

HOP_SECONDS = 0.1
ABSOLUTE_GATE = -70.0
RELATIVE_GATE = -10.0
OFFSET = -0.691
FLOOR_HOPS = 5  # the quietest half second
SILENCE = -200.0
OVERSAMPLING = 4
TAPS_A_PHASE = 24
TRANSFORM = 4  # times the taps, about: longer ones leave the caches of a core, shorter ones overlap more
PEAK_BLOCK = 1 << 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Loudness:
    """Integrated loudness in LUFS, RMS and floor in dB of full scale, true peak in dBTP; -200 stands for silence."""

    lufs: float
    rms: float
    true_peak: float
    floor: float
    seconds: float


class FirStream:
    """A causal FIR filter over blocks: what is pushed comes back filtered, the same number of samples."""

    def __init__(self, taps: Tensor) -> None:
        self._taps = taps
        self._past = torch.zeros(len(taps) - 1, dtype=torch.float32)
        self._largest = _transform(TRANSFORM * len(taps))

    def push(self, block: Tensor) -> Tensor:
        """Return the filtered block (N,) float32: overlap-save, all its frames transformed at once."""
        if len(block) == 0:
            return block.to(torch.float32)
        late, joined = len(self._past), torch.cat([self._past, block.to(torch.float32)])
        self._past = joined[len(block) :]
        size = min(self._largest, _transform(len(joined)))
        missing = -len(block) % (size - late)
        frames = functional.pad(joined, (0, missing)).unfold(0, size, size - late)
        spectra = torch.fft.rfft(frames).mul_(_spectrum(self._taps, size))
        filtered: Tensor = torch.fft.irfft(spectra, size)[:, late:].reshape(-1)[: len(block)]
        return filtered


class TruePeak:
    """The largest sample between samples, at four times the rate, over a stream of mono blocks.

    Stretches that cannot reach `above` (None: the largest peak so far) are passed over: their peaks are those of the
    samples themselves.
    """

    LATE = TAPS_A_PHASE // 2

    def __init__(self, above: float | None = None) -> None:
        self._past = torch.zeros(TAPS_A_PHASE - 1)
        self._above = above
        self.peak = 0.0

    def push(self, block: Tensor) -> Tensor:
        """Return the peaks around the samples, those LATE samples before the block's, (N,) float32."""
        pieces = [self._piece(piece) for piece in block.to(torch.float32).split(PEAK_BLOCK)]  # type: ignore[no-untyped-call]
        return torch.cat(pieces) if len(pieces) > 1 else pieces[0]

    def flush(self) -> float:
        """Return the largest peak once the last samples have passed the filter."""
        self.push(torch.zeros(TAPS_A_PHASE))
        return self.peak

    def _piece(self, block: Tensor) -> Tensor:
        joined = torch.cat([self._past, block])
        self._past = joined[len(block) :]
        peaks = joined[TAPS_A_PHASE // 2 - 1 :][: len(block)].abs()
        if len(block) == 0:
            return peaks
        if float(joined.abs().max()) * _peak_bound() > (self.peak if self._above is None else self._above):
            phases = functional.conv1d(joined[None, None], _peak_filter())[0].abs()
            peaks = torch.maximum(phases.amax(0), peaks)
        self.peak = max(self.peak, float(peaks.max()))
        return peaks


class Meter:
    """All measures of a mono stream at `sample_rate` hertz. Memory is 80 bytes a second of sound."""

    def __init__(self, sample_rate: int) -> None:
        if sample_rate < 8000:
            raise OptionError(f"sample rate {sample_rate} is too low to measure loudness: 8000 hertz at least")
        self.sample_rate = sample_rate
        self._hop = round(HOP_SECONDS * sample_rate)
        self._weighting = FirStream(_weighting_taps(sample_rate))
        self._peak = TruePeak()
        self._weighted, self._raw = _Hops(self._hop), _Hops(self._hop)
        self._samples = 0

    def push(self, block: Tensor) -> None:
        """Take in the next samples (N,)."""
        block = block.detach().to(torch.float32)
        if block.ndim != 1:
            raise AudioError(f"loudness is measured on samples of shape (N,), not {tuple(block.shape)}")
        self._samples += len(block)
        self._peak.push(block)
        self._raw.push(block)
        self._weighted.push(self._weighting.push(block))

    def result(self) -> Loudness:
        """Return the measures of all that was pushed; may be called once."""
        raw = self._raw.sums()
        total = sum(raw)
        peak = self._peak.flush()
        windows = [sum(raw[i : i + FLOOR_HOPS]) for i in range(max(1, len(raw) - FLOOR_HOPS))] if raw else [0.0]
        return Loudness(
            lufs=_gated(self._weighted.sums(), self._hop),
            rms=decibels(total / max(self._samples, 1), power=True),
            true_peak=decibels(peak),
            floor=decibels(min(windows) / (FLOOR_HOPS * self._hop), power=True),
            seconds=self._samples / self.sample_rate,
        )


def measure(samples: Tensor, sample_rate: int) -> Loudness:
    """Return the measures of a clip (N,)."""
    meter = Meter(sample_rate)
    meter.push(samples)
    return meter.result()


def integrated_loudness(samples: Tensor, sample_rate: int) -> float:
    """Return the integrated loudness of a clip (N,) in LUFS as `measure` does, without its other measures."""
    hops = _Hops(round(HOP_SECONDS * sample_rate))
    hops.push(FirStream(_weighting_taps(sample_rate)).push(samples))
    return _gated(hops.sums(), hops.hop)


def decibels(value: float, *, power: bool = False) -> float:
    """Return an amplitude (or a power) in decibels, -200 for nothing."""
    return max(SILENCE, (10 if power else 20) * math.log10(value)) if value > 0 else SILENCE


@lru_cache(maxsize=8)
def highpass_taps(sample_rate: int, hertz: float = 20.0) -> Tensor:
    """Return the impulse response of a Butterworth high-pass of second order (N,) float64."""
    k = math.tan(math.pi * hertz / sample_rate)
    return _response([_second_order(k, math.sqrt(0.5), (1.0, -2.0, 1.0))], round(0.2 * sample_rate * 20 / hertz))


@lru_cache(maxsize=8)
def _weighting_taps(sample_rate: int) -> Tensor:
    """The impulse response of the K weighting of BS.1770, from its analogue form, at any rate."""
    k, q, gain = math.tan(math.pi * 1681.974450955533 / sample_rate), 0.7071752369554196, 3.999843853973347
    high = 10 ** (gain / 20)
    band = high**0.4996667741545416
    shelf = _second_order(k, q, (high + band * k / q + k * k, 2 * (k * k - high), high - band * k / q + k * k))
    k, q = math.tan(math.pi * 38.13547087602444 / sample_rate), 0.5003270373238773
    a0 = 1 + k / q + k * k
    highpass = _second_order(k, q, (a0, -2 * a0, a0))
    return _response([shelf, highpass], round(0.08 * sample_rate))


def _transform(samples: int) -> int:
    """Return the least power of two that is at least `samples`."""
    return 1 << max(1, samples - 1).bit_length()


@lru_cache(maxsize=16)
def _spectrum(taps: Tensor, size: int) -> Tensor:
    """Return the spectrum of `taps` for transforms of `size`; the tensor itself is the key, not its values."""
    spectrum: Tensor = torch.fft.rfft(taps.to(torch.float64), size).to(torch.complex64)
    return spectrum


def _second_order(k: float, q: float, b: tuple[float, float, float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    a0 = 1 + k / q + k * k
    return tuple(value / a0 for value in b), (1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0)


def _response(sections: list[tuple[tuple[float, ...], tuple[float, ...]]], length: int) -> Tensor:
    """The first `length` samples that a chain of second-order sections gives for an impulse."""
    signal = [1.0] + [0.0] * (length - 1)
    for b, a in sections:
        x1 = x2 = y1 = y2 = 0.0
        for i, x in enumerate(signal):
            y = b[0] * x + b[1] * x1 + b[2] * x2 - a[1] * y1 - a[2] * y2
            x2, x1, y2, y1 = x1, x, y1, y
            signal[i] = y
    return torch.tensor(signal, dtype=torch.float64)


@lru_cache(maxsize=1)
def _peak_filter() -> Tensor:
    """Windowed sincs at the four places between two samples (4, 1, taps); the first is the sample itself."""
    taps = torch.arange(TAPS_A_PHASE, dtype=torch.float64) - (TAPS_A_PHASE // 2 - 1)
    places = torch.arange(OVERSAMPLING, dtype=torch.float64)[:, None] / OVERSAMPLING
    distance = taps[None] - places
    window = torch.cos(math.pi * distance / (TAPS_A_PHASE + 1)).square()
    return (torch.sinc(distance) * window).to(torch.float32)[:, None]


@lru_cache(maxsize=1)
def _peak_bound() -> float:
    """The most by which a peak between samples can exceed the samples around it."""
    return float(_peak_filter().abs().sum(-1).max())


class _Hops:
    """Sums of squares of hops of equal length; the rest of the last one waits."""

    def __init__(self, hop: int) -> None:
        self.hop = hop
        self._rest = torch.zeros(0)
        self._sums: list[float] = []

    def push(self, block: Tensor) -> None:
        joined = torch.cat([self._rest, block]) if len(self._rest) else block
        whole = len(joined) // self.hop * self.hop
        self._sums += joined[:whole].reshape(-1, self.hop).square().sum(1).tolist()
        self._rest = joined[whole:].clone()

    def sums(self) -> list[float]:
        """All hops, the unfinished last one too."""
        rest = float(self._rest.to(torch.float64).square().sum())
        return [*self._sums, rest] if len(self._rest) else list(self._sums)


def _gated(hops: list[float], hop: int) -> float:
    """Integrated loudness of blocks of four hops, those under the two gates left out."""
    blocks = torch.tensor([sum(hops[i : i + 4]) / (4 * hop) for i in range(max(1, len(hops) - 3))], dtype=torch.float64)
    loud = blocks[blocks > 10 ** ((ABSOLUTE_GATE - OFFSET) / 10)]
    if len(loud) == 0:
        return SILENCE
    gate = float(loud.mean()) * 10 ** (RELATIVE_GATE / 10)
    return OFFSET + decibels(float(loud[loud > gate].mean()), power=True)
