"""Options for reading a document."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tutortoietts.core.errors import OptionError

__all__ = ["FRONT", "NOTES", "ReadOptions"]

FRONT = ("auto", "all", "none")
NOTES = ("skip", "inline", "end")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """Options of the readers.

    toc_depth: deepest level of the contents that begins a chapter; front: "auto" leaves out title page, copyright,
    contents and index, "none" also forewords and dedications, "all" leaves out nothing; notes: "skip", "inline" (after
    the paragraph) or "end" (of the chapter); alt: speak the alternative texts of images; encoding: of text files that
    are not UTF-8; chapter_regex: lines of text that begin a chapter; audio_dir: folder of the sounds that markup may
    play, "" for none.
    """

    toc_depth: int = 2
    front: str = "auto"
    notes: str = "skip"
    alt: bool = False
    encoding: str = ""
    chapter_regex: str = ""
    audio_dir: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.toc_depth <= 32:
            raise OptionError(f"--toc-depth is {self.toc_depth}, outside 1..32")
        if self.front not in FRONT:
            raise OptionError(f"--front is {self.front!r}, must be one of {', '.join(FRONT)}")
        if self.notes not in NOTES:
            raise OptionError(f"--notes is {self.notes!r}, must be one of {', '.join(NOTES)}")
        if self.audio_dir and not Path(self.audio_dir).is_dir():
            raise OptionError(f"--audio-dir is {self.audio_dir!r}, which is no folder: name that of the sounds")
