"""Paths that a user typed, the cache folder, and the environment variables that the package reads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tutortoietts.core.errors import OptionError

__all__ = ["ENVIRONMENT", "cache_dir", "data_dir", "existing_folder", "expand_user", "expanded"]

ENVIRONMENT: Mapping[str, str] = {
    "TUTORTOIETTS_VOICES": "folders, separated as in PATH: first your voices (default "
    "`~/.local/share/tutortoietts/voices`), then others to read",
    "XDG_DATA_HOME": "folder in which `tutortoietts/voices` are your voices, unless `TUTORTOIETTS_VOICES` is set",
    "TORTOISE_MODELS_DIR": "folder of public checkpoints, searched before the caches",
    "TUTORTOIETTS_CACHE": "folder of converted checkpoints and compiled kernels (default `~/.cache/tutortoietts`)",
    "TUTORTOIETTS_ACCEPT_CPML": "1: you agree to the licence of XTTS-v2, which must be agreed to before its download",
    "TUTORTOIETTS_PHRASES_MAX": "most that cached phrases may take, such as 500M or 2G (default 2G)",
    "XDG_CACHE_HOME": "folder in which `tutortoietts` is the cache, unless `TUTORTOIETTS_CACHE` is set",
    "HF_HUB_OFFLINE": "1: never use the network",
    "TUTORTOIETTS_NATIVE": "0: compile nothing; torch alone does the work on a CPU",
    "TUTORTOIETTS_CUDA_GRAPHS": "0: run each step on a GPU by itself instead of as a captured CUDA graph",
    "TUTORTOIETTS_TRITON": "0: use no Triton kernels on a GPU; torch alone does the work",
    "TUTORTOIETTS_KOKORO_STYLES": "for `tutortoietts train render`: folder of the styles in the npm package kokoro-js",
    "TUTORTOIETTS_DEBUG": "1: show the traceback of an error, like `--debug`",
}
"""Name -> meaning of every environment variable, for docs/cli.md."""


def cache_dir() -> Path:
    """Return the folder TUTORTOIETTS_CACHE, or ``tutortoietts`` in XDG_CACHE_HOME (``~/.cache``).

    Raises OptionError where neither a variable nor a home folder is known.
    """
    if own := os.environ.get("TUTORTOIETTS_CACHE"):
        return expanded(own)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return expanded(base) / "tutortoietts"
    try:
        return expanded("~/.cache") / "tutortoietts"
    except OptionError:
        raise OptionError("no home folder is known here: set TUTORTOIETTS_CACHE to a folder") from None


def data_dir() -> Path:
    """Return the folder ``tutortoietts`` in XDG_DATA_HOME (``~/.local/share``). Raises OptionError without a home."""
    return expanded(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "tutortoietts"


def expand_user(path: str | os.PathLike[str]) -> Path:
    """Return the path with a leading "~" or "~name" expanded, and unchanged where that home folder is not known."""
    try:
        return Path(os.path.expanduser(path))
    except (ValueError, RuntimeError, KeyError):  # characters that no user's name can have
        return Path(path)


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return the path with a leading "~" or "~name" expanded. Raises OptionError for an unknown home folder."""
    full = expand_user(path)
    if full.parts and full.parts[0].startswith("~") and not os.path.exists(full):
        raise OptionError(
            f"{os.fspath(path)!r}: the home folder {full.parts[0]!r} is not known here; write the full path"
        )
    return full


def existing_folder(path: str | os.PathLike[str], option: str) -> Path:
    """Return the folder that `option` names. Raises OptionError, naming both, if there is none."""
    folder = expanded(path)
    if not os.path.isdir(folder):
        fault = "is a file, not a folder" if os.path.exists(folder) else "does not exist"
        raise OptionError(
            f"{option} {str(folder)!r} {fault}: make the folder and put the files there, or remove {option}"
        )
    return folder
