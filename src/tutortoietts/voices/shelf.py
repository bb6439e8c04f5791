"""Write in the user's folder of voices: a voice is complete or absent, and none is lost when it is replaced."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from tutortoietts.core.errors import OutputError, VoiceError

__all__ = ["delete", "find_in", "new_voice", "owned", "saving", "sweep"]

_ENDINGS = (".safetensors", ".pth")
_LOCK = "lock"
_OLD_SECONDS = 3600  # of what another process may still be writing and has not locked


def find_in(folder: Path, name: str) -> Path | None:
    """Return the path of a voice of this name in a folder, in whichever form Unicode writes it, or None.

    With an ending of its own only a file is the voice: a folder "x.safetensors" is another voice than "x".
    """
    for spelled in dict.fromkeys((name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))):
        if os.path.exists(path := folder / spelled):
            return path
        for end in _ENDINGS:
            if os.path.isfile(path := folder / (spelled + end)):
                return path
    return None


def owned(folder: Path, name: str) -> Path | None:
    """Return the path of a voice of this name in the user's folder, or None; the name may not lead out of it."""
    inside = name not in ("", ".", "..") and not {"/", "\0", os.sep, os.altsep or os.sep} & set(name)
    return find_in(folder, name) if inside else None


def sweep(folder: Path) -> None:
    """Delete what processes that were killed have left: copies of clips of voices that were never finished.

    A voice that was being replaced is put back. What a living process is writing is locked by it.
    """
    try:
        left = [path for path in folder.iterdir() if path.name.startswith(".") and path.name.endswith(".part")]
    except OSError:
        return
    for hidden in left:
        with contextlib.suppress(OSError), _locked(hidden) as free:
            if not free:
                continue
            if hidden.is_file():
                hidden.unlink()
                continue
            for old in sorted(hidden.glob("*.old/*/*")):
                if not os.path.exists(folder / old.name):
                    old.rename(folder / old.name)
            shutil.rmtree(hidden, ignore_errors=True)


@contextlib.contextmanager
def _locked(hidden: Path, make: bool = False) -> Iterator[bool]:
    """Hold the lock of a hidden folder while the block runs; yield False if another process has it.

    Without locks on this system, or before the folder's own process has locked it, its age decides.
    """
    if not make and not (hidden / _LOCK).exists():
        yield time.time() - hidden.stat().st_mtime > _OLD_SECONDS
        return
    with open(hidden / _LOCK, "wb") as file:
        try:
            import fcntl
        except ImportError:
            yield make or time.time() - hidden.stat().st_mtime > _OLD_SECONDS
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield make
            return
        yield True


@contextlib.contextmanager
def new_voice(folder: Path, name: str, *, replace: bool) -> Iterator[Path]:
    """Yield an empty folder; it becomes the voice `name` if the block succeeds, and is deleted if it fails.

    Raises VoiceError for a name that is taken, before and after the block, unless `replace`; OutputError.
    """
    _check_free(folder, name, replace)
    hidden = folder / f".{secrets.token_hex(4)}.part"
    part = hidden / name
    try:
        with contextlib.ExitStack() as stack:
            with saving(folder, name):
                part.mkdir(parents=True)
                stack.enter_context(_locked(hidden, make=True))
            yield part
            with saving(folder, name):
                _put(part, folder, replace)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


@contextlib.contextmanager
def saving(folder: Path, name: str) -> Iterator[None]:
    """Turn an OSError in a block into an OutputError."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"voice {name!r} cannot be saved in {folder}: {error.strerror or error}") from error


def delete(folder: Path, name: str) -> None:
    """Delete a voice in every form that it has. Raises OSError."""
    while (path := owned(folder, name)) is not None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _check_free(folder: Path, name: str, replace: bool) -> None:
    taken = owned(folder, name)
    if taken is not None and not replace:
        raise VoiceError(
            f"there is already a voice {name!r} at {taken}: choose another name, remove it, or take its name over "
            "(--replace, replace=True)"
        )


def _put(part: Path, folder: Path, replace: bool) -> None:
    """Move a finished folder to its place. A voice that is there is moved beside it, and deleted with its parent.

    Renaming fails if another process has put a folder there meanwhile: then that one is examined again.
    """
    name, aside = part.name, part.with_name(f"{part.name}.old")
    moved: list[tuple[Path, Path]] = []
    try:
        while True:
            _check_free(folder, name, replace)
            while (path := owned(folder, name)) is not None:
                old = aside / str(len(moved)) / path.name
                old.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # another process has moved it first
                    path.rename(old)
                    moved.append((old, path))
            try:
                part.rename(folder / name)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
    except BaseException:
        for old, path in moved:
            with contextlib.suppress(OSError):
                old.rename(path)
        raise
