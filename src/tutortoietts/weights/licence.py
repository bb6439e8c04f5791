"""Agreement to a licence that must be agreed to before its files are downloaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tutortoietts.core.errors import FetchError
from tutortoietts.core.licences import Licence
from tutortoietts.core.paths import cache_dir

__all__ = ["accept", "accepted", "require_consent"]

_YES = ("y", "yes")
_ON = ("1", "on", "yes", "true")


def accepted(licence: Licence, environment: Mapping[str, str] | None = None) -> bool:
    """Tell whether the user agreed: by the licence's environment variable, or earlier on this machine."""
    if not licence.needs_consent:
        return True
    value = (os.environ if environment is None else environment).get(licence.variable or "", "")
    return value.strip().lower() in _ON or _record(licence).is_file()


def accept(licence: Licence) -> None:
    """Remember on this machine that the user agreed.

    Where the cache cannot be written the question comes again next time.
    """
    record = _record(licence)
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(f"{licence.name}\n{licence.address}\n", encoding="utf-8")
    except OSError:
        return


def require_consent(licence: Licence, name: str, *, ask: Callable[[str], str] | None = None) -> None:
    """Make sure that the licence of the file `name` is agreed to, before anything is downloaded.

    ask: shows a text and returns the answer; None asks on the terminal, where there is one. Agreement is remembered.
    Raises FetchError that says what the terms are and how to agree, without a terminal or after another answer.
    """
    if accepted(licence):
        return
    if ask is None and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise FetchError(
            f"{name} comes under the {licence.name} ({licence.address}). {licence.summary} "
            f"To agree, {licence.how_to_agree}",
            file=name,
        )
    question = f"{name} comes under the {licence.name}: {licence.address}\n{licence.summary}\nDo you agree? [y/N] "
    answer = (ask or _terminal)(question).strip().lower()
    if answer not in _YES:
        raise FetchError(f"{name} was not downloaded: the {licence.name} was not agreed to", file=name)
    accept(licence)


def _terminal(question: str) -> str:
    """The question goes to stderr, so that stdout stays data."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline()


def _record(licence: Licence) -> Path:
    return cache_dir() / "licences" / f"{(licence.variable or licence.name).lower()}.txt"
