"""Playing with whatever player the machine has: a file that is complete, or sound as it is made."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO

from tutortoietts.core.errors import OptionError, OutputError

__all__ = ["PLAYERS", "Player", "find_player", "play", "played"]

RATE = 24000


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """How a program plays a file named after `file`; with `pipe`, what comes on stdin, None where it cannot.

    `form` of what comes: "wav" (whose length is left open) or "s16le" (headerless; `pipe` says rate and channels).
    """

    program: str
    file: Sequence[str] = ()
    pipe: Sequence[str] | None = None
    form: str = "wav"


# The first one present is used.
PLAYERS = (
    Player(
        program="ffplay",
        file=("-nodisp", "-autoexit", "-loglevel", "error"),
        pipe=("-nodisp", "-autoexit", "-loglevel", "error", "-i", "pipe:0"),
    ),
    Player(program="mpv", file=("--no-video", "--really-quiet"), pipe=("--no-video", "--really-quiet", "-")),
    Player(
        program="play",
        file=("-q",),
        pipe=("-q", "-t", "raw", "-r", f"{RATE}", "-e", "signed", "-b", "16", "-c", "1", "-"),
        form="s16le",
    ),
    Player(program="afplay"),
    Player(program="pw-play"),
    Player(program="paplay", pipe=("--raw", "--format=s16le", f"--rate={RATE}", "--channels=1"), form="s16le"),
    Player(
        program="aplay",
        file=("-q",),
        pipe=("-q", "-t", "raw", "-f", "S16_LE", "-r", f"{RATE}", "-c", "1", "-"),
        form="s16le",
    ),
)


def find_player(streaming: bool = False) -> Player:
    """The first player present, with `streaming` the first that can play what comes on stdin.

    Raises OptionError when there is none.
    """
    fit = [player for player in PLAYERS if player.pipe is not None or not streaming]
    for player in fit:
        if shutil.which(player.program):
            return player
    names = ", ".join(player.program for player in fit)
    lacking, remedy = ("player of a stream", "--play or --streaming") if streaming else ("player", "--play")
    raise OptionError(f"--play found no {lacking}: install one of {names}, or leave {remedy} out")


def play(player: Player, path: Path) -> None:
    """Play `path` and wait for its end. Raises OutputError when the player fails."""
    command = [player.program, *player.file, str(path)]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if result.returncode:
        raise _failure(player, result.returncode, result.stderr, path)


@contextmanager
def played(player: Player, path: Path) -> Iterator[Callable[[bytes], None]]:
    """A function that plays 16-bit samples of 24 kHz while the block runs, and never waits for the player.

    The end of the block waits until all is heard; an error in it silences the player. `path`: where the same sound
    goes, for the OutputError when the player fails; that is raised at the end, so that the file is complete.
    """
    from tutortoietts.audio.io import wav_header

    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [player.program, *(player.pipe or ())], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors
        )
        samples: SimpleQueue[bytes | None] = SimpleQueue()
        feeder = Thread(target=_feed, args=(process.stdin, samples), name="tutortoietts-player", daemon=True)
        feeder.start()
        try:
            if player.form == "wav":
                samples.put(wav_header(RATE))
            yield samples.put
            samples.put(None)
            feeder.join()
            process.wait()
        finally:
            process.kill()
            samples.put(None)
            feeder.join()
            process.wait()
        errors.seek(0)
        if process.returncode:
            raise _failure(player, process.returncode, errors.read(), path)


def _feed(stdin: IO[bytes], samples: SimpleQueue[bytes | None]) -> None:
    """Passes on what comes, up to None, as fast as the player takes it."""
    with suppress(OSError), stdin:  # a player that has gone away is noticed by its exit code
        while (piece := samples.get()) is not None:
            stdin.write(piece)
            stdin.flush()


def _failure(player: Player, code: int, errors: bytes, path: Path) -> OutputError:
    reason = (errors.decode(errors="replace").strip().splitlines() or [f"exit code {code}"])[-1]
    return OutputError(f"{player.program} could not play {path}: {reason}; the file is complete")
