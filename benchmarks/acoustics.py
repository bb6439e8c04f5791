"""Measures of one clip that need no recogniser: level, silences and pitch. numpy only."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

ACTIVE_BELOW_DB = 35.0  # a frame this far under the clip's loud frames is silence
FLOOR_DBFS = -60.0
HOP_SECONDS, FRAME_SECONDS = 0.010, 0.025


@dataclass(frozen=True, slots=True)
class Level:
    """Seconds and decibels of a clip. ``final_db``: its last 20 ms against its loud frames (0 is cut off in speech)."""

    seconds: float
    leading: float  # silence before the speech, seconds
    trailing: float  # silence after it, seconds
    rms_dbfs: float  # over the speech
    peak_dbfs: float
    clipped: float  # share of samples at full scale
    final_db: float

    @property
    def speech(self) -> float:
        """Seconds from the first active frame to the last."""
        return max(0.0, self.seconds - self.leading - self.trailing)

    def as_dict(self) -> dict[str, float]:
        return {**asdict(self), "speech": self.speech}


def decibels(power: float) -> float:
    return 10 * math.log10(max(power, 1e-12))


def frames(samples: Floats, rate: int) -> Floats:
    """(N,) -> (F, 25 ms), hop 10 ms; short clips are padded to one frame."""
    size, hop = round(FRAME_SECONDS * rate), round(HOP_SECONDS * rate)
    samples = np.pad(samples, (0, max(0, size - len(samples))))
    return np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]


def activity(samples: Floats, rate: int) -> npt.NDArray[np.bool_]:
    """Which 10 ms frames are speech (F,)."""
    power = np.mean(frames(samples, rate) ** 2, 1)
    loud = np.percentile(power, 90)
    return np.asarray(power > max(loud * 10 ** (-ACTIVE_BELOW_DB / 10), 10 ** (FLOOR_DBFS / 10)))


def level(samples: npt.NDArray[np.float32], rate: int) -> Level:
    """samples (N,) in -1..1 -> its Level."""
    x = np.asarray(samples, np.float64)
    active = np.flatnonzero(activity(x, rate))
    seconds = len(x) / rate
    if not len(active):
        peak = float(np.max(np.abs(x), initial=0.0))
        return Level(seconds, seconds, 0.0, decibels(0.0), decibels(peak**2), 0.0, 0.0)
    begin = float(active[0]) * HOP_SECONDS
    end = min(seconds, float(active[-1]) * HOP_SECONDS + FRAME_SECONDS)
    power = np.mean(frames(x, rate) ** 2, 1)
    final = np.mean(x[-rate // 50 :] ** 2)
    return Level(
        seconds=seconds,
        leading=begin,
        trailing=seconds - end,
        rms_dbfs=decibels(np.mean(x[round(begin * rate) : round(end * rate)] ** 2)),
        peak_dbfs=decibels(np.max(np.abs(x)) ** 2),
        clipped=float(np.mean(np.abs(x) >= 0.9999)),
        final_db=decibels(final / np.percentile(power, 90)),
    )


def mel_filters(rate: int, size: int, bins: int, low: float = 60.0, high: float = 7600.0) -> Floats:
    """Triangles evenly spaced on the HTK mel scale, (bins, size // 2 + 1)."""
    edges = np.linspace(*(2595 * np.log10(1 + np.array([low, high]) / 700)), bins + 2)
    edges = 700 * (10 ** (edges / 2595) - 1)
    hertz = np.linspace(0, rate / 2, size // 2 + 1)
    rise = (hertz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - hertz) / np.diff(edges)[1:, None]
    return np.clip(np.minimum(rise, fall), 0, None)


def log_pitch(samples: Floats, rate: int) -> float:
    """Median log2 of the pitch in hertz over voiced frames (autocorrelation, 60 to 400 Hz); NaN if none."""
    size, hop = round(0.04 * rate), round(0.01 * rate)
    if len(samples) < size:
        return math.nan
    windows = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop] * np.hanning(size)
    power = np.abs(np.fft.rfft(windows, 2 * size)) ** 2
    power[:, 2 * size * 1200 // rate :] = 0  # the low harmonics alone: a peak as wide as a sample or more
    correlation = np.fft.irfft(power)[:, :size]
    envelope = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(size), 2 * size)) ** 2)[:size]
    near, far = rate // 400, rate // 60
    scaled = correlation[:, near:far] / envelope[near:far] * envelope[0] / np.maximum(correlation[:, :1], 1e-9)
    # the first lag that comes near the best: the best itself may be two periods
    best = scaled.max(1)
    first = np.argmax(scaled > 0.92 * best[:, None], 1)
    first = np.array([f + int(np.argmax(row[f : f + near])) for f, row in zip(first, scaled, strict=True)])
    voiced = (best > 0.55) & (correlation[:, 0] > 0.05 * np.percentile(correlation[:, 0], 90))
    if np.mean(voiced) < 0.1:
        return math.nan
    return float(np.median(np.log2(rate / (first[voiced] + near))))
