"""Speech in a reference clip: the level of short frames without the constant part and hum of a cheap card."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["MIN_SPEECH_SECONDS", "SILENT_PEAK", "Speech", "speech_crop", "speech_of", "voiced_frames"]

SILENT_PEAK = 1e-3  # -60 dB of full scale
MIN_SPEECH_SECONDS = 0.2
FRAME_SECONDS = 0.02
_LOOKED_AT_SECONDS = 6  # of a clip, by the models
_SILENT_LEVEL = 3e-4  # root mean square of a frame
_BELOW_LOUDEST = 0.02  # -34 dB: quieter frames are pauses
_ENOUGH = 0.5  # of the speech in the best place: the usual place is kept


@dataclass(frozen=True, slots=True)
class Speech:
    """The six seconds of a clip that hold most speech: their peak without hum, and the seconds not silent."""

    peak: float
    seconds: float


def speech_of(clip: Tensor, rate: int) -> Speech:
    """Measure a clip (1, N) at `rate` hertz."""
    voiced, peaks = _frames(clip, rate)
    span = min(len(voiced), round(_LOOKED_AT_SECONDS / FRAME_SECONDS))
    start = int(_sums(voiced, span).argmax())
    part = slice(start, start + span)
    return Speech(float(peaks[part].max()), float(voiced[part].sum()) * FRAME_SECONDS)


def voiced_frames(clip: Tensor, rate: int) -> Tensor:
    """Return 1.0 for each 20 ms of a clip (1, N) that is neither silent nor a pause, else 0.0: (frames,)."""
    return _frames(clip, rate)[0]


def speech_crop(clip: Tensor, samples: int, rate: int, usual: int) -> Tensor:
    """Return `samples` of a clip (1, N): from the sample `usual` on, or from where most speech is.

    The usual place is kept if it holds at least half as much speech as the best. A shorter clip is padded with zeros.
    """
    extra = clip.shape[-1] - samples
    if extra <= 0:
        return functional.pad(clip, (0, -extra))
    voiced, frame = voiced_frames(clip, rate), _frame(rate)
    span = max(1, min(len(voiced), samples // frame))
    sums = _sums(voiced, span)
    best = int(sums.argmax())
    if float(sums[min(usual // frame, len(sums) - 1)]) < _ENOUGH * float(sums[best]):
        usual = min(best * frame, extra)
    return clip[..., usual : usual + samples]


def _frame(rate: int) -> int:
    return max(1, round(FRAME_SECONDS * rate))


def _sums(values: Tensor, span: int) -> Tensor:
    """Return the sum of each `span` values in a row."""
    total = functional.pad(values.double().cumsum(0), (1, 0))
    return total[span:] - total[:-span]


def _frames(clip: Tensor, rate: int) -> tuple[Tensor, Tensor]:
    """Return for each 20 ms whether it is voiced, and its peak; a last piece that is no whole frame counts too."""
    wave = _without_hum(clip.detach().to("cpu", torch.float32)[:1], rate)[0]
    frame = _frame(rate)
    if len(wave) > 8 * frame:  # resampling and the means leave a click of a constant part at both ends
        wave[:frame] = wave[-frame:] = 0
    pieces = functional.pad(wave, (0, -len(wave) % frame)).reshape(-1, frame)
    level = pieces.square().mean(dim=1).sqrt()
    floor = max(_SILENT_LEVEL, _BELOW_LOUDEST * float(level.max()))
    return (level > floor).float(), pieces.abs().amax(dim=1)


def _without_hum(wave: Tensor, rate: int) -> Tensor:
    """Return (1, N) without what is slower than about 70 Hz: the mean of 10 ms around a sample is taken off, twice."""
    wave = wave - wave.mean()
    half = round(0.005 * rate)
    if wave.shape[-1] <= 2 * half + 1:
        return wave
    for _ in range(2):
        wave = wave - _running_mean(wave, half)
    return wave


def _running_mean(wave: Tensor, half: int) -> Tensor:
    """Return the mean of each sample of (1, N) with the `half` on both sides, as far as there are any."""
    total = functional.pad(wave.double().cumsum(-1), (1, 0))
    place = torch.arange(wave.shape[-1])
    first, end = (place - half).clamp(min=0), (place + half + 1).clamp(max=wave.shape[-1])
    return ((total[:, end] - total[:, first]) / (end - first)).float()
