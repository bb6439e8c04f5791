"""The language of each stretch of a book: its own, or another one of the model's where the text is marked as such."""

from __future__ import annotations

from tutortoietts.book.document import Block
from tutortoietts.book.speaker import Speaker

__all__ = ["Languages"]

_UNDETERMINED = frozenset(("", "und", "mul", "mis", "zxx"))


class Languages:
    """Finds the language that marked text is spoken in. `warnings`: a line for each that the model does not speak.

    declared: the language that the document says it is in. Text marked with it, with the speaker's own, or with a
    variety of either ("en-GB" in a book in "en-US") is in the book's language.
    """

    def __init__(self, speaker: Speaker, declared: str = "") -> None:
        self._speaker = speaker
        self._own = {_first(speaker.language), _first(declared)} | _UNDETERMINED
        self._known: dict[str, str] = {}
        for tag in speaker.languages:
            self._known[tag.lower()] = tag
            self._known.setdefault(_first(tag), tag)
        self.warnings: list[str] = []

    def of(self, tag: str) -> str:
        """Return the model's tag of a language, "" where it is the book's or unknown to the model."""
        tag = tag.strip().lower().replace("_", "-")
        if _first(tag) in self._own:
            return ""
        found = self._known.get(tag) or self._known.get(_first(tag))
        if found is None:
            known = ", ".join(self._speaker.languages)
            line = f"text marked as {tag!r} is spoken in {self._speaker.language!r}: the model speaks {known}"
            if line not in self.warnings:
                self.warnings.append(line)
        return found or ""

    def ranges(self, block: Block) -> list[tuple[int, int, str]]:
        """Return (start, end, language) of the stretches of a block's text, of which no two neighbours are equal."""
        marked: list[tuple[int, int, str]] = []
        at = 0
        for start, end, tag in block.languages:
            marked += [(at, start, block.language), (start, end, tag)]
            at = end
        marked.append((at, len(block.text), block.language))
        found: list[tuple[int, int, str]] = []
        for start, end, tag in marked:
            language = self.of(tag) if block.text[start:end].strip() else found[-1][2] if found else None
            if language is None:
                continue
            if found and found[-1][2] == language:
                found[-1] = (found[-1][0], end, language)
            else:
                found.append((start if found else 0, end, language))
        return found


def _first(tag: str) -> str:
    return tag.lower().replace("_", "-").partition("-")[0]
