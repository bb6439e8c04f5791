"""Stretches of the reference clips that a voice is learnt from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tutortoietts.core.errors import AudioError, OptionError

__all__ = ["first_chunks", "peak_normalized", "spread_chunks"]

SHORTEST_SECONDS = 0.33
_PEAK = 0.75


def first_chunks(clips: Sequence[Tensor], rate: int, *, seconds: float, chunk_seconds: float) -> list[Tensor]:
    """Cut the first `seconds` of all clips, joined in time, into chunks: the rule of the original.

    clips (1, N) each at `rate` hertz -> chunks (1, n). A last chunk shorter than 0.33 s is left out.
    Raises AudioError where no chunk is left, OptionError for lengths that are not positive.
    """
    _check_lengths(seconds, chunk_seconds)
    joined = torch.cat(list(clips), dim=-1)[:, : int(seconds * rate)] if clips else torch.zeros(1, 0)
    return _cut(joined, int(chunk_seconds * rate), rate) or _nothing(clips, rate)


def spread_chunks(clips: Sequence[Tensor], rate: int, *, seconds: float, chunk_seconds: float) -> list[Tensor]:
    """Cut chunks from all clips, which share the `seconds` fairly, so that every file is heard.

    Each clip gives up to an equal share; what short clips leave goes to the longer ones. A clip that is longer than a
    chunk is cut into whole chunks, and none crosses from one clip into the next. Shapes and errors as `first_chunks`.
    """
    _check_lengths(seconds, chunk_seconds)
    size = int(chunk_seconds * rate)
    shares = _shares([clip.shape[-1] for clip in clips], int(seconds * rate))
    chunks: list[Tensor] = []
    for clip, share in zip(clips, shares, strict=True):
        whole = share - share % size if share > size else share
        chunks += _cut(clip[:, :whole], size, rate)
    return chunks or _nothing(clips, rate)


def peak_normalized(clip: Tensor) -> Tensor:
    """Scale a clip so that its loudest sample is 0.75, as `sound_norm_refs` of the original. Silence stays."""
    peak = clip.abs().max()
    return clip / peak * _PEAK if float(peak) > 0 else clip


def _shares(lengths: Sequence[int], total: int) -> list[int]:
    """How many samples each clip gives, in all `total` or everything."""
    shares = [0] * len(lengths)
    left = total
    for rank, place in enumerate(sorted(range(len(lengths)), key=lengths.__getitem__)):
        shares[place] = min(lengths[place], left // (len(lengths) - rank))
        left -= shares[place]
    return shares


def _cut(joined: Tensor, size: int, rate: int) -> list[Tensor]:
    chunks = [joined[:, start : start + size] for start in range(0, joined.shape[-1], size)]
    return [chunk for chunk in chunks if chunk.shape[-1] >= SHORTEST_SECONDS * rate]


def _check_lengths(seconds: float, chunk_seconds: float) -> None:
    for name, value in (("seconds", seconds), ("chunk_seconds", chunk_seconds)):
        if not value >= SHORTEST_SECONDS:
            raise OptionError(f"{name} {value:g} of reference audio must be at least {SHORTEST_SECONDS}")


def _nothing(clips: Sequence[Tensor], rate: int) -> list[Tensor]:
    longest = max((clip.shape[-1] for clip in clips), default=0) / rate
    limit = f"must last at least {SHORTEST_SECONDS} s: 6 to 10 s are best"
    raise AudioError(f"{len(clips)} reference clips, the longest of {longest:.2f} s: one of them {limit}")
