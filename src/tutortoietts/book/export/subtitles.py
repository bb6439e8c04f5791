"""Subtitles and times: srt, vtt (with words), lrc, json. Times are seconds of the whole sound."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tutortoietts.book.export.words import ShownWord

__all__ = ["Cue", "Line", "cues", "to_json", "to_lrc", "to_srt", "to_vtt"]

LINE_CHARACTERS = 42
MOST_CHARACTERS = 2 * LINE_CHARACTERS
SHORTEST, LONGEST = 1.0, 7.0
GAP = 0.083
BREAK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A segment as heard: its words with times, and who says it ("" for the narrator)."""

    words: Sequence[ShownWord]
    speaker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """Text on the screen from `start` to `end`, its words, and the speaker."""

    start: float
    end: float
    words: Sequence[ShownWord]
    speaker: str = ""

    @property
    def text(self) -> str:
        """The text, in one line or two of about equal length."""
        return "\n".join(_lines([word.text for word in self.words]))


def cues(lines: Iterable[Line]) -> list[Cue]:
    """Return cues of one or two lines of 42 characters, at most 7 s, cut at sentences, else clauses; none overlap."""
    found: list[Cue] = []
    for line in lines:
        for words in _groups(list(line.words)):
            found.append(Cue(start=words[0].start, end=words[-1].end, words=words, speaker=line.speaker))
    return [_fitted(cue, found[i + 1].start if i + 1 < len(found) else None) for i, cue in enumerate(found)]


def to_srt(found: Sequence[Cue]) -> str:
    """Return SubRip text."""
    parts = (
        f"{i}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text}\n" for i, cue in enumerate(found, 1)
    )
    return "\n".join(parts)


def to_vtt(found: Sequence[Cue], *, words: bool = True) -> str:
    """Return WebVTT text, with the time of every word if `words`, the speaker as a voice tag."""
    parts = ["WEBVTT\n"]
    for cue in found:
        voice = f"<v {_escaped(cue.speaker)}>" if cue.speaker else ""
        text = _karaoke(cue) if words else _escaped(cue.text)
        parts.append(f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{voice}{text}\n")
    return "\n".join(parts)


def to_lrc(lines: Iterable[Line], tags: dict[str, str]) -> str:
    """Return enhanced LRC text: a line a segment, each word with its time; minutes may pass 99."""
    head = [f"[{key}:{value}]" for key, value in tags.items() if value]
    body = []
    for line in lines:
        if line.words:
            text = " ".join(f"<{_minutes(word.start)}>{word.text}" for word in line.words)
            body.append(f"[{_minutes(line.words[0].start)}]{text}")
    return "\n".join([*head, *body]) + "\n"


def to_json(
    words: Sequence[ShownWord],
    *,
    text: str,
    sample_rate: int,
    duration: float,
    marks: Mapping[str, float] | None = None,
) -> str:
    """Return the times of one text as JSON; marks: seconds of those of markup, by name."""
    value: dict[str, object] = {
        "version": 1,
        "sample_rate": sample_rate,
        "duration": round(duration, 3),
        "method": "attention" if any(word.confidence > 0 for word in words) else "length",
        "text": text,
        "words": [word_values(word) for word in words],
    }
    if marks:
        value["marks"] = [{"name": name, "time": round(seconds, 3)} for name, seconds in marks.items()]
    return json.dumps(value, ensure_ascii=False) + "\n"


def word_values(word: ShownWord) -> dict[str, object]:
    """Return a word as values for JSON."""
    return {
        "text": word.text, "start": round(word.start, 3), "end": round(word.end, 3), "chars": list(word.chars),
        "confidence": round(word.confidence, 3),
    }  # fmt: skip


def _groups(words: list[ShownWord]) -> Iterator[list[ShownWord]]:
    """Words in groups that fit a cue, cut at the best place before they no longer do."""
    start = 0
    while start < len(words):
        end = start
        while end < len(words) and _fits(words[start : end + 1]):
            end += 1
        end = max(end, start + 1)
        if end < len(words):
            end = _best_end(words, start, end)
        yield words[start:end]
        start = end


def _fits(words: list[ShownWord]) -> bool:
    if len(words) > 1 and words[-1].start - words[-2].end > BREAK_SECONDS:
        return False
    return len(_lines([w.text for w in words])) <= 2 and words[-1].end - words[0].start <= LONGEST


def _best_end(words: list[ShownWord], start: int, end: int) -> int:
    """The last end of a sentence in the second half, else of a clause, else where two equal parts are left."""
    for marks in (".!?…", ",;:—–"):
        for i in range(end - 1, start + (end - start) // 2, -1):
            if words[i].text.rstrip("\"'”’»)")[-1:] in marks:
                return i + 1
    rest = words[start:]
    if len(_lines([word.text for word in rest])) <= 4 and rest[-1].end - rest[0].start <= 2 * LONGEST:
        return min(end, start + (len(rest) + 1) // 2)
    return end


def _fitted(cue: Cue, following: float | None) -> Cue:
    """A cue at least a second long where the next one leaves the room."""
    end = max(cue.end, cue.start + SHORTEST)
    if following is not None and following - GAP < end:
        end = max(cue.start + 0.001, min(end, following - GAP), min(cue.end, following))
    return Cue(start=cue.start, end=end, words=cue.words, speaker=cue.speaker)


def _lines(words: list[str]) -> list[str]:
    """Words in lines of at most 42 characters; two lines are made about equal."""
    text = " ".join(words)
    if len(text) <= LINE_CHARACTERS:
        return [text]
    gaps = [i for i, char in enumerate(text) if char == " "]
    halves = [i for i in gaps if i <= LINE_CHARACTERS and len(text) - i - 1 <= LINE_CHARACTERS]
    if halves:
        cut = min(halves, key=lambda i: abs(2 * i + 1 - len(text)))
        return [text[:cut], text[cut + 1 :]]
    lines, line = [], ""
    for word in words:
        if line and len(line) + 1 + len(word) > LINE_CHARACTERS:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line]


def _karaoke(cue: Cue) -> str:
    breaks = len(cue.text.split("\n")[0].split())
    pieces = []
    for i, word in enumerate(cue.words):
        gap = "" if i == 0 else ("\n" if i == breaks else " ")
        time = f"<{_clock(word.start, '.')}>" if cue.start < word.start < cue.end else ""
        pieces.append(f"{gap}{time}{_escaped(word.text)}")
    return "".join(pieces)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float, mark: str) -> str:
    """HH:MM:SS and milliseconds; hours may pass 99."""
    whole = round(seconds * 1000)
    minutes, milliseconds = divmod(whole, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}{mark}{milliseconds % 1000:03d}"


def _minutes(seconds: float) -> str:
    hundredths = round(seconds * 100)
    return f"{hundredths // 6000:02d}:{hundredths // 100 % 60:02d}.{hundredths % 100:02d}"
