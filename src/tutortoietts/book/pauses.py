"""Silence between segments, in seconds, by what stands on its two sides."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tutortoietts.core.errors import OptionError

__all__ = ["PAUSES", "Pauses", "pauses_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """Seconds of silence. head and tail: at the start and end of a chapter; inside: where a sentence had to be cut."""

    inside: float = 0.15
    sentence: float = 0.35
    paragraph: float = 0.70
    dialogue: float = 0.45
    verse: float = 0.40
    item: float = 0.50
    heading: float = 1.0
    scene: float = 1.6
    head: float = 0.75
    tail: float = 2.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10:
                raise OptionError(f"pause {name} is {value!r}, must be a number of 0..10 (seconds)")

    def between(self, before: str, after: str, *, dialogue: bool = False) -> float:
        """Return the pause between two blocks of these kinds."""
        if "scene" in (before, after):
            return self.scene
        if "heading" in (before, after):
            return self.heading
        if before == after == "verse":
            return self.verse
        if before == after and before in ("item", "row"):
            return self.item
        return self.dialogue if dialogue else self.paragraph


PAUSES = {
    "book": Pauses(),
    "brisk": Pauses(
        inside=0.10, sentence=0.25, paragraph=0.45, dialogue=0.35, verse=0.30, item=0.35, heading=0.7, scene=1.0,
        head=0.5, tail=1.0,
    ),
}  # fmt: skip


def pauses_of(name: str) -> Pauses:
    """Return the pauses of a name, or of a JSON file {"sentence": 0.4, ...}. Raises OptionError for anything else."""
    if name in PAUSES:
        return PAUSES[name]
    path = Path(name)
    if not path.is_file():
        raise OptionError(f"--pauses is {name!r}, must be one of {', '.join(PAUSES)} or a JSON file")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"--pauses {name} is no JSON: {error}") from error
    known = [field.name for field in fields(Pauses)]
    if not isinstance(values, dict) or set(values) - set(known):
        raise OptionError(f"--pauses {name} must be an object with some of {', '.join(known)}")
    return Pauses(**values)
