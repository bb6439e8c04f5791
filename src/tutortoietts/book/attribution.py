"""Attribution of quotations to characters: by "said Holmes" in the same paragraph, else by turns where two people talk.

A guess has a confidence; the plan speaks with a character's voice only above `SURE`, and lists the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tutortoietts.book.sentences import quotations

__all__ = ["SURE", "Guess", "attribute", "speaker_named"]

SURE = 0.8
_SAME_PARAGRAPH, _TURN, _FADING = 0.95, 0.92, 0.97  # of a guess; by turns it fades with every further turn
_VERBS = (
    "said|says|asked|asks|replied|answered|cried|exclaimed|shouted|whispered|murmured|muttered|remarked|observed|returned|"
    "continued|added|called|began|suggested|insisted|inquired|enquired|demanded|laughed|sighed|growled|screamed|explained|"
    "repeated|responded|declared|admitted|agreed|interrupted|ejaculated|snapped|announced|protested|gasped|roared|"
    "concluded|went on|told|put in|pleaded|begged|warned|promised|sobbed|yelled|hissed|stammered|thought|urged|ordered"
)
_TITLE = (
    r"(?:(?:(?:Mr|Mrs|Ms|Dr|St|Prof|Capt|Col|Lt|Sgt)\.?|Miss|Sir|Lady|Lord|Captain|Colonel|Doctor|Inspector|Uncle|"
    r"Aunt)\s)?"
)
_NAME = _TITLE + r"[A-Z][\w’'-]*(?:\s(?:(?:of|de|von|van)\s)?[A-Z][\w’'-]*){0,2}"
_SAID_NAME = rf"(?:{_VERBS})(?:\s\w+ly)?\s(?:the\s)?(?P<said>{_NAME})"
_NAME_SAID = rf"(?:the\s)?(?P<name>{_NAME})\s(?:\w+ly\s|then\s|at\slast\s)?(?:{_VERBS})\b"
_AFTER = re.compile(rf"[\s,—–-]*(?:{_SAID_NAME}|{_NAME_SAID})")
_BEFORE = re.compile(rf"{_NAME_SAID}[^.!?“”\"]*[,:—–]\s*$")
_NOBODY = frozenset("I He She They We You It The This That There And But So Then".split())
_DIALOGUE = '“"«„‘'


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """Guess at who says a quotation: the name as written, and how sure that is, 0..1."""

    name: str
    confidence: float


def attribute(texts: Sequence[str]) -> list[dict[int, Guess]]:
    """Return, for each of the paragraphs of a chapter, the guesses by the place where a quotation begins.

    Quotations of which nothing is known are not in it.
    """
    spans = [quotations(text) for text in texts]
    named = [_in_paragraph(text, own) for text, own in zip(texts, spans, strict=True)]
    for step in (1, -1):
        order = range(len(texts)) if step > 0 else range(len(texts) - 1, -1, -1)
        _by_turns(texts, spans, named, order, step)
    return named


def speaker_named(name: str, speakers: Mapping[str, Iterable[str]]) -> str | None:
    """Return the speaker that a name in the text means: one whose name, or other name, has all of its words or is in
    it whole ("Mr. Holmes", "Sherlock Holmes": holmes); None if there is none, or more than one."""
    words = _words(name)
    found = [speaker for speaker, names in speakers.items() if any(_fits(words, _words(own)) for own in names)]
    return found[0] if len(found) == 1 else None


def _fits(words: set[str], own: set[str]) -> bool:
    return bool(words) and bool(own) and (own <= words or words <= own)


def _words(name: str) -> set[str]:
    titles = {"mr", "mrs", "ms", "miss", "dr", "sir", "lady", "lord", "the"}
    return {word for word in re.findall(r"[^\W_]+", name.lower()) if word not in titles}


def _in_paragraph(text: str, spans: Sequence[tuple[int, int, bool]]) -> dict[int, Guess]:
    """The quotations of one paragraph: named beside them, or by the only name that the paragraph gives to another."""
    found: dict[int, Guess] = {}
    quoted = [(start, end) for start, end, is_quoted in spans if is_quoted]
    for start, end in quoted:
        name = _named_after(text, end) or _named_before(text, start)
        if name:
            found[start] = Guess(name=name, confidence=1.0)
    names = {guess.name for guess in found.values()}
    if len(names) == 1:
        (name,) = names
        for start, _ in quoted:
            found.setdefault(start, Guess(name=name, confidence=_SAME_PARAGRAPH))
    return found


def _named_after(text: str, end: int) -> str:
    match = _AFTER.match(text, end)
    return _usable((match.group("said") or match.group("name")) if match else "")


def _named_before(text: str, start: int) -> str:
    match = _BEFORE.search(text, max(0, start - 200), start)
    return _usable(match.group("name") if match else "")


def _usable(name: str) -> str:
    return "" if name.split(" ")[0] in _NOBODY else name


def _by_turns(
    texts: Sequence[str], spans: Sequence[Sequence[tuple[int, int, bool]]], named: list[dict[int, Guess]],
    order: Iterable[int], step: int,
) -> None:  # fmt: skip
    """In a run of paragraphs of speech, two people alternate: who spoke the turn before the last speaks again."""
    turns: list[Guess | None] = []  # of the run so far
    for number in order:
        if texts[number][:1] not in _DIALOGUE or not spans[number]:
            turns = []
            continue
        starts = [start for start, _, is_quoted in spans[number] if is_quoted]
        before = number - 1
        if starts and not named[number] and step > 0 and before >= 0 and _goes_on(texts[before], spans[before]):
            for guess in list(named[before].values())[-1:]:
                named[number] = dict.fromkeys(starts, guess)
        after = number + 1
        if starts and not named[number] and step < 0 and after < len(texts) and _goes_on(texts[number], spans[number]):
            for guess in list(named[after].values())[:1]:
                named[number] = dict.fromkeys(starts, guess)
        if starts and not named[number] and len(turns) >= 2:
            again, last = turns[-2:]
            if again is not None and last is not None and again.name != last.name:
                confidence = round(min(_TURN, again.confidence) * _FADING, 3)
                if not _is_called(again.name, texts[number]):
                    named[number] = dict.fromkeys(starts, Guess(name=again.name, confidence=confidence))
        own = next(iter(named[number].values()), None)
        if not (before >= 0 and step > 0 and turns and _goes_on(texts[before], spans[before])):
            turns.append(own)


def _goes_on(text: str, spans: Sequence[tuple[int, int, bool]]) -> bool:
    """True where the last quotation of a paragraph is not closed: the next paragraph goes on with it."""
    return bool(spans) and spans[-1][2] and text.rstrip()[-1:] not in '”"»’'


def _is_called(name: str, text: str) -> bool:
    """True where the speech speaks to that name ("Is it, Watson?"), which hardly ever is its own speaker's."""
    last = name.split(" ")[-1]
    return bool(re.search(rf",\s(?:\w+\s)?{re.escape(last)}[,.!?”\"]|[“\"]{re.escape(last)},", text))
