"""The phrase cache: bounded, damage-proof, shared by all processes of a user.

cache = PhraseCache()                         # in the user's cache folder
if (entry := cache.get(key)) is None:
    cache.put(key, flac_bytes, {"seconds": 3.1})

Texts are not stored, only digests; files are readable by their owner alone. A cache that is full, read-only or broken
costs one warning, never the speech.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutortoietts.cache.files import FLAC, SAMPLES, Damaged, SoundEntry, SoundFiles
from tutortoietts.core.errors import OptionError
from tutortoietts.core.paths import cache_dir

__all__ = ["CacheStatus", "PhraseCache", "size_limit"]

_log = logging.getLogger(__name__)

VARIABLE = "TUTORTOIETTS_PHRASES_MAX"
DEFAULT_LIMIT = 2 << 30
SWEEP_SECONDS = 600
YOUNG_SECONDS = 3600
SUFFIXES = (".json", FLAC, SAMPLES)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatus:
    """State of the cache: its place, the phrases and bytes in it, and the limit in bytes."""

    folder: Path
    phrases: int
    size: int
    limit: int
    damaged: int


class PhraseCache:
    """Phrases in `folder` (None: the user's cache), at most `limit` bytes (None: TUTORTOIETTS_PHRASES_MAX, 2 GiB)."""

    def __init__(self, folder: str | os.PathLike[str] | None = None, *, limit: int | None = None) -> None:
        self.folder = Path(folder) if folder is not None else cache_dir() / "phrases" / "1"
        self.limit = size_limit() if limit is None else limit
        self._files = SoundFiles(self.folder, durable=False, mode=0o600)
        self._warned = False

    def get(self, key: str) -> SoundEntry | None:
        """Return the phrase, None if it is not there. What is damaged is put aside, with one warning."""
        try:
            entry = self._files.get(key, crc=True)
            if entry is not None:
                with contextlib.suppress(OSError):  # a cache that may only be read
                    os.utime(entry.path)
            return entry
        except Damaged as error:
            self._put_aside(key, str(error))
        except OSError as error:
            self._warn(f"the phrase cache cannot be read: {error}")
        return None

    def load(self, key: str) -> tuple[bytes, Mapping[str, Any]] | None:
        """Return the bytes and the note of a phrase, None if it is not there. Damage is handled as by `get`."""
        try:
            entry = self._files.get(key)
            if entry is None:
                return None
            data = entry.checked()
            with contextlib.suppress(OSError):  # a cache that may only be read
                os.utime(entry.path)
            return data, entry.info
        except Damaged as error:
            self._put_aside(key, str(error))
        except OSError as error:
            self._warn(f"the phrase cache cannot be read: {error}")
        return None

    def put(self, key: str, data: bytes, info: Mapping[str, Any], suffix: str = FLAC) -> bool:
        """Keep a phrase -> True if it was kept. Equal keys hold equal sound, so the last of racing writers wins."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._files.put(key, data, info, suffix)
            self._sweep_sometimes()
        except OSError as error:
            self._warn(f"the phrase cache cannot be written, speech goes on without it: {error}")
            return False
        return True

    def status(self) -> CacheStatus:
        """Return what the cache holds."""
        sizes = [size for _, size, _ in self._listing()]
        bad = len({path.stem for path in (self.folder / "bad").glob("*")})
        return CacheStatus(folder=self.folder, phrases=len(sizes), size=sum(sizes), limit=self.limit, damaged=bad)

    def verify(self) -> tuple[int, list[str]]:
        """Check every phrase's digest -> (number of good ones, what was wrong); the others are put aside."""
        good, wrong = 0, []
        for key in list(self._files.keys()):
            try:
                entry = self._files.get(key)
                if entry is not None:
                    entry.data()
                    good += 1
            except (Damaged, OSError) as error:
                wrong.append(str(error))
                self._put_aside(key, str(error), quiet=True)
        return good, wrong

    def prune(self, limit: int | None = None, *, young: float = 0.0) -> tuple[int, int]:
        """Remove the least recently used phrases until at most `limit` bytes are left -> (phrases, bytes) removed.

        young: seconds; phrases used within them stay.
        """
        limit = self.limit if limit is None else limit
        listing = sorted(self._listing())
        total, count, freed, now = sum(size for _, size, _ in listing), 0, 0, time.time()
        for used, size, key in listing:
            if total - freed <= limit:
                break
            if now - used >= young:
                self._files.remove(key)
                count, freed = count + 1, freed + size
        for path in list(self._files.strays()):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime >= YOUNG_SECONDS:
                    path.unlink()
        return count, freed

    def clear(self) -> tuple[int, int]:
        """Remove everything -> (phrases, bytes) removed. Books that use a phrase keep their own link to it."""
        count, freed = self.prune(0)
        for path in [*self._files.strays(), *(self.folder / "bad").glob("*")]:
            with contextlib.suppress(OSError):
                freed += path.stat().st_size
                path.unlink()
        return count, freed

    def _listing(self) -> list[tuple[float, int, str]]:
        found = []
        for key in self._files.keys():
            with contextlib.suppress(OSError):
                paths = [self._files.path(key, suffix) for suffix in SUFFIXES]
                stats = [path.stat() for path in paths if path.exists()]  # the note, then the sound, which hits touch
                found.append((stats[-1].st_mtime, sum(one.st_size for one in stats), key))
        return found

    def _sweep_sometimes(self) -> None:
        """At most one sweep in ten minutes, by one process: the age of a lock file says when the last was."""
        lock = self.folder / "sweep"
        try:
            if time.time() - lock.stat().st_mtime < SWEEP_SECONDS:
                return
        except FileNotFoundError:
            pass
        lock.touch()
        self.prune(young=YOUNG_SECONDS)

    def _put_aside(self, key: str, reason: str, *, quiet: bool = False) -> None:
        with contextlib.suppress(OSError):
            bad = self.folder / "bad"
            bad.mkdir(parents=True, exist_ok=True)
            for suffix in SUFFIXES:
                with contextlib.suppress(FileNotFoundError):
                    os.replace(self._files.path(key, suffix), bad / f"{key}{suffix}")
        if not quiet:
            self._warn(f"a damaged phrase was put aside and is made again: {reason}")

    def _warn(self, line: str) -> None:
        if not self._warned:
            _log.warning("%s", line)
            self._warned = True


def size_limit(text: str | None = None) -> int:
    """Return a size in bytes: "500M", "2G", "1000000"; None reads TUTORTOIETTS_PHRASES_MAX. Raises OptionError."""
    given = os.environ.get(VARIABLE, "") if text is None else text
    if not given.strip():
        return DEFAULT_LIMIT
    bare = given.strip().lower().removesuffix("ib").removesuffix("b")
    number, unit = (bare[:-1], bare[-1]) if bare[-1:].isalpha() else (bare, "")
    try:
        size = float(number) * _UNITS[unit]
    except (ValueError, KeyError):
        size = -1.0
    if not 0 <= size < 1 << 60:
        name = VARIABLE if text is None else "the size"
        raise OptionError(f"{name} is {given!r}, must be a number of bytes such as 500M or 2G")
    return int(size)
