"""Text that comes in pieces, cut into what can be spoken: a first clause early, then sentences."""

from __future__ import annotations

import re

__all__ = ["GRANULARITIES", "Clauses"]

GRANULARITIES = ("none", "sentence", "clause")
FIRST_LEAST = 15  # characters before the first clause may go
FIRST_MOST = 80  # and after which it goes at a space
LONGEST = 400  # of a sentence without an end
_SENTENCE = re.compile(r"[.!?…。！？]+[\"'”’)\]]*(?=\s)|\n{2,}|\n(?=\s*[-*•\d])")  # noqa: RUF001
_CLAUSE = re.compile(r"[.!?…,;:—。！？，；：]+[\"'”’)\]]*(?=\s)|\n")  # noqa: RUF001
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:mr|mrs|ms|dr|prof|sr|jr|st|vs|e\.g|i\.e|etc|no|fig|[a-z])\.$", re.IGNORECASE)


class Clauses:
    """Collects text and gives back what is ready. What it gives, joined, is the text."""

    def __init__(self, granularity: str = "clause") -> None:
        self._granularity, self._held, self._first = granularity, "", True

    def __len__(self) -> int:
        return len(self._held)

    def push(self, text: str) -> list[str]:
        """Add text; return the sentences or clauses that it completes."""
        self._held += text
        ready = []
        while self._granularity != "none" and (end := self._end()):
            ready.append(self._held[:end])
            self._held = self._held[end:]
            self._first = False
        return ready

    def flush(self) -> list[str]:
        """Return what is left; the next text is the first again."""
        rest, self._held, self._first = self._held, "", True
        return [rest] if rest.strip() else []

    def _end(self) -> int:
        """Return where the next piece ends, 0 if it has not ended yet."""
        early = self._first and self._granularity == "clause"
        least, most = (FIRST_LEAST, FIRST_MOST) if early else (2, LONGEST)
        for match in (_CLAUSE if early else _SENTENCE).finditer(self._held):
            if match.end() >= least and not _ABBREVIATION.search(self._held[max(0, match.start() - 8) : match.end()]):
                return match.end()
        if len(self._held) <= most:
            return 0
        return self._held.rfind(" ", least, most) + 1 or most
