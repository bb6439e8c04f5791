"""Sound files by key, two a sound: KEY.flac, then KEY.json, which commits it. Safe against kill -9 and racing writers.

files = SoundFiles(folder)
files.put(key, flac_bytes, {"seconds": 3.1})
entry = files.get(key)              # None unless both files are there and fit

Sound that must come back bit for bit is KEY.f32 instead: its samples, float32, little-endian.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["FLAC", "SAMPLES", "Damaged", "SoundEntry", "SoundFiles", "replace_file"]

KEY = re.compile(r"[0-9a-f]{64}")
FLAC, SAMPLES = ".flac", ".f32"


class Damaged(Exception):
    """Files of a key that do not fit together; `reason` says how."""


@dataclass(frozen=True, slots=True)
class SoundEntry:
    """A committed sound: its key, its file, and what was noted about it."""

    key: str
    path: Path
    info: Mapping[str, Any]

    def data(self) -> bytes:
        """Return the file's bytes. Raises Damaged unless their digest is the one that was noted."""
        data = self.path.read_bytes()
        if hashlib.sha256(data).hexdigest() != self.info.get("sha256"):
            raise Damaged(f"{self.path} was changed: its digest is not the one noted")
        return data

    def checked(self) -> bytes:
        """Return the file's bytes. Raises Damaged unless their checksum, which is quick, is the one that was noted."""
        data = self.path.read_bytes()
        if zlib.crc32(data) != self.info.get("crc32"):
            raise Damaged(f"{self.path} is damaged: its checksum is not the one noted")
        return data


class SoundFiles:
    """A folder of sounds, `folder/ab/KEY.flac` (or `.f32`) and `.json`. Nothing is written before the first `put`."""

    def __init__(self, folder: str | os.PathLike[str], *, durable: bool = True, mode: int = 0o644) -> None:
        self.folder = Path(folder)
        self.durable, self.mode = durable, mode

    def path(self, key: str, suffix: str = FLAC) -> Path:
        """Return where a file of `key` is, or would be."""
        return self.folder / key[:2] / f"{key}{suffix}"

    def get(self, key: str, *, crc: bool = False) -> SoundEntry | None:
        """Return the sound of `key`, None if it is not committed. Raises Damaged when its size, or with `crc` its
        checksum, is not the one noted, or the note itself cannot be read."""
        note = self.path(key, ".json")
        try:
            text = note.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise Damaged(f"{note} cannot be read: {error}") from error
        try:
            info = json.loads(text)
            size, checksum = int(info["bytes"]), int(info["crc32"])
            path = self.path(key, _known(info.get("suffix", FLAC)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Damaged(f"{note} is damaged: {error}") from error
        try:
            actual = path.stat().st_size
            fits = actual == size and (not crc or zlib.crc32(path.read_bytes()) == checksum)
        except OSError as error:
            raise Damaged(f"{path} cannot be read: {error}") from error
        if not fits:
            raise Damaged(f"{path} is damaged: its size or checksum is not the one noted")
        return SoundEntry(key, path, info)

    def put(self, key: str, data: bytes, info: Mapping[str, Any], suffix: str = FLAC) -> SoundEntry:
        """Commit a sound: its file, then the note. An equal key is replaced. Raises OSError (disk full, read-only)."""
        noted = {
            **info, "bytes": len(data), "crc32": zlib.crc32(data), "sha256": hashlib.sha256(data).hexdigest(),
            **({} if suffix == FLAC else {"suffix": suffix}),
        }  # fmt: skip
        path = self.path(key, suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data, durable=self.durable, mode=self.mode, last=False)  # the note makes both renames last
        self._note(key, noted)
        return SoundEntry(key, path, noted)

    def link(self, entry: SoundEntry) -> SoundEntry:
        """Commit a sound of another folder: its file is linked where the file system can, else copied."""
        path = self.path(entry.key, entry.path.suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            os.link(entry.path, part)
            os.replace(part, path)
        except OSError:
            replace_file(path, entry.data(), durable=self.durable, mode=self.mode)
        finally:
            part.unlink(missing_ok=True)
        self._note(entry.key, entry.info)
        return SoundEntry(entry.key, path, entry.info)

    def update(self, entry: SoundEntry, info: Mapping[str, Any]) -> None:
        """Note more about a sound."""
        self._note(entry.key, {**entry.info, **info})

    def remove(self, key: str) -> int:
        """Remove a sound, its note first, and return the bytes that were freed."""
        freed = 0
        for suffix in (".json", FLAC, SAMPLES):
            path = self.path(key, suffix)
            with contextlib.suppress(OSError):
                size = path.stat().st_size
                path.unlink()
                freed += size
        return freed

    def keys(self) -> Iterator[str]:
        """Return the keys of all notes, in order."""
        for folder in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            for note in sorted(folder.glob("*.json")):
                if KEY.fullmatch(note.stem):
                    yield note.stem

    def strays(self) -> Iterator[Path]:
        """Return files that belong to no committed sound: left by a process that was killed."""
        for folder in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(folder.iterdir()):
                alone = path.suffix in (FLAC, SAMPLES) and not path.with_suffix(".json").exists()
                if alone or path.suffix == ".part":
                    yield path

    def _note(self, key: str, info: Mapping[str, Any]) -> None:
        text = json.dumps(dict(info), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        replace_file(self.path(key, ".json"), text.encode("utf-8"), durable=self.durable, mode=self.mode)


def _known(suffix: Any) -> str:
    """Return the ending of a sound's file. Raises ValueError for another one."""
    if suffix not in (FLAC, SAMPLES):
        raise ValueError(f"files of sounds end in {FLAC} or {SAMPLES}, not {suffix!r}")
    return str(suffix)


def replace_file(path: Path, data: bytes, *, durable: bool = True, mode: int = 0o644, last: bool = True) -> None:
    """Write `data` to `path`: complete, or not there at all, also after a power cut if `durable`. Raises OSError.

    last: False when another file of the folder follows at once; a power cut before it may take this one away.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    if durable and last:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` last; where folders cannot be opened (Windows), nothing."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
