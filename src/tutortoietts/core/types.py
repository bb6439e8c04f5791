"""The frozen values that flow through the engine, in the order they are made.

    text -> Tokens -> Codes -> Mel -> Audio        (Voice joins at Codes and at Mel)

They check their shapes when made, hold tensors without copying them, compare by identity and know
nothing of the models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tutortoietts.core.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Audio", "Codes", "Mel", "Tokens", "Voice", "Word"]


def _check(owner: str, field: str, value: Tensor, *shape: int | None) -> None:
    """Raise OptionError unless `value` has this shape; None stands for any size."""
    given = tuple(value.shape)
    if len(given) != len(shape) or any(want not in (None, have) for want, have in zip(shape, given, strict=False)):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise OptionError(f"{owner}.{field} has shape {given}, must be ({wanted})")


def _check_rate(owner: str, rate: int) -> None:
    if rate <= 0:
        raise OptionError(f"{owner}.sample_rate is {rate}, must be positive (samples per second)")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tokens:
    """Text as the models see it: the cleaned `text` and `ids` (1, T) int64, without the stop token."""

    text: str
    ids: Tensor

    def __post_init__(self) -> None:
        _check("Tokens", "ids", self.ids, 1, None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Voice:
    """A speaker, for the one `model` (its id) that made these latents.

    `speaker` (1, D) conditions the decoding of codes; `diffusion` (1, 2C) is the scale and shift of the
    diffusion model, None for a voice that can only be streamed.
    """

    name: str
    model: str
    speaker: Tensor
    diffusion: Tensor | None = None

    def __post_init__(self) -> None:
        _check("Voice", "speaker", self.speaker, 1, None)
        if self.diffusion is not None:
            _check("Voice", "diffusion", self.diffusion, 1, None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Codes:
    """N candidates of one utterance.

    `ids` (N, S) int64; `lengths` (N,) int64 codes before the stop code; `finished` (N,) bool, whether the row
    stopped by itself; `hidden` (N, S, D), the normalised hidden states that belong to the codes, if kept.
    """

    ids: Tensor
    lengths: Tensor
    finished: Tensor
    hidden: Tensor | None = None

    def __post_init__(self) -> None:
        _check("Codes", "ids", self.ids, None, None)
        rows, steps = self.ids.shape
        _check("Codes", "lengths", self.lengths, rows)
        _check("Codes", "finished", self.finished, rows)
        if self.hidden is not None:
            _check("Codes", "hidden", self.hidden, rows, steps, None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mel:
    """`values` (B, 100, F): log-mel in nats, not normalised; `hop` samples a frame at `sample_rate`."""

    values: Tensor
    sample_rate: int = 24000
    hop: int = 256

    def __post_init__(self) -> None:
        _check("Mel", "values", self.values, None, 100, None)
        _check_rate("Mel", self.sample_rate)
        if self.hop <= 0:
            raise OptionError(f"Mel.hop is {self.hop}, must be positive (samples per frame)")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Audio:
    """`samples` (B, 1, L) float32 in -1..1 at `sample_rate`."""

    samples: Tensor
    sample_rate: int = 24000

    def __post_init__(self) -> None:
        _check("Audio", "samples", self.samples, None, 1, None)
        _check_rate("Audio", self.sample_rate)

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return int(self.samples.shape[-1]) / self.sample_rate


class Word(NamedTuple):
    """A word and the time at which it sounds.

    `word` as written, without the punctuation round it; `start` and `end` in seconds; `confidence` 0..1, 0 where the
    times are in proportion to the text; `chars` the (start, end) characters of the word in the text as written.
    """

    word: str
    start: float
    end: float
    confidence: float
    chars: tuple[int, int]
