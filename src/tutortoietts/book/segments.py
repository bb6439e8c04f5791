"""Blocks to segments: stretches of one block and one voice that are spoken in one go, and the pauses after them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tutortoietts.book.casting import Cast
from tutortoietts.book.document import Block
from tutortoietts.book.pauses import Pauses
from tutortoietts.book.sentences import clauses, sentences
from tutortoietts.text.normalize import is_sayable

__all__ = ["SHORT", "Piece", "cut_block", "pauses_after"]

SHORT = 12  # characters: shorter texts are joined to a neighbour, as they are often misread alone
MOST = 1.5  # times the desired length: no piece is longer

_ENDED = re.compile(r"[.!?…。\uff01\uff1f][\"'”’»)\]]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """text[start:end] of a block, said by `speaker`; `closes`: it ends a sentence, not only a part of one.

    language: "" for the book's.
    """

    start: int
    end: int
    speaker: str
    closes: bool = True
    language: str = ""


def cut_block(
    block: Block, cast: Cast, chapter: int, desired: int, said: Mapping[int, str] | None = None,
    languages: Sequence[tuple[int, int, str]] = (),
) -> list[Piece]:  # fmt: skip
    """Return the pieces of a block: about `desired` characters, cut at sentences, else clauses, else words.

    said: characters who say quotations, by where these begin. languages: (start, end, language) of all stretches of the
    text; none: all of it is in the book's.

    Together they hold every character of the block that is not white space. Pieces without anything to say stay joined
    to their neighbours.
    """
    if block.audio:
        return [Piece(start=0, end=len(block.text), speaker="")]
    pieces: list[Piece] = []
    for start, end, speaker in cast.spans(block.text, block.kind, chapter, said):
        for a, b, language in _within(block.text, start, end, languages):
            own = list(_speaker_pieces(block.text, a, b, speaker, desired))
            if own and b < end:  # the sentence may go on in the next language
                own[-1] = replace(own[-1], closes=bool(_ENDED.search(block.text, a, own[-1].end)))
            pieces += [replace(piece, language=language) for piece in own]
    return _joined(block.text, pieces, desired)


def pauses_after(blocks: list[Block], cut: list[list[Piece]], pauses: Pauses) -> list[list[float]]:
    """Return the seconds of silence after every piece of every block of a chapter; the last is its tail."""
    out: list[list[float]] = []
    for i, (block, pieces) in enumerate(zip(blocks, cut, strict=True)):
        after = _pause_after(blocks, cut, i, pauses) if block.pause is None else block.pause
        inner = [pauses.sentence if piece.closes else pauses.inside for piece in pieces[:-1]]
        out.append([*inner, after] if pieces else [])
    return out


def _pause_after(blocks: list[Block], cut: list[list[Piece]], i: int, pauses: Pauses) -> float:
    """The pause between block i and the next block that is spoken, scene breaks between them counted."""
    kind = blocks[i].kind
    for j in range(i + 1, len(blocks)):
        if blocks[j].kind == "scene":
            return pauses.scene
        if cut[j]:
            dialogue = cut[i] and _quoted(blocks[i].text) and _quoted(blocks[j].text)
            return pauses.between(kind, blocks[j].kind, dialogue=bool(dialogue))
    return pauses.tail


def _quoted(text: str) -> bool:
    return text[:1] in '“"«„‘'


def _speaker_pieces(text: str, start: int, end: int, speaker: str, desired: int) -> Iterator[Piece]:
    """Sentences of one speaker, gathered up to the desired length; what is longer than the limit is divided."""
    ranges = [(start + a, start + b) for a, b in sentences(text[start:end])]
    first = last = -1
    for a, b in ranges:
        if first >= 0 and b - first > desired:
            yield from _divided(text, first, last, speaker, desired)
            first = -1
        first, last = (a if first < 0 else first), b
    if first >= 0:
        yield from _divided(text, first, last, speaker, desired)


def _within(
    text: str, start: int, end: int, languages: Sequence[tuple[int, int, str]]
) -> Iterator[tuple[int, int, str]]:
    """The stretches of text[start:end] in one language each, without the spaces at their ends."""
    if len(languages) < 2:
        yield start, end, languages[0][2] if languages else ""
        return
    for first, last, language in languages:
        a, b = max(start, first), min(end, last)
        if own := text[a:b].strip():
            a += text[a:b].index(own)
            yield a, a + len(own), language


def _divided(text: str, start: int, end: int, speaker: str, desired: int) -> Iterator[Piece]:
    if end - start <= MOST * desired:
        yield Piece(start=start, end=end, speaker=speaker)
        return
    parts = [part for a, b in clauses(text, start, end) for part in _words(text, a, b, desired)]
    first, last = parts[0]
    for a, b in parts[1:]:
        if b - first > desired:
            yield Piece(start=first, end=last, speaker=speaker, closes=False)
            first = a
        last = b
    yield Piece(start=first, end=last, speaker=speaker)


def _words(text: str, start: int, end: int, desired: int) -> Iterator[tuple[int, int]]:
    """Parts of at most the desired length, cut between words, or within a word that alone is longer."""
    while end - start > desired:
        cut = text.rfind(" ", start + 1, start + desired + 1)
        cut = start + desired if cut <= start else cut
        yield start, cut
        start = cut + 1 if text[cut : cut + 1] == " " else cut
    if start < end:
        yield start, end


def _joined(text: str, pieces: list[Piece], desired: int) -> list[Piece]:
    """Pieces too short to be said alone are put to a neighbour of the same speaker, unsayable ones to any."""
    out: list[Piece] = []
    for piece in pieces:
        if out and _wants(text, out[-1], piece, desired):
            louder = _louder(text, out[-1], piece)
            out[-1] = replace(louder, start=out[-1].start, end=piece.end, closes=piece.closes)
        else:
            out.append(piece)
    return [piece for piece in out if is_sayable(text[piece.start : piece.end])] if len(out) == 1 else out


def _wants(text: str, before: Piece, piece: Piece, desired: int) -> bool:
    said = [text[p.start : p.end] for p in (before, piece)]
    if not all(map(is_sayable, said)):
        return True
    if (before.speaker, before.language) != (piece.speaker, piece.language):
        return False
    return min(map(len, said)) < SHORT and piece.end - before.start <= MOST * desired


def _louder(text: str, before: Piece, piece: Piece) -> Piece:
    return before if is_sayable(text[before.start : before.end]) else piece
