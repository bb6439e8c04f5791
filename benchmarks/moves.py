"""Count the package's files, and the moves between them, that a second `tts()` goes through before its first code.

    python benchmarks/moves.py [--list]

A move is a call whose nearest caller in the package is in another file. The first code is drawn by the first call of
the sampler's `draw` (sampling/tokens.py). The first request loads models and fills caches, so the second is counted.
A table goes to standard output; JSON is its last line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import tutortoietts
from tutortoietts import TextToSpeech

PACKAGE = str(Path(tutortoietts.__file__).parent)
TEXT = "Hello there, this is a test."


class Moves:
    """A profile function that counts until the first code is drawn.

    calls: name of file -> calls into it; moves: (name of the caller's file, name of file) -> moves.
    """

    def __init__(self, package: str = PACKAGE, last: tuple[str, str] = ("tokens.py", "draw")) -> None:
        self.package, self.last = package, last
        self.calls: Counter[str] = Counter()
        self.moves: Counter[tuple[str, str]] = Counter()
        self.ended = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "call" or self.ended or not self._inside(frame):
            return
        name = frame.f_code.co_filename
        self.calls[self._short(name)] += 1
        caller = frame.f_back
        while caller is not None and not self._inside(caller):
            caller = caller.f_back
        if caller is not None and caller.f_code.co_filename != name:
            self.moves[self._short(caller.f_code.co_filename), self._short(name)] += 1
        self.ended = (Path(name).name, frame.f_code.co_name) == self.last

    def _inside(self, frame: FrameType) -> bool:
        return frame.f_code.co_filename.startswith(self.package)

    def _short(self, name: str) -> str:
        return Path(name).relative_to(self.package).as_posix()


def count(tts: TextToSpeech, text: str = TEXT, **options: Any) -> Moves:
    """Speak `text` twice and return what the second time went through. Raises RuntimeError if no code was drawn."""
    tts.tts(text, **options)
    counted = Moves()
    sys.setprofile(counted)
    try:
        tts.tts(text, **options)
    finally:
        sys.setprofile(None)
    if not counted.ended:
        raise RuntimeError(f"no call of {counted.last[1]} in a file {counted.last[0]}: where are codes drawn?")
    return counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled", help="also tortoise-v2 or a directory")
    parser.add_argument("--list", action="store_true", help="also list the moves")
    chosen = parser.parse_args()
    counted = count(TextToSpeech(chosen.model))
    for name, calls in sorted(counted.calls.items()):
        entered = sum(number for (_, to), number in counted.moves.items() if to == name)
        print(f"{calls:6} calls {entered:5} moves  {name}")
    if chosen.list:
        for (caller, name), number in counted.moves.most_common():
            print(f"{number:6}  {caller} -> {name}")
    print(json.dumps({"files": len(counted.calls), "moves": counted.moves.total()}))


if __name__ == "__main__":
    main()
