"""Paths that a person typed, where "~" means a home folder and a folder that is named must be there; and the cache."""

from __future__ import annotations

import os
from pathlib import Path

from tutortoietts.core.errors import OptionError

__all__ = ["cache_dir", "existing_folder", "expanded"]


def cache_dir() -> Path:
    """TUTORTOIETTS_CACHE, or ``tutortoietts`` in XDG_CACHE_HOME (``~/.cache``)."""
    if own := os.environ.get("TUTORTOIETTS_CACHE"):
        return expanded(own)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return expanded(base) / "tutortoietts"


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with a leading "~" or "~name" written out. OptionError where that home folder is not known."""
    whole = Path(os.path.expanduser(path))
    if whole.parts and whole.parts[0].startswith("~") and not whole.exists():
        raise OptionError(
            f"{os.fspath(path)!r}: the home folder {whole.parts[0]!r} is not known here; write the path out"
        )
    return whole


def existing_folder(path: str | os.PathLike[str], option: str) -> Path:
    """The folder that `option` names. OptionError, naming both, where there is none."""
    folder = expanded(path)
    if not os.path.isdir(folder):
        what = "is a file, not a folder" if os.path.exists(folder) else "is no folder"
        raise OptionError(f"{option} {str(folder)!r} {what}: make it and put the files there, or leave {option} out")
    return folder
