"""The folder of a book: its settings, plan, edits and takes. What is done is derived from the takes that are there.

BOOK.tts/  book.json   settings and chapters      plan.jsonl     a segment a line
           takes/      sounds by key              dropped.jsonl  what is not spoken, and why
           edits.jsonl what people changed        log.jsonl      what happened
           lock        the process that writes    out/           files in the making
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tutortoietts.book.document import Dropped
from tutortoietts.book.plan import Edit, Plan, PlannedChapter, Segment
from tutortoietts.cache.files import Damaged, SoundEntry, SoundFiles, replace_file
from tutortoietts.core.errors import BookError, OutputError

__all__ = ["FORMAT", "Store"]

FORMAT = 1


class Store:
    """The folder `folder`. Reading needs no lock; writing is for the one process that holds `locked()`."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.takes = SoundFiles(self.folder / "takes")

    @property
    def exists(self) -> bool:
        """True when the folder holds a book."""
        return (self.folder / "book.json").is_file()

    def create(self) -> None:
        """Make the folder. Raises OutputError when it cannot be made, BookError when it holds something else."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be made, {error.strerror}: name another with --work") from error
        if not self.exists and any(path.name not in ("lock", "log.jsonl") for path in self.folder.iterdir()):
            if not (self.folder / "takes").is_dir():
                raise BookError(f"{self.folder} holds other files and no book: name another folder with --work")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the book for writing. Raises BookError when another process does; a dead one's lock is taken over."""
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _try_lock(handle):
                holder = os.read(handle, 200).decode("utf-8", "replace").strip()
                raise BookError(f"{self.folder} is in use by another process ({holder}): wait for it, or end it")
            os.ftruncate(handle, 0)
            started = time.strftime("%Y-%m-%d %H:%M:%S")
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()} since {started}".encode())
            yield
        finally:
            os.close(handle)

    def settings(self) -> dict[str, Any]:
        """Return the contents of book.json. Raises BookError when it is absent, damaged or of a newer version."""
        path = self.folder / "book.json"
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BookError(f"{self.folder} is no folder of a book: it has no book.json") from None
        except (OSError, ValueError) as error:
            raise BookError(f"{path} cannot be read ({error}): run `book make` on the source again") from error
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            found = values.get("format") if isinstance(values, dict) else None
            raise BookError(f"{path} has format {found!r}, this version knows {FORMAT}: use the version that made it")
        return values

    def write_settings(self, values: Mapping[str, Any]) -> None:
        """Write book.json, complete or not at all."""
        text = json.dumps({"format": FORMAT, **values}, ensure_ascii=False, indent=1, sort_keys=True)
        self._replace("book.json", text + "\n")

    def write_plan(self, plan: Plan) -> None:
        """Write plan.jsonl and dropped.jsonl."""
        head = json.dumps({"chapters": [asdict(chapter) for chapter in plan.chapters], "warnings": plan.warnings})
        self._replace("plan.jsonl", "\n".join([head, *(segment.to_line() for segment in plan.segments)]) + "\n")
        lines = (json.dumps(asdict(dropped), ensure_ascii=False) for dropped in plan.dropped)
        self._replace("dropped.jsonl", "".join(line + "\n" for line in lines))

    def plan(self) -> Plan:
        """Return the plan as it was written. Raises BookError when it is absent or damaged."""
        path = self.folder / "plan.jsonl"
        try:
            with path.open(encoding="utf-8") as file:
                head = json.loads(next(file))
                segments = [Segment(**json.loads(line)) for line in file]
            chapters = [PlannedChapter(**chapter) for chapter in head["chapters"]]
            dropped = [Dropped(**line) for line in _lines(self.folder / "dropped.jsonl")]
        except (OSError, ValueError, TypeError, KeyError, StopIteration) as error:
            raise BookError(f"{path} cannot be read ({error}): run `book make` on the source again") from error
        return Plan(chapters=chapters, segments=segments, dropped=dropped, warnings=head["warnings"])

    def edits(self) -> list[Edit]:
        """Return all edits in the order they were made; a last line that was cut off is left out."""
        return [Edit(**line) for line in _lines(self.folder / "edits.jsonl")]

    def add_edits(self, edits: Iterable[Edit]) -> None:
        """Add edits, kept for good once this returns."""
        for edit in edits:
            self._append("edits.jsonl", {k: v for k, v in asdict(edit).items() if v is not None})

    def log(self, event: str, **values: Any) -> None:
        """Add a line to log.jsonl."""
        self._append("log.jsonl", {"time": round(time.time(), 3), "event": event, **values}, durable=False)

    def take(self, segment: Segment, *, crc: bool = False) -> SoundEntry | None:
        """Return the take of a segment; None if it is not made yet, or its files are damaged."""
        try:
            return self.takes.get(segment.key, crc=crc)
        except Damaged as error:
            self.log("damaged", key=segment.key, reason=str(error))
            return None

    def free_bytes(self) -> int:
        """Return the free space where the folder is."""
        return shutil.disk_usage(self.folder).free

    def _replace(self, name: str, text: str) -> None:
        replace_file(self.folder / name, text.encode("utf-8", "surrogatepass"))

    def _append(self, name: str, values: Mapping[str, Any], *, durable: bool = True) -> None:
        data = (json.dumps(values, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")
        with (self.folder / name).open("ab") as file:
            if file.tell() and not _ends_line(self.folder / name):
                data = b"\n" + data
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file; lines that were cut off by a crash are passed over."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                if isinstance(value, dict):
                    yield value


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _try_lock(handle: int) -> bool:
    """Lock an open file until it is closed, or this process dies -> True if it could be."""
    try:
        if os.name == "nt":
            module = importlib.import_module("msvcrt")
            module.locking(handle, module.LK_NBLCK, 1)
        else:
            module = importlib.import_module("fcntl")
            module.flock(handle, module.LOCK_EX | module.LOCK_NB)
    except OSError:
        return False
    return True
