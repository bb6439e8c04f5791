"""`Book`: a document and its folder, from plan to finished files.

book = Book.open("alice.epub")
book.plan(speaker)
for event in book.make(speaker): ...
book.export("alice.m4b")
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from tutortoietts.book.casting import Cast, read_cast
from tutortoietts.book.document import Block, Chapter, Document, Metadata
from tutortoietts.book.executors import Executor, InProcess
from tutortoietts.book.export.files import export
from tutortoietts.book.export.material import Choices
from tutortoietts.book.lexicon import Lexicon, read_lexicon, read_pls
from tutortoietts.book.master import Measured
from tutortoietts.book.options import BookOptions, chapter_numbers, read_metadata
from tutortoietts.book.pauses import pauses_of
from tutortoietts.book.plan import Edit, Plan, Segment, make_plan
from tutortoietts.book.readers.read import read_document
from tutortoietts.book.run import Event, run_plan
from tutortoietts.book.speaker import Speaker
from tutortoietts.book.spoken import Speech, known_language
from tutortoietts.book.store import Store
from tutortoietts.cache.phrases import PhraseCache
from tutortoietts.core.errors import BookError, OptionError
from tutortoietts.engine.check import Limits
from tutortoietts.text.detect import detect_language
from tutortoietts.version import __version__

__all__ = ["Book", "default_work"]

_BLOCKS = 40  # paragraphs in which the language is looked for


def default_work(source: str | os.PathLike[str]) -> Path:
    """Return the folder of a book where none is named: `alice.tts` beside `alice.epub`."""
    return Path("book.tts") if os.fspath(source) == "-" else Path(source).with_suffix(".tts")


class Book:
    """A document, its options and its folder. Make it with `open` (from a document) or `of_folder` (from a folder)."""

    def __init__(self, store: Store, source: str, options: BookOptions, document: Document | None = None) -> None:
        self.store, self.source, self.options = store, source, options
        self._document = document

    @classmethod
    def open(
        cls, source: str | os.PathLike[str], work: str | os.PathLike[str] | None = None,
        options: BookOptions | None = None,
    ) -> Book:  # fmt: skip
        """Return the book of a document; `work`: its folder, `BOOK.tts` beside it when None.

        Nothing is written yet. Raises BookError when the document cannot be read, OptionError for wrong options.
        """
        options = options or BookOptions()
        document = read_document(source, options.reading())
        name = os.fspath(source)
        path = name if name == "-" else str(Path(name).resolve())
        return cls(Store(work or default_work(source)), path, options, document)

    @classmethod
    def of_folder(cls, work: str | os.PathLike[str]) -> Book:
        """Return the book of a folder, with the options it was made with. Raises BookError when it is none."""
        store = Store(work)
        settings = store.settings()
        return cls(store, settings["source"], BookOptions.from_json(settings["options"]))

    @property
    def document(self) -> Document:
        """The document, read when first needed. Raises BookError when it is gone."""
        if self._document is None:
            if self.source == "-":
                raise BookError(
                    "the text came from stdin and cannot be read again: pipe it in again with `book make -`"
                )
            self._document = read_document(self.source, self.options.reading())
        return self._document

    @property
    def metadata(self) -> Metadata:
        """The metadata as kept in the folder, or else of the document and --metadata."""
        if self._document is None and self.store.exists:
            return Metadata(**self.store.settings()["metadata"])
        return read_metadata(self.options.metadata, self.document.metadata)

    @property
    def language(self) -> str:
        """The language of the text: the option's ("auto": found from the text), the document's, or English.

        Raises OptionError where the language of the text is not certain.
        """
        if self.options.language.lower() == "auto":
            blocks = (block.text for chapter in self.document.chapters for block in chapter.blocks if block.text)
            return detect_language(" ".join(islice(blocks, _BLOCKS)))
        return self.options.language or self.metadata.language or "en"

    def cast(self) -> Cast:
        """Return who says what."""
        return read_cast(self.options.cast, self.options.voice)

    def speech(self) -> Speech:
        """Return how texts are said: the user's lexicons first, then the book's own."""
        entries = [entry for name in self.options.lexicon for entry in read_lexicon(Path(name))]
        known = {entry.written.lower() for entry in entries}
        lexicons = self._document.lexicons if self._document is not None else {}
        for name, data in lexicons.items():
            own, warnings = read_pls(data, name)
            entries += [entry for entry in own if entry.written.lower() not in known]
            for line in warnings:
                self.document.warn(line)
        language = self.language
        known_as = known_language(language)
        if self._document is not None and known_as.partition("-")[0] != language.lower().partition("-")[0]:
            self._document.warn(f"the book is in {language!r}, which is read by the rules of {known_as!r}")
        return Speech(Lexicon(entries), known_as, self.options.urls)

    def preview(self, speaker: Speaker) -> Plan:
        """Return the plan without writing anything."""
        self._add_credits()
        return make_plan(
            self.document,
            speaker,
            self.speech(),
            cast=self.cast(),
            pauses=pauses_of(self.options.pauses),
            seed=self.options.seed,
            edits=self.store.edits() if self.store.exists else (),
            chapters=chapter_numbers(self.options.chapters),
            headings=self.options.headings == "speak",
            same_repeats=self.options.same_repeats,
            language=self.metadata.language,
        )

    def plan(self, speaker: Speaker) -> Plan:
        """Return the plan and write it to the folder. Raises BookError when another process is at it."""
        plan = self.preview(speaker)
        if not plan.segments:
            raise BookError(f"{self.source} holds nothing to speak: `book plan` shows what was left out, and why")
        self.store.create()
        with self.store.locked():
            self._write(plan, speaker)
        return plan

    def make(
        self, speaker: Speaker, *, executor: Executor | None = None, cache: PhraseCache | None = None,
        limits: Limits | None = None, stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Event]:  # fmt: skip
        """Speak what is not spoken yet, an event a segment. It may be killed at any moment and called again.

        executor: who performs the jobs, this process when None; cache: phrases spoken before; stop: called before every
        segment. Raises BookError as `run_plan` and `plan`.
        """
        plan = self.preview(speaker)
        self.store.create()
        with self.store.locked():
            self._write(plan, speaker)
            executor = executor or InProcess(speaker, self.options.asr)
            limits = limits or speaker.limits
            yield from run_plan(
                self.store, plan, executor, cache=cache, retries=self.options.retries, limits=limits, stop=stop
            )

    def export(self, *paths: str | os.PathLike[str], **choices: Any) -> list[Measured]:
        """Write finished files, by their endings; `choices`: fields of `Choices`. Returns a line a chapter.

        Loads no model. Raises BookError when segments are missing, OutputError when a file cannot be written.
        """
        return export(self, [Path(path) for path in paths], Choices(**choices))

    def redo(self, segments: list[Segment], **changes: Any) -> list[Edit]:
        """Ask for segments to be spoken anew: `changes` are fields of `Edit`; without `take`, a new take.

        Returns the edits; `make` then speaks them. Old takes stay.
        """
        edits = []
        with self.store.locked():
            for segment in segments:
                shown = segment.original or segment.shown
                fresh = {} if {"take", "accepted"} & set(changes) else {"take": segment.take + 1}
                edits.append(Edit(href=segment.href, shown=shown, nth=segment.nth, **{**fresh, **changes}))
            self.store.add_edits(edits)
        return edits

    def clean(self, *, takes: bool = False, everything: bool = False) -> int:
        """Remove files that killed processes left; `takes`: also takes that the plan does not use; `everything`: all
        sound. Returns the bytes freed."""
        freed = 0
        with self.store.locked():
            used = {segment.key for segment in self.store.plan().segments}
            for path in list(self.store.takes.strays()):
                freed += path.stat().st_size
                path.unlink()
            for key in list(self.store.takes.keys()):
                if everything or (takes and key not in used):
                    freed += self.store.takes.remove(key)
        return freed

    def _write(self, plan: Plan, speaker: Speaker) -> None:
        self.store.write_settings(
            {
                "source": self.source,
                "source_sha256": _digest(self.source),
                "version": __version__,
                "identity": dict(speaker.identity()),
                "terms": speaker.terms,
                "options": self.options.to_json(),
                "metadata": asdict(self.metadata),
            }
        )
        self.store.write_plan(plan)

    def _add_credits(self) -> None:
        """Put the credits before the first chapter, once."""
        chapters = self.document.chapters
        if not self.options.credits or (chapters and chapters[0].title == "Opening credits"):
            return
        metadata = self.metadata
        try:
            text = self.options.credits.format(
                title=metadata.title, author=" and ".join(metadata.authors), narrator=self.options.voice
            )
        except (KeyError, IndexError, ValueError) as error:
            raise OptionError(
                f"--credits {self.options.credits!r}: only {{title}}, {{author}}, {{narrator}}"
            ) from error
        block = Block(kind="para", text=" ".join(text.split()), href="credits")
        chapters.insert(0, Chapter(title="Opening credits", blocks=[block]))


def _digest(source: str) -> str:
    if source == "-" or not Path(source).is_file():
        return ""
    digest = hashlib.sha256()
    with open(source, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
