"""Text to phonemes by espeak-ng's library, and the inventory of phones that every teacher is timed in.

Needs Debian's ``libespeak-ng1`` (GPL: a library that training alone runs; nothing of it is distributed).
"""

# ruff: noqa: RUF001, RUF002

from __future__ import annotations

import ctypes as c
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tutortoietts.core.errors import TutortoieError

__all__ = ["PHONES", "PHONE_INDEX", "PUNCTUATION", "Espeak", "Utterance", "timed"]

# Index 0 is silence. One IPA letter is one phone: a diphthong is two, which halves of codes can tell apart.
PHONES = ("_", *"bdfhjklmnpstvwzðŋɡɹɾʃʒθʔaeiouæɐɑɒɔəɚɛɜɪʊʌᵻ")
PHONE_INDEX = {phone: i for i, phone in enumerate(PHONES)}
PUNCTUATION = ",;:.?!"
GAP_SECONDS = 0.08
_ALIKE = {"g": "ɡ", "r": "ɹ", "ɫ": "l", "ɬ": "l", "x": "h", "ç": "h", "ɝ": "ɚ", "ɨ": "ɪ", "ø": "ɜ", "y": "i"}


@dataclass(frozen=True, slots=True)
class Utterance:
    """``samples`` (N,) float32 at ``rate`` Hz; ``phones`` (P,) indices into PHONES; their ``ends`` (P,) in seconds."""

    samples: npt.NDArray[np.float32]
    rate: int
    phones: npt.NDArray[np.int8]
    ends: npt.NDArray[np.float32]


def timed(symbols: list[str], seconds: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return (phones, ends) of IPA ``symbols`` (P,) that last ``seconds`` (P,).

    Punctuation is silence, and so is a space that lasts GAP_SECONDS; shorter ones, marks of length and stress and the
    gaps between phones (``""``) belong to the phone before them.
    """
    phones: list[int] = []
    ends: list[float] = []
    at = 0.0
    for symbol, last in zip(symbols, seconds.tolist(), strict=True):
        at += last
        symbol = _ALIKE.get(symbol, symbol)
        silent = symbol in ("$", "^", *PUNCTUATION) or (symbol == " " and last >= GAP_SECONDS)
        known = 0 if silent else PHONE_INDEX.get(symbol)
        if known is None:
            if ends:
                ends[-1] = at
            continue
        phones.append(known)
        ends.append(at)
    return np.array(phones, np.int8), np.array(ends, np.float32)


class Espeak:
    """espeak-ng's American English. Raises TutortoieError where the library is missing. Not safe between threads."""

    def __init__(self, language: str = "en-us") -> None:
        try:
            lib = c.CDLL("libespeak-ng.so.1")
        except OSError as error:
            raise TutortoieError(
                f"espeak-ng's library cannot be loaded ({error}); install it: apt-get install libespeak-ng1"
            ) from error
        lib.espeak_TextToPhonemes.restype = c.c_char_p
        lib.espeak_TextToPhonemes.argtypes = [c.POINTER(c.c_char_p), c.c_int, c.c_int]
        if lib.espeak_Initialize(2, 0, None, 0) < 0 or lib.espeak_SetVoiceByName(language.encode()):
            raise TutortoieError(f"espeak-ng has no voice {language!r}; install espeak-ng-data")
        self._lib = lib

    def _clause(self, text: str) -> str:
        pointer = c.c_char_p(text.encode())
        parts = []
        while pointer.value:
            parts.append((self._lib.espeak_TextToPhonemes(c.byref(pointer), 1, 2) or b"").decode())
        return re.sub(r"\([a-z-]+\)|[_\u0361]", "", " ".join(parts)).strip()

    def phonemes(self, text: str) -> str:
        """IPA of ``text`` with its punctuation: "A, b." -> "ˈeɪ, bˈiː."."""
        pieces = re.split(f"([{re.escape(PUNCTUATION)}]+)", text)
        out = ""
        for clause, marks in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
            spoken = self._clause(clause) if clause.strip() else ""
            out += (" " if out and spoken else "") + spoken + marks[:1]
        return out
