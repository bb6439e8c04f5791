"""Faults of a passage that is drawn once, without ranking: wrong length, repeated codes, silence.

They are read off the codes and the sound alone, so they name what went wrong for certain, not every bad reading.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tutortoietts.audio.speech_level import voiced_frames

__all__ = ["FAULTS", "code_fault", "repeats", "sound_fault"]

FAULTS = ("silent", "repeated", "short", "unfinished")
"""Names of faults, the least bad first."""

_FRAME_SECONDS = 0.02  # of `voiced_frames`
_REPEATED_CODES = 32  # 1.5 s
_SILENT_SECONDS = 2.0


def code_fault(codes: Tensor, *, finished: bool, least: int) -> str | None:
    """Return the fault of drawn codes (S,), or None.

    finished: the model ended by itself. least: codes that the text needs even in very fast speech.
    """
    if not finished:
        return "unfinished"
    if len(codes) < least:
        return "short"
    return "repeated" if repeats(codes) else None


def repeats(codes: Tensor) -> bool:
    """Return whether a stretch of codes (S,) of 1.5 s or more is an exact copy of what came right before it.

    A shorter stretch counts where it is said again and again for as long, a single code as well.
    """
    values = codes.cpu().numpy()
    lags = range(1, len(values) - _REPEATED_CODES + 1)
    return any(_longest_run(values[lag:] == values[:-lag]) >= max(lag, _REPEATED_CODES) for lag in lags)


def _longest_run(same: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    ends = np.flatnonzero(np.concatenate([[True], ~same, [True]]))
    return int(np.diff(ends).max()) - 1


def sound_fault(wave: Tensor, rate: int) -> str | None:
    """Return "silent" if the samples (..., N) at `rate` hertz hold two seconds without speech in a row, or None."""
    voiced = voiced_frames(wave.reshape(1, -1), rate).to(torch.bool).numpy()
    return "silent" if _longest_run(~voiced) * _FRAME_SECONDS >= _SILENT_SECONDS or not voiced.any() else None
