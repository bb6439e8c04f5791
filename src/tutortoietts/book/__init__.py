"""Documents to audiobooks: readers, plan, store, run, mastering, export.

book = Book.open("alice.epub", options=BookOptions(voice="clara"))
speaker = EngineSpeaker(TextToSpeech(enable_redaction=False))
for event in book.make(speaker): ...
book.export("alice.m4b")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tutortoietts.book.book import Book
    from tutortoietts.book.engine import EngineSpeaker
    from tutortoietts.book.options import BookOptions

__all__ = ["Book", "BookOptions", "EngineSpeaker"]

_PLACES = {"Book": "book", "BookOptions": "options", "EngineSpeaker": "engine"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'tutortoietts.book' has no attribute {name!r}")
    return getattr(importlib.import_module(f"tutortoietts.book.{_PLACES[name]}"), name)
