"""A book of public-domain text with the bundled model: speed, overhead, export, memory, and what a listener gets.

    python benchmarks/book.py [--minutes 30] [--voice clara] [--text FILE] [--words 100000]

Makes an EPUB of the text, plans, speaks and exports it with `tutortoietts.book`, and speaks the same segments in one
plain loop of `TextToSpeech.speak` beside it. Prints every figure; the last line is JSON. `--words`: plans an EPUB of
that many words, too, in a process of its own.

`--busy`: counts seconds of the processor in place of those of the clock, for a machine with other work.

FILE has a sentence a line, such as the verses that Debian's program `bible` prints (`bible -l100000 "Gen1:1-Deu34:12"`,
public domain), without their numbers; else the text is that of benchmarks/sentences_*.txt. It is repeated in another
order to the length asked for.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutortoietts.book.book import Book
from tutortoietts.book.engine import EngineFactory, EngineSpeaker
from tutortoietts.book.options import BookOptions
from tutortoietts.book.run import Flagged, Made
from tutortoietts.book.speaker import Spoken
from tutortoietts.book.takes import decode_take
from tutortoietts.engine.recognizers import recognizer, word_errors

SECONDS_A_CHARACTER = 0.07
CHAPTER = 1500  # characters
CLOCK = [time.perf_counter]
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


class Timed:
    """A speaker that counts the seconds in its engine: of first readings, and of others, which are repairs."""

    def __init__(self, speaker: EngineSpeaker) -> None:
        self._speaker = speaker
        self.first, self.others, self.repairs = 0.0, 0.0, 0
        self._asked: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._speaker, name)

    def readings(self, text: str, voice: str, seed: int, language: str = "") -> Iterator[Spoken]:
        """Yield as `EngineSpeaker.readings`."""
        readings, asked = self._speaker.readings(text, voice, seed, language), text in self._asked
        self._asked.add(text)
        again = asked
        try:
            while (spoken := self._timed(lambda: next(readings, None), again)) is not None:
                self.repairs += again
                again = True
                yield spoken
        finally:  # the engine gives its memory back, as it does after every sentence of the plain loop
            self._timed(readings.close, asked)

    def _timed(self, step: Callable[[], Spoken | None], again: bool) -> Spoken | None:
        started = CLOCK[0]()
        spoken = step()
        if again:
            self.others += CLOCK[0]() - started
        else:
            self.first += CLOCK[0]() - started
        return spoken


@dataclass
class Memory:
    """Resident memory while a book is made: at every segment."""

    megabytes: list[float] = field(default_factory=list)

    def note(self) -> None:
        """Take a sample."""
        pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
        self.megabytes.append(pages * resource.getpagesize() / 1e6)

    @property
    def growth(self) -> float:
        """Megabytes by which the last fifth is above the second."""
        fifth = max(1, len(self.megabytes) // 5)
        return sum(self.megabytes[-fifth:]) / fifth - sum(self.megabytes[fifth : 2 * fifth]) / fifth


def plain_loop(speaker: EngineSpeaker, book: Book) -> float:
    """Seconds to speak the plan's segments one after the other and do nothing else."""
    segments = book.store.plan().segments
    started = CLOCK[0]()
    for segment in segments:
        speaker.tts.speak(segment.spoken, voice=segment.voice, seed=segment.seed, normalize=False)
    return CLOCK[0]() - started


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


def planned(words: int, text: str, busy: bool) -> dict[str, Any]:
    """Seconds and memory to plan a book of that many words, in a process of its own."""
    command = [sys.executable, __file__, "--only-plan", str(words), "--text", text]
    command += ["--busy"] if busy else []
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def only_plan(words: int, text: str) -> dict[str, Any]:
    """Plan a book of that many words here."""
    with tempfile.TemporaryDirectory() as folder:
        lines, characters = sentences(text, 6 * words), 0
        while sum(len(line.split()) for line in lines) > words:
            lines.pop()
        write_epub(Path(folder) / "b.epub", lines)
        speaker = EngineFactory()()
        before, started = _memory(), CLOCK[0]()
        plan = Book.open(Path(folder) / "b.epub", options=BookOptions(voice="clara")).preview(speaker)
        seconds, characters = CLOCK[0]() - started, plan.characters
    return {
        "words": sum(len(line.split()) for line in lines), "characters": characters, "segments": len(plan.segments),
        "seconds": round(seconds, 1), "memory_mb": _memory(), "of_which_before_mb": before,
    }  # fmt: skip


def run(minutes: float, voice: str, text: str, folder: Path) -> dict[str, Any]:
    """Make the book in `folder` and return the figures."""
    write_epub(folder / "b.epub", sentences(text, round(minutes * 60 / SECONDS_A_CHARACTER)))
    engine = EngineFactory()()
    assert isinstance(engine, EngineSpeaker)
    engine.speak("Warm up.", voice, 0)
    speaker, memory = Timed(engine), Memory()
    book = Book.open(folder / "b.epub", options=BookOptions(voice=voice))
    plan = book.plan(speaker)
    started, sound, flagged = CLOCK[0](), 0.0, 0
    for event in book.make(speaker):
        memory.note()
        if isinstance(event, Made | Flagged):
            sound += event.seconds
            flagged += isinstance(event, Flagged)
    made = CLOCK[0]() - started
    loop = plain_loop(engine, book)
    started = CLOCK[0]()
    measured = book.export(folder / "b.m4b")
    exported = CLOCK[0]() - started
    length = sum(line.loudness.seconds for line in measured)
    recognised = heard(book)
    beside = made - speaker.first - speaker.others
    return {
        "segments": len(plan.segments), "flagged": flagged, "repairs": speaker.repairs,
        "sound_seconds": round(sound, 1), "loop_seconds": round(loop, 1), "make_seconds": round(made, 1),
        "checks_and_words_percent_of_loop": round(100 * (speaker.first - loop) / loop, 1),
        "repairs_percent_of_loop": round(100 * speaker.others / loop, 1),
        "overhead_beside_the_engine_percent": round(100 * beside / made, 2),
        "times_real_time": round(sound / made, 1), "loop_times_real_time": round(sound / loop, 1),
        "export_times_real_time": round(length / exported, 1), "memory_mb": _memory(),
        "memory_growth_mb": round(memory.growth, 1), "levels_off": sum(bool(line.faults) for line in measured),
        "word_errors_percent": None if recognised is None else round(100 * recognised[0] / recognised[1], 1),
    }  # fmt: skip


def _memory() -> int:
    """Most megabytes of this process so far; what `getrusage` says includes the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return round(int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--voice", default="clara")
    parser.add_argument("--text", default="")
    parser.add_argument("--words", type=int, default=100_000)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--only-plan", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.busy:
        CLOCK[0] = time.process_time
    if given.only_plan:
        print(json.dumps(only_plan(given.only_plan, given.text)))
        return
    with tempfile.TemporaryDirectory() as folder:
        values = run(given.minutes, given.voice, given.text, Path(folder))
    if given.words:
        values |= {f"plan_{name}": value for name, value in planned(given.words, given.text, given.busy).items()}
    for name, value in values.items():
        print(f"{name.replace('_', ' '):<24} {value}")
    print(json.dumps(values))


if __name__ == "__main__":
    main()
