"""Protocol of an engine that a book needs: to speak one text in one voice from one seed, and to say who it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from tutortoietts.core.types import Word

__all__ = ["Speaker", "SpeakerFactory", "Spoken", "Word"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spoken:
    """A text as spoken: `samples` (N,) float32 at `sample_rate`; the words with their times; evidence for checks.

    The words' `chars` are those of the text that was given.

    evidence: "finished" 1 or 0 (the model stopped by itself), "loss" nats (of the least likely codes under the text).
    """

    samples: Tensor
    sample_rate: int
    words: tuple[Word, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)


class Speaker(Protocol):
    """An engine with its options fixed. Equal identity, voice digest, text and seed give equal sound."""

    sample_rate: int
    desired_length: int

    @property
    def loss_limit(self) -> float | None:
        """Highest "loss" of a reading that says its text; None: the loss is noted, but flags nothing."""
        ...

    def identity(self) -> Mapping[str, Any]:
        """Return everything but text, voice and seed that changes the sound, as values that JSON can hold."""
        ...

    def voice_digest(self, voice: str) -> str:
        """Return a digest of what makes the voice, not of its name. Raises VoiceError for an unknown voice."""
        ...

    def pace(self, voice: str) -> float | None:
        """Return the usual seconds a spoken character of the voice, None when it is not known."""
        ...

    def speak(self, text: str, voice: str, seed: int) -> Spoken:
        """Speak `text`, which is already in spoken form."""
        ...


class SpeakerFactory(Protocol):
    """Makes the speaker, in this process or in a worker; must be picklable."""

    def __call__(self) -> Speaker:
        """Return a new speaker."""
        ...
