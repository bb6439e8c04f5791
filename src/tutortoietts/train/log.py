"""Progress of a training stage: one line of ``key value`` pairs on stderr, and JSON lines in a file."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


class Log:
    """``log(step=1, loss=2.5)`` prints and appends; numbers are shortened on the screen only."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._began = path, time.monotonic()

    def __call__(self, **values: float) -> None:
        minutes = (time.monotonic() - self._began) / 60
        shown = "  ".join(f"{k} {v:.4g}" for k, v in values.items())
        print(f"{self._path.stem} {minutes:6.2f} min  {shown}", file=sys.stderr, flush=True)
        with self._path.open("a") as file:
            file.write(json.dumps({"minutes": minutes, **values}) + "\n")
