"""A book of public-domain text with the bundled model: speed, overhead, export, memory, and what a listener gets.

    python benchmarks/book.py [--minutes 30] [--voice slt] [--text FILE]

Makes an EPUB of the text, plans, speaks and exports it with `tutortoietts.book`, and speaks the same segments in one
plain loop beside it. Prints every figure; the last line is JSON. The text is that of benchmarks/sentences_*.txt, unless
a file is named, repeated in another order to the length asked for.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from tutortoietts.book.book import Book
from tutortoietts.book.check import recognizer, word_errors
from tutortoietts.book.engine import EngineFactory
from tutortoietts.book.options import BookOptions
from tutortoietts.book.run import Flagged, Made
from tutortoietts.book.speaker import Speaker
from tutortoietts.book.takes import decode_take

SECONDS_A_CHARACTER = 0.07
CHAPTER = 1500  # characters
CONTAINER = (
    '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile '
    'full-path="b.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)


def sentences(path: str, characters: int) -> list[str]:
    """Sentences of the text, again and again in another order, up to that many characters."""
    here = Path(__file__).parent
    files = [Path(path)] if path else sorted(here.glob("sentences_*.txt"))
    lines = [line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    choice, out = random.Random(1), []
    while sum(map(len, out)) < characters:
        out += choice.sample(lines, len(lines))
    while sum(map(len, out)) > characters:
        out.pop()
    return out


def write_epub(path: Path, lines: list[str]) -> None:
    """An EPUB of chapters of about 1500 characters."""
    chapters: list[list[str]] = [[]]
    for line in lines:
        if sum(map(len, chapters[-1])) > CHAPTER:
            chapters.append([])
        chapters[-1].append(line)
    names = [f"c{i}.xhtml" for i in range(len(chapters))]
    items = "".join(f'<item id="{name}" href="{name}" media-type="application/xhtml+xml"/>' for name in names)
    spine = "".join(f'<itemref idref="{name}"/>' for name in names)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr(
            "b.opf",
            '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata xmlns:dc="http://purl.org/dc/elements/'
            f'1.1/"><dc:title>Benchmark</dc:title><dc:language>en</dc:language></metadata><manifest>{items}</manifest>'
            f"<spine>{spine}</spine></package>",
        )
        for number, (name, own) in enumerate(zip(names, chapters, strict=True), 1):
            body = "".join(f"<p>{line}</p>" for line in own)
            archive.writestr(name, f"<html><body><h1>Chapter {number}</h1>{body}</body></html>")


def plain_loop(speaker: Speaker, book: Book) -> float:
    """Seconds to speak the plan's segments one after the other and do nothing else."""
    segments = book.store.plan().segments
    started = time.perf_counter()
    for segment in segments:
        speaker.speak(segment.spoken, segment.voice, segment.seed)
    return time.perf_counter() - started


def heard(book: Book, most: int = 100) -> tuple[int, int] | None:
    """(word errors, words) of the first segments, by pocketsphinx, None where that is absent."""
    try:
        listen = recognizer("pocketsphinx")
    except ValueError:
        return None
    errors = words = 0
    for segment in book.store.plan().segments[:most]:
        take = book.store.take(segment)
        assert take is not None and listen is not None
        samples, rate = decode_take(take.data())
        wrong, all_of_them = word_errors(segment.spoken, listen(samples, rate, segment.spoken))
        errors, words = errors + wrong, words + all_of_them
    return errors, words


def run(minutes: float, voice: str, text: str, folder: Path) -> dict[str, Any]:
    """Make the book in `folder` and return the figures."""
    write_epub(folder / "b.epub", sentences(text, round(minutes * 60 / SECONDS_A_CHARACTER)))
    speaker = EngineFactory()()
    speaker.speak("Warm up.", voice, 0)
    started = time.perf_counter()
    book = Book.open(folder / "b.epub", options=BookOptions(voice=voice))
    plan = book.plan(speaker)
    planned = time.perf_counter() - started
    started, sound, flagged = time.perf_counter(), 0.0, 0
    for event in book.make(speaker):
        if isinstance(event, Made | Flagged):
            sound += event.seconds
            flagged += isinstance(event, Flagged)
    spoken = time.perf_counter() - started
    attempts = sum(t.info["attempts"] for s in plan.segments if (t := book.store.take(s)) is not None)
    loop = plain_loop(speaker, book) * attempts / len(plan.segments)
    started = time.perf_counter()
    measured = book.export(folder / "b.m4b")
    exported = time.perf_counter() - started
    length = sum(line.loudness.seconds for line in measured)
    recognised = heard(book)
    return {
        "segments": len(plan.segments), "attempts": attempts, "flagged": flagged, "sound_seconds": round(sound, 1),
        "plan_seconds": round(planned, 2), "make_seconds": round(spoken, 1), "loop_seconds": round(loop, 1),
        "overhead_percent": round(100 * (spoken - loop) / loop, 2), "times_real_time": round(sound / spoken, 1),
        "export_times_real_time": round(length / exported, 1), "memory_mb": _memory(),
        "levels_off": sum(bool(line.faults) for line in measured),
        "word_errors_percent": None if recognised is None else round(100 * recognised[0] / recognised[1], 1),
    }  # fmt: skip


def _memory() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--voice", default="slt")
    parser.add_argument("--text", default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        values = run(given.minutes, given.voice, given.text, Path(folder))
    for name, value in values.items():
        print(f"{name.replace('_', ' '):<24} {value}")
    print(json.dumps(values))


if __name__ == "__main__":
    main()
