"""Protocol of an engine that a book needs: to speak one text in one voice from one seed, and to say who it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from tutortoietts.core.types import Word
from tutortoietts.engine.check import Limits
from tutortoietts.engine.finish import Spoken

__all__ = ["Speaker", "SpeakerFactory", "Spoken", "Word"]


class Speaker(Protocol):
    """An engine with its options fixed. Equal identity, voice digest, text, language and seed give equal sound.

    language: what it speaks unless another is given. terms: of the licence of its sound, "" if there are none.
    """

    sample_rate: int
    desired_length: int
    language: str
    terms: str

    @property
    def languages(self) -> Sequence[str]:
        """Tags of the languages that it speaks."""
        ...

    @property
    def limits(self) -> Limits:
        """Limits beyond which a take is flagged, with what was measured of this engine."""
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

    def readings(self, text: str, voice: str, seed: int, language: str = "") -> Iterator[Spoken]:
        """Speak `text`, which is already in spoken form; then yield what else the same draw offers, the best first.

        language: one of `languages`, "" for its own.
        """
        ...


class SpeakerFactory(Protocol):
    """Makes the speaker, in this process or in a worker; must be picklable."""

    def __call__(self) -> Speaker:
        """Return a new speaker."""
        ...
