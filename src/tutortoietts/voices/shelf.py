"""Write in the user's folder of voices: a voice is complete or absent, and none is lost when it is replaced."""

from __future__ import annotations

import contextlib
import errno
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from tutortoietts.core.errors import OutputError, VoiceError

__all__ = ["delete", "new_voice", "owned", "saving"]

_ENDINGS = ("", ".safetensors", ".pth")


def owned(folder: Path, name: str) -> Path | None:
    """Return the path of a voice of this name in the folder itself, or None."""
    return next((path for path in (folder / (name + end) for end in _ENDINGS) if path.exists()), None)


@contextlib.contextmanager
def new_voice(folder: Path, name: str, *, replace: bool) -> Iterator[Path]:
    """Yield an empty folder; it becomes the voice `name` if the block succeeds, and is deleted if it fails.

    Raises VoiceError for a name that is taken, before and after the block, unless `replace`; OutputError.
    """
    _check_free(folder, name, replace)
    hidden = folder / f".{secrets.token_hex(4)}.part"
    part = hidden / name
    try:
        with saving(folder, name):
            part.mkdir(parents=True)
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
