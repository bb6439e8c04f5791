"""Casting of voices: a narrator, a voice for dialogue, characters by name, and rules, from `--cast dialogue=NAME` or a
file cast.toml.

[voices]
narrator = "joe"
dialogue = "clara"
holmes = "owen"                    # what "said Holmes", "Mr. Holmes cried" quotes, and his turns in a talk of two
[names]
holmes = ["Sherlock"]              # other names of his in the text
[[rule]]
speaker = "holmes"
chapter = 3
regex = "^“Elementary"
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tutortoietts.book.attribution import SURE, attribute, speaker_named
from tutortoietts.book.document import Block
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
    """Speaker -> voice, the rules, and further names of speakers. Without "dialogue" the narrator also reads what is
    quoted and not known to be a character's."""

    voices: dict[str, str] = field(default_factory=lambda: {NARRATOR: ""})
    rules: tuple[Rule, ...] = ()
    gains: dict[str, float] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def characters(self) -> dict[str, tuple[str, ...]]:
        """Speakers that are found by their names in the text, each with all of them."""
        own = [speaker for speaker in self.voices if speaker not in (NARRATOR, DIALOGUE)]
        return {speaker: (speaker, *self.names.get(speaker, ())) for speaker in own}

    def said_in(self, blocks: Sequence[Block]) -> tuple[list[dict[int, str]], list[str]]:
        """Return who says the quotations of each block of a chapter, by where they begin; and a line for each of which
        that is not sure enough, or whose speaker has no voice. Empty without characters."""
        characters = self.characters
        if not characters:
            return [{} for _ in blocks], []
        spoken = [block.text if block.kind not in ("heading", "code") else "" for block in blocks]
        found: list[dict[int, str]] = []
        lines: list[str] = []
        for text, guesses in zip(spoken, attribute(spoken), strict=True):
            found.append({})
            for start, guess in guesses.items():
                speaker = speaker_named(guess.name, characters)
                if speaker is not None and guess.confidence >= SURE:
                    found[-1][start] = speaker
                elif speaker is not None or guess.confidence == 1:
                    reason = "no voice in the cast" if speaker is None else f"sure by {guess.confidence:.0%} only"
                    lines.append(f"{text[start : start + 60]} is said by {guess.name}? ({reason})")
        return found, lines

    def voice(self, speaker: str) -> str:
        """Return the voice of a speaker. Raises OptionError for an unknown one, with the nearest."""
        if speaker not in self.voices:
            near = get_close_matches(speaker, self.voices, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise OptionError(f"unknown speaker {speaker!r}{hint} (the cast has {', '.join(self.voices)})")
        return self.voices[speaker]

    def spans(
        self, text: str, kind: str, chapter: int, said: Mapping[int, str] | None = None
    ) -> list[tuple[int, int, str]]:
        """Return (start, end, speaker) for the whole of a block's text. said: speakers by where quotations begin."""
        speaker = next((rule.speaker for rule in self.rules if rule.applies(text, chapter)), None)
        if speaker is not None:
            return [(0, len(text), speaker)]
        if not (said or DIALOGUE in self.voices) or kind in ("heading", "code"):
            return [(0, len(text), NARRATOR)]
        others = DIALOGUE if DIALOGUE in self.voices else NARRATOR
        speakers = said or {}
        return [
            (start, end, speakers.get(start, others) if quoted else NARRATOR) for start, end, quoted in quotations(text)
        ]


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
    if unknown := set(data) - {"voices", "names", "rule", "gain"}:
        known = "[voices], [names], [[rule]] and [gain]"
        raise OptionError(f"--cast {name}: unknown part {min(unknown)!r}, there are {known}")
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
    names = {
        speaker: tuple([given] if isinstance(given, str) else given) for speaker, given in data.get("names", {}).items()
    }
    gains = {k: float(v) for k, v in data.get("gain", {}).items()}
    cast = Cast(voices=voices, rules=tuple(rules), gains=gains, names=names)
    for speaker in (*(rule.speaker for rule in rules), *cast.gains, *names):
        cast.voice(speaker)
    return cast


def _toml() -> Any:
    for name in ("tomllib", "tomli"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise OptionError("--cast FILE needs the package tomli on Python 3.10: pip install tomli")
