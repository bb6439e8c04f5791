"""Words that will be spoken, passage by passage, beside the text as written."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypedDict

from tutortoietts.core.errors import TextError
from tutortoietts.text.brackets import Passage, parse_brackets
from tutortoietts.text.natural import normalize_passage
from tutortoietts.text.plain import plain_links
from tutortoietts.text.split import DESIRED_LENGTH, MAX_LENGTH, passages
from tutortoietts.text.traced import Traced

__all__ = ["SaidAs", "said_as", "spoken_passages"]
_SPACED_MARK = re.compile(r"\s+(?=[.,;:!?](?:\s|$))")
_BRACKETS = re.compile(r"[\[\]]")


class SaidAs(TypedDict):
    """`text`: a passage as written; `spoken`: the words for it."""

    text: str
    spoken: str


def spoken_passages(
    text: str,
    *,
    language: str = "en",
    normalize: bool = True,
    redaction: bool = True,
    desired_length: int = DESIRED_LENGTH,
    max_length: int = MAX_LENGTH,
    count: Callable[..., int] | None = None,
    limit: int | None = None,
    clauses: bool = False,
) -> list[Passage]:
    """Return the passages to speak, those left out of which nothing would be heard.

    `normalize`: words of the `language` for numbers, symbols and abbreviations (`text.natural`); without it the text is
    left to the model's cleaner. `redaction`: text in brackets is hidden; without it brackets are left out. The
    rest as `text.split.passages`. Each passage knows where its words stand in `text` (`Passage.source`).
    Raises TextError, OptionError.
    """
    if not isinstance(text, str):
        raise TextError(f"text is a {type(text).__name__}, must be a str")
    passage = parse_brackets(text, natural=normalize) if redaction else _all_visible(text, links=normalize)
    if normalize:
        passage = normalize_passage(passage, language)
    parts = passages(
        passage,
        desired_length=desired_length,
        max_length=max_length,
        count=count,
        limit=limit,
        clauses=clauses,
        language=language,
    )
    return [part for part in parts if not all(hidden for _, hidden in part.pieces())]


def said_as(text: str, parts: Sequence[Passage], clean: Callable[[str], str] = str) -> list[SaidAs]:
    """Return passages of `text` as they are written and as they are heard, after `clean` (`Tokenizer.clean`).

    What is written is all of `text` up to the next passage, and a number that is cut stands in both; what is hidden in
    brackets is not heard.
    """
    edges = [part.source(0, len(part.text)) for part in parts]
    starts = [0, *(start for start, _ in edges[1:]), len(text)]
    said: list[SaidAs] = []
    for part, (_, last), (start, end) in zip(parts, edges, pairwise(starts), strict=True):
        heard = "".join(piece for piece, hidden in part.pieces() if not hidden)
        written = text[start : max(end, last)].strip()
        said.append({"text": written, "spoken": _SPACED_MARK.sub("", clean(heard)).strip()})
    return said


def _all_visible(text: str, *, links: bool) -> Passage:
    source = plain_links(Traced(text)) if links else Traced(text)
    plain = source.sub(_BRACKETS, " " if links else "")
    return Passage(text=plain.text, origin=plain)
