"""Play audio with a player program of the machine: a complete file, or samples while they are made."""

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
    """A player program: its arguments before a file's name, and those that play stdin (`pipe`, None if it cannot).

    `form`: format that it expects on stdin, "wav" (with the length left open) or "s16le" (headerless; `pipe` gives rate
    and channels).
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
    """Return the first installed player; with `streaming`, the first that can play stdin.

    Raises OptionError if there is none.
    """
    fit = [player for player in PLAYERS if player.pipe is not None or not streaming]
    for player in fit:
        if shutil.which(player.program):
            return player
    names = ", ".join(player.program for player in fit)
    lacking, remedy = ("player for a stream", "--play or --streaming") if streaming else ("player", "--play")
    raise OptionError(f"--play found no {lacking}: install one of {names}, or remove {remedy}")


def play(player: Player, path: Path) -> None:
    """Play `path` and wait for the end. Raises OutputError if the player fails."""
    command = [player.program, *player.file, str(path)]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if result.returncode:
        raise _failure(player, result.returncode, result.stderr, path)


@contextmanager
def played(player: Player, path: Path) -> Iterator[Callable[[bytes], None]]:
    """Yield a function that plays 16-bit samples at 24 kHz while the block runs, and never waits for the player.

    The end of the block waits until all is played; an error in it stops the player. `path`: the file that gets the same
    audio, named in the OutputError that is raised at the end if the player fails, when the file is complete.
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
    """Pass samples on, up to None, as fast as the player reads them."""
    with suppress(OSError), stdin:  # a player that has ended is noticed by its exit code
        while (piece := samples.get()) is not None:
            stdin.write(piece)
            stdin.flush()


def _failure(player: Player, code: int, errors: bytes, path: Path) -> OutputError:
    reason = (errors.decode(errors="replace").strip().splitlines() or [f"exit code {code}"])[-1]
    return OutputError(f"{player.program} could not play {path}: {reason}; the file is complete")
