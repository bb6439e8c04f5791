"""Casting of voices: a narrator, a voice for dialogue, and rules, from `--cast dialogue=NAME` or a file cast.toml.

[voices]
narrator = "rms"
dialogue = "slt"
[[rule]]
speaker = "holmes"
chapter = 3
regex = "^“Elementary"
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tutortoietts.book.sentences import quotations
from tutortoietts.core.errors import OptionError

__all__ = ["Cast", "Rule", "read_cast"]

NARRATOR, DIALOGUE = "narrator", "dialogue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Text that matches `regex`, in chapter `chapter` if given, is said by `speaker`."""

    speaker: str
    regex: str = ""
    chapter: int | None = None

    def applies(self, text: str, chapter: int) -> bool:
        """Return True when the rule is for this text of this chapter (counted from 1)."""
        return self.chapter in (None, chapter) and bool(re.search(self.regex, text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Speaker -> voice, and the rules. Without "dialogue" the narrator also reads what is quoted."""

    voices: dict[str, str] = field(default_factory=lambda: {NARRATOR: ""})
    rules: tuple[Rule, ...] = ()
    gains: dict[str, float] = field(default_factory=dict)

    def voice(self, speaker: str) -> str:
        """Return the voice of a speaker. Raises OptionError for an unknown one, with the nearest."""
        if speaker not in self.voices:
            near = get_close_matches(speaker, self.voices, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise OptionError(f"unknown speaker {speaker!r}{hint} (the cast has {', '.join(self.voices)})")
        return self.voices[speaker]

    def spans(self, text: str, kind: str, chapter: int) -> list[tuple[int, int, str]]:
        """Return (start, end, speaker) for the whole of a block's text."""
        speaker = next((rule.speaker for rule in self.rules if rule.applies(text, chapter)), None)
        if speaker is not None:
            return [(0, len(text), speaker)]
        if DIALOGUE not in self.voices or kind in ("heading", "code"):
            return [(0, len(text), NARRATOR)]
        return [(start, end, DIALOGUE if quoted else NARRATOR) for start, end, quoted in quotations(text)]


def read_cast(given: str, narrator: str) -> Cast:
    """Return the cast: `given` is "", "dialogue=VOICE" or a TOML file; `narrator` the voice of --voice.

    Raises OptionError naming the file and what is wrong.
    """
    if not given:
        return Cast(voices={NARRATOR: narrator})
    if given.startswith("dialogue="):
        return Cast(voices={NARRATOR: narrator, DIALOGUE: given.partition("=")[2]})
    path = Path(given)
    if not path.is_file():
        raise OptionError(f"--cast is {given!r}, must be dialogue=VOICE or a TOML file")
    toml = _toml()
    try:
        data = toml.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"--cast {given}: {error}") from error
    return _cast(data, given, narrator)


def _cast(data: dict[str, Any], name: str, narrator: str) -> Cast:
    if unknown := set(data) - {"voices", "rule", "gain"}:
        raise OptionError(f"--cast {name}: unknown part {min(unknown)!r}, there are [voices], [[rule]] and [gain]")
    voices = {NARRATOR: narrator, **data.get("voices", {})}
    if not all(isinstance(voice, str) for voice in voices.values()):
        raise OptionError(f'--cast {name}: every line of [voices] must be name = "voice"')
    rules = []
    for number, rule in enumerate(data.get("rule", []), 1):
        if unknown := set(rule) - {"speaker", "regex", "chapter"}:
            raise OptionError(f"--cast {name}: rule {number} has an unknown key {min(unknown)!r}")
        if not (rule.get("regex") or rule.get("chapter")):
            raise OptionError(f"--cast {name}: rule {number} needs a regex or a chapter")
        try:
            re.compile(rule.get("regex", ""))
        except re.error as error:
            raise OptionError(f"--cast {name}: rule {number}: {rule['regex']!r}: {error}") from None
        rules.append(Rule(speaker=rule.get("speaker", ""), regex=rule.get("regex", ""), chapter=rule.get("chapter")))
    cast = Cast(voices=voices, rules=tuple(rules), gains={k: float(v) for k, v in data.get("gain", {}).items()})
    for speaker in (*(rule.speaker for rule in rules), *cast.gains):
        cast.voice(speaker)
    return cast


def _toml() -> Any:
    for name in ("tomllib", "tomli"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise OptionError("--cast FILE needs the package tomli on Python 3.10: pip install tomli")
