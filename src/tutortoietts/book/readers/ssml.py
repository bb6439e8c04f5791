"""SSML 1.1, the part of it that this engine can honour, to a `Document`.

Text is cut into blocks wherever voice, rate, volume, a break or a mark changes what is heard. What cannot be honoured
keeps its text and costs one warning a kind; markup that is broken is an error with line and column.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tutortoietts.book.document import Alias, Block, Chapter, Document
from tutortoietts.book.pauses import Pauses
from tutortoietts.book.readers.options import ReadOptions
from tutortoietts.book.readers.xml import local, parse_xml
from tutortoietts.core.errors import BookError
from tutortoietts.text.natural import normalize
from tutortoietts.text.respell import ALPHABETS, respell

__all__ = ["SSML_TAGS", "parse_ssml", "read_ssml"]

STRENGTHS = {"none": 0.0, "x-weak": 0.1, "weak": 0.25, "medium": 0.5, "strong": 1.0, "x-strong": 1.6}
RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.5}
VOLUMES = {"silent": -60.0, "x-soft": -12.0, "soft": -6.0, "medium": 0.0, "default": 0.0, "loud": 4.0, "x-loud": 6.0}
LONGEST_BREAK = 10.0
SSML_TAGS = frozenset(
    "speak p s break sub say-as prosody voice mark emphasis lang phoneme audio desc metadata meta".split()
)
_TIME = re.compile(r"\+?(\d+(?:\.\d+)?)(ms|s)")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")
_DECIBELS = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*dB", re.IGNORECASE)
_DIGITS = "zero one two three four five six seven eight nine".split()
_MONTHS = "January February March April May June July August September October November December".split()


@dataclass(frozen=True, slots=True)
class _Style:
    voice: str = ""
    rate: float = 1.0
    volume: float = 0.0
    language: str = ""


def read_ssml(path: Path, options: ReadOptions) -> Document:
    """Return the document in an SSML file. Raises BookError with line and column when it is not well-formed."""
    document = parse_ssml(path.read_bytes(), str(path), options)
    document.metadata.title = path.stem
    return document


def parse_ssml(data: bytes, name: str = "the SSML text", options: ReadOptions | None = None) -> Document:
    """Return the document in SSML bytes. Raises BookError for markup that is broken or has values out of range."""
    root = parse_xml(data, name)
    if local(root) != "speak":
        raise BookError(f"{name} begins with <{local(root)}>, SSML must begin with <speak>")
    reader = _Reader(name, (options or ReadOptions()).audio_dir)
    reader.walk(root, _Style(language=_language(root)))
    reader.end_block(ends="p")
    blocks = reader.finished()
    document = Document(source=name, form="ssml", chapters=[Chapter(blocks=blocks)], warnings=reader.warnings)
    document.metadata.language = _language(root)
    if not any(block.text or block.audio for block in blocks):
        raise BookError(f"{name} holds no text to speak")
    return document


class _Reader:
    def __init__(self, name: str, audio_dir: str) -> None:
        self.name, self.audio_dir = name, audio_dir
        self.warnings: list[str] = []
        self._blocks: list[tuple[Block, str]] = []  # and what ends with it: "s" a sentence, "p" a paragraph
        self._pieces: list[tuple[str, str | None, str]] = []  # shown, spoken if that is another, language
        self._style = _Style()
        self._mark = ""

    def finished(self) -> list[Block]:
        """The blocks; where a paragraph goes on in the next one, the pause is what markup says, or short."""
        if self._mark:
            self._warn(f"the mark {self._mark!r} after the last word is left out")
        usual = {"": 0.0, "s": Pauses().sentence, "p": None}
        return [
            replace(block, number=i, pause=usual[ends] if block.pause is None else block.pause)
            for i, (block, ends) in enumerate(self._blocks)
        ]

    def walk(self, element: Any, style: _Style) -> None:
        tag = local(element)
        handler: Callable[[Any, _Style], _Style | None] | None = {
            "break": self._break, "sub": self._sub, "say-as": self._say_as, "prosody": self._prosody,
            "voice": self._voice, "mark": self._set_mark, "phoneme": self._phoneme, "audio": self._audio,
            "metadata": self._nothing, "meta": self._nothing, "desc": self._nothing,
        }.get(tag)  # fmt: skip
        inner: _Style | None = style
        if handler is not None:
            inner = handler(element, style)
        elif tag not in SSML_TAGS:
            self._warn(f"<{tag}> is not known: its text is spoken")
        elif tag == "emphasis":
            self._warn(f"<{tag}> cannot be honoured: its text is spoken as it is")
        if inner is None:
            return
        cut = tag in ("p", "s") or inner != style
        inner = replace(inner, language=_language(element) or style.language)
        if cut:
            self.end_block(ends="p" if tag == "p" else "")
        self._add(element.text, inner)
        for child in element:
            if isinstance(child.tag, str):
                self.walk(child, inner)
            self._add(child.tail, inner)
        if cut:
            self.end_block(ends=tag if tag in ("p", "s") else "")

    def end_block(self, pause: float | None = None, *, ends: str = "") -> None:
        """End the block in the making. pause: seconds of silence after it; ends: "s" a sentence, "p" a paragraph."""
        text, aliases, marked = "", [], list[tuple[int, int, str]]()
        for piece, spoken, language in self._pieces:
            shown = re.sub(r"\s+", " ", piece)
            shown = shown.lstrip() if not text or text.endswith(" ") else shown
            if spoken is not None:
                aliases.append(Alias(len(text), len(text) + len(shown.rstrip()), spoken))
            if language != self._pieces[0][2]:
                marked.append((len(text), len(text) + len(shown), language))
            text += shown
        if text.rstrip():
            style, length = self._style, len(text.rstrip())
            block = Block(
                kind="para", text=text.rstrip(), voice=style.voice, rate=style.rate, volume=style.volume, pause=pause,
                aliases=tuple(aliases), mark=self._mark, language=self._pieces[0][2],
                languages=tuple((start, min(end, length), tag) for start, end, tag in marked if start < length),
            )  # fmt: skip
            self._blocks.append((block, ends))
            self._mark = ""
        elif self._blocks:
            block, before = self._blocks[-1]
            if pause is not None:
                block = replace(block, pause=(block.pause or 0.0) + pause)
            self._blocks[-1] = (block, max(before, ends, key=("", "s", "p").index))
        elif pause:
            self._warn("a break before the first word is left out")
        self._pieces = []

    def _add(self, text: str | None, style: _Style, spoken: str | None = None) -> None:
        if not text or (not text.strip() and not self._pieces):
            return
        self._style = style
        self._pieces.append((text, spoken, style.language))

    def _break(self, element: Any, style: _Style) -> None:
        time, strength = element.get("time"), element.get("strength", "medium")
        if time is not None:
            match = _TIME.fullmatch(time.strip())
            seconds = float(match.group(1)) / (1000 if match.group(2) == "ms" else 1) if match else -1.0
        else:
            seconds = STRENGTHS.get(strength, -1.0)
        if not 0 <= seconds <= LONGEST_BREAK:
            raise self._error(element, f"break of {time or strength!r} must be 0 to 10 s, or none, x-weak ... x-strong")
        self.end_block(seconds)

    def _sub(self, element: Any, style: _Style) -> None:
        alias = " ".join((element.get("alias") or "").split())
        if not alias:
            raise self._error(element, "sub needs an alias")
        self._add("".join(element.itertext()), style, alias)

    def _say_as(self, element: Any, style: _Style) -> None:
        kind, text = element.get("interpret-as", ""), " ".join("".join(element.itertext()).split())
        spoken = _said_as(kind, text, element.get("format", ""))
        if spoken is None:
            self._warn(f"say-as {kind!r} is not known: its text is spoken as it is")
        self._add(text, style, spoken)

    def _phoneme(self, element: Any, style: _Style) -> None:
        alphabet = element.get("alphabet", "ipa").lower()
        spelt = respell(element.get("ph") or "", alphabet) if alphabet in ALPHABETS else None
        if spelt is None:
            self._warn("a phoneme that cannot be put into English letters: its text is spoken as it is")
        else:
            self._warn("phonemes are said about so: the model reads letters, and gets the nearest English spelling")
        self._add(" ".join("".join(element.itertext()).split()), style, spelt)

    def _audio(self, element: Any, style: _Style) -> _Style | None:
        """A sound file in a block of its own; where it cannot be played, SSML has the text inside spoken."""
        source, reason = element.get("src") or "", ""
        path = (Path(self.audio_dir or ".") / source).resolve()
        if not self.audio_dir:
            reason = "sounds are played only from the folder of --audio-dir"
        elif "://" in source or not path.is_relative_to(Path(self.audio_dir).resolve()):
            reason = "sounds are files in the folder of --audio-dir, never elsewhere"
        elif not path.is_file():
            reason = f"there is no such file in {self.audio_dir}"
        text = " ".join("".join(element.itertext()).split())
        if reason:
            if not text:
                raise self._error(element, f"audio {source!r}: {reason}")
            self._warn(f"audio {source!r}: {reason}; the text inside is spoken")
            return style
        self.end_block()
        block = Block(kind="para", text=text, audio=str(path), rate=style.rate, volume=style.volume, mark=self._mark)
        self._blocks.append((block, ""))
        self._mark = ""
        return None

    def _prosody(self, element: Any, style: _Style) -> _Style:
        for name in ("pitch", "range", "contour", "duration"):
            if element.get(name) is not None:
                self._warn(f"prosody {name} cannot be honoured: the text is spoken as it is")
        rate, volume = style.rate, style.volume
        if (given := element.get("rate")) is not None:
            match = _PERCENT.fullmatch(given.strip())
            own = float(match.group(1)) / 100 if match else RATES.get(given.strip(), 0.0)
            rate *= own
            if not 0.5 <= own <= 2 or not 0.25 <= rate <= 4:
                raise self._error(element, f"prosody rate {given!r} must be 50% to 200%, or x-slow ... x-fast")
        if (given := element.get("volume")) is not None:
            match = _DECIBELS.fullmatch(given.strip())
            if match is None and given.strip() not in VOLUMES:
                raise self._error(element, f"prosody volume {given!r} must be like +6dB, or silent, x-soft ... x-loud")
            volume += float(match.group(1)) if match else VOLUMES[given.strip()]
            if not -60 <= volume <= 20:
                raise self._error(element, f"prosody volume {given!r} is out of -60 to +20 dB")
        return replace(style, rate=rate, volume=volume)

    def _voice(self, element: Any, style: _Style) -> _Style:
        name = (element.get("name") or "").strip()
        if not name:
            self._warn("voice without a name: its text is spoken by the voice around it")
            return style
        return replace(style, voice=name)

    def _set_mark(self, element: Any, style: _Style) -> None:
        self.end_block()
        self._mark = element.get("name", "")

    def _nothing(self, element: Any, style: _Style) -> None:
        return None

    def _warn(self, line: str) -> None:
        if line not in self.warnings:
            self.warnings.append(line)

    def _error(self, element: Any, line: str) -> BookError:
        return BookError(f"{self.name}, line {element.sourceline}: {line}")


def _said_as(kind: str, text: str, form: str) -> str | None:
    """How a text is said when it is of a kind; None for an unknown kind."""
    if kind in ("characters", "spell-out", "verbatim"):
        return ", ".join(_DIGITS[int(c)] if c.isdigit() and c.isascii() else c for c in text if not c.isspace())
    if kind == "digits":
        return " ".join(_DIGITS[int(c)] if c.isdigit() and c.isascii() else c for c in text if not c.isspace())
    if kind == "telephone":
        groups = [" ".join(_DIGITS[int(c)] for c in group) for group in re.findall(r"[0-9]+", text)]
        return ", ".join(groups)
    if kind in ("cardinal", "number"):
        return normalize(re.sub(r"(?<=\d)[ _](?=\d)", "", text)).text
    if kind == "ordinal":
        bare = text.rstrip(".")
        return normalize(f"{bare}{_suffix(int(bare))}" if bare.isdigit() else text).text
    if kind == "date":
        return normalize(_date(text, form)).text
    if kind in ("fraction", "time", "currency", "unit"):
        return normalize(text).text
    return None


def _suffix(number: int) -> str:
    return "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def _date(text: str, form: str) -> str:
    """A date of numbers as "March 4, 1984", by its format ("dmy", "mdy", "ymd", "dm", "my" ...)."""
    parts = re.findall(r"\d+", text)
    if not form or len(parts) != len(form) or set(form) - set("dmy"):
        return text
    values = dict(zip(form, parts, strict=True))
    month = int(values.get("m", 0))
    if "m" in values and not 1 <= month <= 12:
        return text
    named = _MONTHS[month - 1] if "m" in values else ""
    day = values.get("d", "")
    year = values.get("y", "")
    return f"{named} {int(day)}".strip() + (f", {year}" if year else "") if day else f"{named} {year}".strip()


def _language(element: Any) -> str:
    return element.get("{http://www.w3.org/XML/1998/namespace}lang") or ""
