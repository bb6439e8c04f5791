"""Playing a file with whatever player the machine has."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tutortoietts.core.errors import OptionError, OutputError

# The first one present is used.
PLAYERS: dict[str, Sequence[str]] = {
    "ffplay": ("-nodisp", "-autoexit", "-loglevel", "error"),
    "mpv": ("--no-video", "--really-quiet"),
    "play": ("-q",),
    "afplay": (),
    "pw-play": (),
    "paplay": (),
    "aplay": ("-q",),
}


def find_player() -> list[str]:
    """The command that plays a file put after it. Raises OptionError when there is none."""
    for name, arguments in PLAYERS.items():
        if path := shutil.which(name):
            return [path, *arguments]
    raise OptionError(f"--play found no player: install one of {', '.join(PLAYERS)}, or leave --play out")


def play(player: Sequence[str], path: Path) -> None:
    """Play `path` and wait for its end. Raises OutputError when the player fails."""
    result = subprocess.run([*player, str(path)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]
        raise OutputError(f"{Path(player[0]).name} could not play {path}: {reason}; the file is complete")
