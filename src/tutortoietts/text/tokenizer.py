"""Convert text to token ids and back, with a Hugging Face `tokenizers` file.

tokenizer = Tokenizer("tokenizer.json")
tokens = tokenizer.encode("Hello there.")        # Tokens(text="hello there.", ids=(1, T) int64)
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tutortoietts.core.errors import ModelError, OptionError, TextError
from tutortoietts.core.types import Tokens
from tutortoietts.text.normalize import cleaner, is_sayable
from tutortoietts.text.transliterate import describe

if TYPE_CHECKING:
    import tokenizers

__all__ = ["Tokenizer"]

_log = logging.getLogger(__name__)

STOP, UNKNOWN, SPACE = "[STOP]", "[UNK]", "[SPACE]"
TOKEN_LIMIT = 400
MOST_BYTES = 1 << 26  # of a tokenizer file


class Tokenizer:
    """Tokenizer that cleans text before it encodes it; spaces become [SPACE].

    `path`: the tokenizer's JSON file. `cleaner_name`: "english" or "basic". `limit`: the row of tokens, with the
    stop token that the models append, must be shorter. `unknown`: treatment of characters that the vocabulary lacks:
    "keep" leaves [UNK] tokens, as the public model was trained; "drop" leaves them out. Both are logged.
    Raises ModelError for a file that cannot be read, OptionError for other names.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        cleaner_name: str = "english",
        limit: int = TOKEN_LIMIT,
        unknown: Literal["keep", "drop"] = "keep",
    ) -> None:
        if unknown not in ("keep", "drop"):
            raise OptionError(f"unknown={unknown!r} is not a choice: use 'keep' or 'drop'")
        if limit < 2:
            raise OptionError(f"a token limit of {limit} leaves no room for text: use 2 or more")
        self.path = Path(path)
        self.cleaner_name = cleaner_name
        self.limit = limit
        self.unknown = unknown
        self.prefix: tuple[int, ...] = ()  # ids before every text
        self._clean = cleaner(cleaner_name)
        self._encoder = _load(self.path)
        self._unknown_id = self._special(UNKNOWN)
        self._silent = {self._special(STOP), self._unknown_id}
        self._special(SPACE)

    def _special(self, token: str) -> int:
        identity = self._encoder.token_to_id(token)
        if identity is None:
            message = f"{self.path}: the tokenizer has no {token}, which every model needs"
            raise ModelError(message, file=self.path, key=token)
        return identity

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return int(self._encoder.get_vocab_size())

    @property
    def greatest_id(self) -> int:
        """Greatest token id that encoding can give."""
        return max(self._encoder.get_vocab().values())

    def clean(self, text: str) -> str:
        """Return the cleaned text."""
        return self._clean(text)

    def ids(self, text: str) -> list[int]:
        """Return the token ids of cleaned text, unchecked; unknown characters are logged."""
        encoding = self._encoder.encode(text.replace(" ", SPACE), add_special_tokens=False)
        ids = list(encoding.ids)
        if self._unknown_id not in ids:
            return ids
        spaced = text.replace(" ", SPACE)
        lost = dict.fromkeys(
            char
            for identity, (start, end) in zip(ids, encoding.offsets, strict=True)
            if identity == self._unknown_id
            for char in spaced[start:end]
        )
        what = "dropped" if self.unknown == "drop" else "passed as [UNK]"
        _log.warning("%s characters the tokenizer does not know: %s", what, describe(lost))
        return ids if self.unknown == "keep" else [i for i in ids if i != self._unknown_id]

    def count(self, *pieces: str) -> int:
        """Return the number of tokens of consecutive pieces of a text, with the stop token that the models append.

        Unknown characters are not logged. 0 for letters of which cleaning leaves nothing to say.
        """
        cleaned = self._cleaned(pieces)
        if is_sayable("".join(pieces)) and not is_sayable("".join(cleaned)):
            return 0
        spaced = (piece.replace(" ", SPACE) for piece in cleaned)
        return (
            sum(len(self._encoder.encode(piece, add_special_tokens=False).ids) for piece in spaced)
            + len(self.prefix)
            + 1
        )

    def _cleaned(self, pieces: Sequence[str]) -> list[str]:
        """Clean each piece, with one space at most where two meet."""
        cleaned, last = [], ""
        for piece in map(self._clean, pieces):
            cleaned.append(piece.lstrip(" ") if last.endswith(" ") else piece)
            last = cleaned[-1] or last
        return cleaned

    def encode(self, text: str) -> Tokens:
        """Clean and encode one passage.

        Raises TextError if nothing sayable is left or the row is not shorter than the limit (split the text first, with
        `text.split.passages`).
        """
        return self.encode_parts([text])[0]

    def encode_parts(self, parts: Sequence[str]) -> tuple[Tokens, list[int]]:
        """Encode consecutive pieces of one passage: (tokens, token count after each piece).

        The pieces of a bracketed text (`text.brackets`) are encoded with it, to find their tokens again.
        Raises TextError as `encode`.
        """
        import torch

        ids: list[int] = list(self.prefix)
        ends: list[int] = []
        pieces = self._cleaned(parts)
        for piece in pieces:
            ids += self.ids(piece)
            ends.append(len(ids))
        whole, cleaned = "".join(parts), "".join(pieces)
        if not is_sayable(cleaned) or len(ids) == len(self.prefix):
            raise TextError(f"nothing to say in {_short(whole)}: give text with at least one letter or digit")
        if len(ids) + 1 >= self.limit:
            raise TextError(
                f"{_short(whole)} is {len(ids) + 1} tokens, must be fewer than {self.limit}: "
                "split it into shorter sentences"
            )
        return Tokens(text=cleaned, ids=torch.tensor([ids], dtype=torch.int64)), ends

    def letters(self, ids: Sequence[int]) -> list[int]:
        """Return the number of letters and digits of each token; 0 for spaces, marks and special tokens."""
        pieces = ((self._encoder.id_to_token(identity) or "") for identity in ids)
        return [0 if piece.startswith("[") else sum(map(str.isalnum, piece)) for piece in pieces]

    def decode(self, ids: Sequence[int]) -> str:
        """Convert ids back to cleaned text; [STOP] and [UNK] are left out."""
        pieces = (self._encoder.id_to_token(identity) or "" for identity in ids if identity not in self._silent)
        return "".join(" " if piece == SPACE else piece for piece in pieces)


def _load(path: Path) -> tokenizers.Tokenizer:
    import tokenizers

    try:
        if path.stat().st_size > MOST_BYTES:
            raise ModelError(f"{path} has over {MOST_BYTES} bytes, more than any tokenizer", file=path)
        encoder = tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8"))
        encoder.no_padding()  # a file may ask for rows of any length, which the models never want
        encoder.no_truncation()
        encoder.encode(f"a{SPACE}b", add_special_tokens=False)
        if encoder.get_vocab_size(with_added_tokens=False) == 0:
            raise ModelError(f"{path} has an empty vocabulary: give the model's tokenizer JSON file", file=path)
        return encoder
    except ModelError:
        raise
    except FileNotFoundError:
        raise ModelError(f"no tokenizer at {path}: give the model's tokenizer JSON file", file=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot read the tokenizer {path}: {error}", file=path) from error
    except Exception as error:  # the library raises a bare Exception for bad JSON
        raise ModelError(
            f"{path} is not a Hugging Face tokenizers file for text: {str(error)[:300]}", file=path
        ) from error


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
