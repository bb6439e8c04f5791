"""The body of an XHTML or HTML tree as blocks, each character once or listed as dropped.

walk = BodyWalker("ch1.xhtml", rules)
walk.run(root)
walk.blocks, walk.notes, walk.dropped, walk.anchors
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tutortoietts.book.document import Block, Dropped
from tutortoietts.book.readers.xml import local

__all__ = [
    "INVISIBLE",
    "NOTE_MARK",
    "BodyWalker",
    "Origin",
    "Rules",
    "Run",
    "collapse",
    "is_ornament",
    "origins",
    "spoken_strings",
    "types_of",
]

INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
_SILENT = frozenset("script style head template noscript object iframe audio video map math-alt metadata defs".split())
_READINGS = frozenset(("rt", "rp"))
_BLOCKS = {
    **{f"h{i}": "heading" for i in range(1, 7)},
    **dict.fromkeys(("p", "div", "section", "article", "body", "main", "header", "footer", "nav", "aside", "center",
                     "address", "details", "summary", "form", "fieldset", "html", "hgroup"), ""),
    "blockquote": "quote", "li": "item", "dt": "item", "dd": "item", "tr": "row", "pre": "code",
    "figure": "figure", "figcaption": "figure", "svg": "figure", "caption": "figure", "legend": "",
    **dict.fromkeys(("ul", "ol", "dl", "table", "tbody", "thead", "tfoot"), ""),
}  # fmt: skip
_NOTE = frozenset("footnote endnote rearnote doc-footnote doc-endnote".split())
_NOTES = frozenset("footnotes endnotes rearnotes doc-endnotes".split())
_INLINE = frozenset("span b strong big font em i small".split())
_VERSE = re.compile(r"(^|[\s_-])(verse|poem|poetry|stanza|lg)([\s_-]|$)|z3998:(poem|verse)", re.IGNORECASE)
_BREAK_NAME = re.compile(r"scene|break|divider|ornament|separator|fleuron|asterism", re.IGNORECASE)
_DROP_NAME = re.compile(r"drop|initial|first-?letter|cap\b", re.IGNORECASE)
_ORNAMENT = re.compile(r"[^\w\s\"'“”‘’?!.…]{1,12}")
NOTE_MARK = re.compile(r"[\[(]?\s*(\d{1,4}|[*†‡§¶]+|[a-z])\s*[\])]?[.:]?|[↑↩⏎^←]\ufe0e?")
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_EPUB = "{http://www.idpf.org/2007/ops}type"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
VERSE_LINE = 70


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of source text: the element that holds it, as its "text" or its "tail"; None for text put in."""

    text: str
    element: Any = None
    where: str = ""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of one character: offset in the `where` ("text" or "tail") of `element`."""

    element: Any
    where: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Rules for reading a body. `is_noteref(element)` and `is_note(id)` answer for links without semantics."""

    alt: bool = False
    trace: bool = False
    cuts: frozenset[str] = frozenset()
    is_noteref: Callable[[Any], str | None] = lambda element: None
    is_note: Callable[[str], bool] = lambda name: False


@dataclass(slots=True)
class _Context:
    kind: str
    level: int = 0
    path: str = ""
    language: str = ""
    verse: bool = False
    note: str | None = None


def collapse(runs: list[Run]) -> str:
    """Return the text of `runs` with single spaces and without invisible characters."""
    return " ".join("".join(run.text for run in runs).translate(INVISIBLE).split())


def origins(runs: list[Run]) -> list[Origin | None]:
    """Return the origin of every character of `collapse(runs)`; None for what the reader put in."""
    kept: list[tuple[str, Origin | None]] = []
    for run in runs:
        for offset, char in enumerate(run.text):
            if ord(char) in INVISIBLE:
                continue
            origin = None if run.element is None else Origin(run.element, run.where, run.offset + offset)
            if char.isspace():
                if kept and kept[-1][0] != " ":
                    kept.append((" ", origin))
            else:
                kept.append((char, origin))
    if kept and kept[-1][0] == " ":
        kept.pop()
    return [origin for _, origin in kept]


def is_ornament(text: str) -> bool:
    """Return True for text that only marks a break: "***", "* * *", "~"."""
    return bool(_ORNAMENT.fullmatch("".join(text.split())))


def types_of(element: Any) -> set[str]:
    """Return the words of an element's `epub:type`."""
    return set((element.get(_EPUB) or element.get("epub:type") or "").split())


@dataclass(slots=True)
class BodyWalker:
    """Walks one tree and collects its blocks; see the module.

    notes: blocks of each note by its id; note_marks: (block that holds the mark, note); anchors: id -> block that
    begins there; traces: origins of a block's characters, with `rules.trace`; pictures: number of images met.
    """

    href: str
    rules: Rules = field(default_factory=Rules)
    blocks: list[Block] = field(default_factory=list)
    notes: dict[str, list[Block]] = field(default_factory=dict)
    note_marks: list[tuple[int, str]] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)
    traces: dict[int, list[Origin | None]] = field(default_factory=dict)
    pictures: int = 0
    _root: Any = None
    _runs: list[Run] = field(default_factory=list)
    _stack: list[_Context] = field(default_factory=list)
    _paths: list[tuple[str, Counter[str]]] = field(default_factory=list)
    _here: str = ""
    _number: int = 0
    _join: bool = False

    def run(self, root: Any) -> None:
        """Walk the tree under `root`."""
        self._root = root
        self._stack, self._paths = [_Context("para", language=_language(root))], [("", Counter())]
        todo: list[tuple[Any, bool]] = [(root, False)]
        while todo:
            element, leaving = todo.pop()
            if leaving:
                self._leave(element)
            elif self._skipped(element):
                pass
            else:
                self._enter(element)
                todo.append((element, True))
                todo.extend((child, False) for child in reversed(element))
                continue
            if element is not root:
                self._text(element.tail, element, "tail")
        self._flush()

    # elements

    def _enter(self, element: Any) -> None:
        tag = local(element)
        self._paths.append((self._here, Counter()))
        name = element.get("id") or (element.get("name") if tag == "a" else None)
        if tag in _BLOCKS:
            self._open_block(tag, element, name)
        if name:
            self._anchor(name)
        if tag == "br":
            self._line_break()
        elif tag == "hr":
            self._scene()
        elif tag in ("img", "image"):
            self._picture(element)
        elif tag in ("td", "th") and (before := collapse(self._runs)):
            while not self._runs[-1].text.strip():
                self._runs.pop()
            self._runs.append(Run(" " if before.endswith((",", ".", ";", ":")) else ", "))
        self._text(element.text, element, "text")

    def _leave(self, element: Any) -> None:
        tag = local(element)
        self._paths.pop()
        if tag in _BLOCKS:
            self._flush()
            self._stack.pop()
        elif tag in _INLINE and self._is_drop_cap(element):
            self._join = True

    def _open_block(self, tag: str, element: Any, name: str | None) -> None:
        self._flush()
        above = self._stack[-1]
        kind = _BLOCKS[tag] or above.kind
        if above.kind in ("item", "row", "note", "verse", "code") and kind != "heading":
            kind = above.kind
        note = self._note_of(element, name, above.note)
        verse = above.verse or bool(_VERSE.search(f"{element.get('class', '')} {' '.join(types_of(element))}"))
        verse = verse or (tag == "p" and kind == "para" and _short_lines(element))
        if note is not None:
            kind = "note"
        elif verse and kind in ("para", "quote"):
            kind = "verse"
        level = 0
        if kind == "heading":
            level = int(tag[1]) if _BLOCKS[tag] == "heading" else above.level
        language = _language(element) or above.language
        self._stack.append(_Context(kind, level, self._here, language, verse, note))

    def _note_of(self, element: Any, name: str | None, above: str | None) -> str | None:
        types = types_of(element) | {element.get("role", "")}
        if types & _NOTE or (name and self.rules.is_note(name)):
            return name or f"note-{len(self.notes)}"
        if above is None and types & _NOTES:
            return name or f"notes-{len(self.notes)}"
        return above

    def _is_drop_cap(self, element: Any) -> bool:
        letter = "".join(element.itertext()).strip()
        if len(letter) != 1 or not letter.isupper() or collapse(self._runs).lstrip("“\"‘'«") != letter:
            return False
        return letter not in "AIO" or bool(_DROP_NAME.search(element.get("class", "")))

    def _line_break(self) -> None:
        if self._stack[-1].verse:
            self._flush()
        else:
            self._runs.append(Run(" "))

    def _scene(self) -> None:
        self._flush()
        self._emit("scene", "", self._here)

    def _picture(self, element: Any) -> None:
        self.pictures += 1
        alt = " ".join((element.get("alt") or "").split())
        source = f"{element.get('class', '')} {element.get('src', '')}"
        started = bool(collapse(self._runs))
        if len(alt) == 1 and alt.isalpha() and not started:
            self._runs.append(Run(alt))
            self._join = True
        elif not started and (is_ornament(alt) or (not alt and _BREAK_NAME.search(source))):
            self._scene()
        elif alt and self.rules.alt:
            self._flush()
            self._emit("figure", alt, self._here)
        elif alt:
            self._drop(self._here, alt, "alternative text of an image (--alt speaks it)")

    # what is not read

    def _skipped(self, element: Any) -> bool:
        """True for an element whose inside is not walked; its text, if any, is listed."""
        tag = local(element)
        if not tag:
            return True
        path, counts = self._paths[-1]
        counts[tag] += 1
        self._here = f"{path}/{tag}[{counts[tag]}]"
        if tag in _SILENT:
            return True
        reason = self._reason(tag, element)
        if reason is None:
            return False
        if name := element.get("id"):
            self._anchor(name)
        text = " ".join("".join(spoken_strings(element)).translate(INVISIBLE).split())
        if text:
            self._drop(self._here, text, reason)
        return True

    def _reason(self, tag: str, element: Any) -> str | None:
        types = types_of(element) | {element.get("role", "")}
        if tag in _READINGS:
            return "reading aid of ruby text"
        if tag in ("title", "desc"):
            return "description of a drawing"
        if element.get("hidden") is not None or element.get("aria-hidden", "").lower() == "true":
            return "hidden by the book"
        if _HIDDEN_STYLE.search(element.get("style", "")):
            return "hidden by the book"
        if types & {"pagebreak", "doc-pagebreak"}:
            return "page number"
        target = self.rules.is_noteref(element) if tag in ("a", "sup") else None
        if target is not None or types & {"noteref", "doc-noteref"}:
            self.note_marks.append((len(self.blocks), target or ""))
            return "mark of a note"
        back = tag == "a" and self._stack[-1].note and NOTE_MARK.fullmatch("".join(element.itertext()).strip())
        if back or types & {"backlink", "doc-backlink"}:
            return "link back from a note"
        return None

    def _drop(self, path: str, text: str, reason: str) -> None:
        self.dropped.append(Dropped(href=self.href, element=path, text=text, reason=reason))

    # text

    def _text(self, text: str | None, element: Any, where: str) -> None:
        if not text:
            return
        gap = 0
        if self._join:  # a drop cap stands before: no space between it and the rest of its word
            rest = text.lstrip()
            if not rest:
                return
            gap = len(text) - len(rest) if rest[0].isalpha() else 0
            self._join = False
        self._runs.append(Run(text[gap:], element, where, gap))

    def _anchor(self, name: str) -> None:
        if name in self.anchors:
            return
        if name in self.rules.cuts and collapse(self._runs):
            self._flush()
        self.anchors[name] = len(self.blocks)

    def _flush(self) -> None:
        runs, self._runs, self._join = self._runs, [], False
        text = collapse(runs)
        if not text:
            return
        context = self._stack[-1]
        if is_ornament(text) and context.kind != "code":
            self._emit("scene", "", context.path)
            self._drop(context.path, text, "scene break")
            return
        self._emit(context.kind, text, context.path, runs, self._language_of(runs))

    def _language_of(self, runs: list[Run]) -> str:
        """The language of all text of a block, "" where it is that around the block, or not the same everywhere."""
        found = {self._nearest(run) for run in runs if run.element is not None and run.text.strip()}
        return found.pop() if len(found) == 1 else ""

    def _nearest(self, run: Run) -> str:
        element = run.element if run.where == "text" else run.element.getparent()
        while element is not None and element is not self._root:
            if language := _language(element):
                return language
            element = element.getparent()
        return ""

    def _emit(self, kind: str, text: str, path: str, runs: list[Run] | None = None, language: str = "") -> None:
        context = self._stack[-1]
        block = Block(
            kind=kind, text=text, level=context.level if kind == "heading" else 0, href=self.href, element=path,
            number=self._number, language=language or context.language,
        )  # fmt: skip
        if self.rules.trace and runs:
            self.traces[self._number] = origins(runs)
        self._number += 1
        if context.note is not None:
            self.notes.setdefault(context.note, []).append(block)
        else:
            self.blocks.append(block)


def spoken_strings(element: Any) -> Iterator[str]:
    """Return the strings under `element` in order, without those of scripts, styles and comments."""
    for node in element.iter():
        if local(node) and local(node) not in _SILENT and node.text:
            yield node.text
        if node is not element and node.tail:
            yield node.tail


def _short_lines(paragraph: Any) -> bool:
    """True for a paragraph that is set in lines: at least two breaks, every line short."""
    if sum(1 for child in paragraph.iter() if local(child) == "br") < 2:
        return False
    lines = [""]
    for node in paragraph.iter():
        if local(node) == "br":
            lines.append("")
        elif local(node) and node.text:
            lines[-1] += node.text
        if node is not paragraph and node.tail:
            lines[-1] += node.tail
    return all(len(" ".join(line.split())) <= VERSE_LINE for line in lines)


def _language(element: Any) -> str:
    return element.get(_XML_LANG) or element.get("lang") or ""
