"""Text of one language to the token ids of XTTS: its mark, such as [en], then the cleaned text."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Sequence
from typing import Literal

from tutortoietts.core.errors import ModelError
from tutortoietts.text.tokenizer import Tokenizer
from tutortoietts.text.transliterate import to_ascii
from tutortoietts.text.xtts.cleaner import clean, language_code

__all__ = ["XttsTokenizer"]

TOKEN_LIMIT = 402


class XttsTokenizer(Tokenizer):
    """`Tokenizer` for one language of XTTS.

    language: a code or tag. spoken: texts are in spoken words already (`text.natural`); False leaves numbers and the
    like to the original's cleaner, faults included. limit: there must be fewer ids than this.
    Raises OptionError for a language that XTTS does not have, ModelError for a vocabulary without it (releases before
    2.0.3 have no Hindi).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        language: str,
        *,
        spoken: bool = True,
        limit: int = TOKEN_LIMIT,
        unknown: Literal["keep", "drop"] = "drop",
    ) -> None:
        super().__init__(path, cleaner_name="basic", limit=limit + 1, unknown=unknown)
        self.language = language_code(language)
        mark = "[zh-cn]" if self.language == "zh" else f"[{self.language}]"
        identity = self._encoder.token_to_id(mark)
        if identity is None:
            message = f"{self.path} has no {mark}, so this model does not speak {self.language}"
            raise ModelError(message, file=self.path, key=mark)
        self.prefix = (identity,)
        self._silent.add(identity)
        known = frozenset(token for token in self._encoder.get_vocab() if len(token) == 1)

        def cleaned(text: str) -> str:
            made = clean(text, self.language, spoken=spoken)
            return _known_letters(made, known) if spoken else made

        self._clean = cleaned

    def _cleaned(self, pieces: Sequence[str]) -> list[str]:
        """Each piece cleaned, with the space between two of them that the cleaner takes off their ends."""
        cleaned: list[str] = []
        apart = False
        for piece in pieces:
            own = self._clean(piece)
            cleaned.append(f" {own}" if own and any(cleaned) and (apart or piece[:1].isspace()) else own)
            apart = piece[-1:].isspace() or (apart and not own)
        return cleaned


def _known_letters(text: str, known: Collection[str]) -> str:
    """Return cleaned text with letters and vowel signs that the vocabulary lacks in Latin ones: none is lost."""
    unknown = {char for char in text if unicodedata.category(char)[0] in "LM" and char not in known}
    return text.translate({ord(char): to_ascii(char).lower() for char in unknown})
