"""Windowed-sinc resampling, with the kernel that the public models' reference clips were resampled with.

A sharper filter (soxr) empties the top bands of the mel, which those models never saw, so everything that
conditions a model goes through here; everything else is resampled by `audio.io`.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from tutortoietts.core.errors import OptionError

__all__ = ["resample_sinc"]

ZERO_CROSSINGS = 6
ROLLOFF = 0.99
MAX_PHASES = 4096


def resample_sinc(wav: Tensor, source: int, target: int) -> Tensor:
    """Resample `wav` (..., N) from `source` to `target` hertz -> (..., ceil(N * target / source)) float32.

    Polyphase interpolation: sinc cut off at 0.99 of the lower Nyquist, Hann (cos^2) window over 6 zero crossings
    a side, samples outside the clip taken as 0. Raises OptionError for rates that are not positive or whose
    reduced ratio has more than 4096 phases (use `audio.io.resample` there).
    """
    if source <= 0 or target <= 0:
        raise OptionError(f"cannot resample from {source} to {target} Hz: both rates must be positive")
    common = math.gcd(source, target)
    down, up = source // common, target // common
    if up > MAX_PHASES:
        raise OptionError(f"{source} to {target} Hz needs {up} filter phases, limit {MAX_PHASES}: use soxr instead")
    wav = wav.to(torch.float32)
    samples = wav.shape[-1]
    if down == up or samples == 0:
        return wav
    kernel, reach = _kernel(down, up, str(wav.device))
    wanted = -(-samples * up // down)
    flat = functional.pad(wav.reshape(-1, 1, samples), (reach, reach + down))
    phases = functional.conv1d(flat, kernel, stride=down)  # (rows, up, blocks)
    out = phases.transpose(1, 2).reshape(flat.shape[0], -1)[:, :wanted]
    return out.reshape(*wav.shape[:-1], wanted)


@lru_cache(maxsize=16)
def _kernel(down: int, up: int, device: str) -> tuple[Tensor, int]:
    """Return one filter per phase (up, 1, 2 * reach + down) and `reach`, the input samples it looks back.

    Output sample k*up + p lies at input time (k*up + p) * down / up; block k starts at input sample k*down - reach.
    """
    cutoff = ROLLOFF * min(1.0, up / down)  # of the input's Nyquist
    reach = math.ceil(ZERO_CROSSINGS / cutoff)
    with torch.inference_mode(False):  # a constant, usable under autograd whichever caller made it
        taps = torch.arange(-reach, reach + down, dtype=torch.float64, device="cpu")
        centres = torch.arange(up, dtype=torch.float64, device="cpu") * (down / up)
        crossings = ((taps[None, :] - centres[:, None]) * cutoff).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
        window = torch.cos(crossings * (math.pi / (2 * ZERO_CROSSINGS))).square()
        kernel = torch.sinc(crossings) * window * cutoff
        return kernel.to(torch.float32)[:, None, :].to(device), reach
