"""Progress of a book, by spoken characters to do: per cent, pace, time left. What is kept costs nothing, apart."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tutortoietts.book.run import Event, Failed, Flagged, Kept, Made, Planned

__all__ = ["BookProgress", "clock"]

RECENT = 20
FIRST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    characters: int
    seconds: float
    at: float


class BookProgress:
    """Takes in the events of a run and tells how it stands."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.started = now()
        self.characters = self.spoken = self.segments = self.done_before = 0
        self.made = self.kept = self.flagged = self.failed = 0
        self.sound = 0.0
        self._recent: deque[_Step] = deque(maxlen=RECENT + 1)

    def add(self, event: Event) -> None:
        """Take in an event."""
        if isinstance(event, Planned):
            self.characters, self.segments, self.done_before = event.characters, event.segments, event.done
            self._recent.append(_Step(characters=0, seconds=0.0, at=self._now()))
            return
        self.spoken += len(event.segment.spoken)
        if isinstance(event, Failed):
            self.failed += 1
        elif isinstance(event, Kept):
            self.kept += 1
            self.characters -= len(event.segment.spoken)
            self.spoken -= len(event.segment.spoken)
        if isinstance(event, Made | Flagged):
            self.made += 1
            self.flagged += isinstance(event, Flagged)
            self.sound += event.seconds
            self._recent.append(_Step(characters=len(event.segment.spoken), seconds=event.seconds, at=self._now()))

    @property
    def percent(self) -> float:
        """Per cent of the characters to speak."""
        return 100.0 if self.characters <= 0 else 100.0 * self.spoken / self.characters

    @property
    def left(self) -> float | None:
        """Seconds left at the pace of the last 20 segments, None before the first five."""
        if len(self._recent) <= FIRST:
            return None
        elapsed = self._recent[-1].at - self._recent[0].at
        characters = sum(step.characters for step in list(self._recent)[1:])
        return elapsed * (self.characters - self.spoken) / characters if characters else None

    @property
    def speed(self) -> float | None:
        """Seconds of sound a second, over the last 20 segments."""
        elapsed = self._recent[-1].at - self._recent[0].at if self._recent else 0.0
        return sum(step.seconds for step in list(self._recent)[1:]) / elapsed if elapsed > 0 else None

    def line(self) -> str:
        """Return one line for a person."""
        parts = [f"{self.percent:5.1f} %", f"{clock(self.sound)} of sound"]
        if self.speed is not None:
            parts.append(f"{self.speed:.1f} times real time")
        if self.left is not None:
            end = time.strftime("%H:%M", time.localtime(time.time() + self.left))
            parts.append(f"{clock(self.left)} left, ready at {end}")
        if self.flagged:
            parts.append(f"{self.flagged} flagged")
        if self.failed:
            parts.append(f"{self.failed} failed")
        return ", ".join(parts)

    def summary(self) -> str:
        """Return one line for the end of a run."""
        parts = [f"{clock(self.sound)} of sound made in {clock(self._now() - self.started)}", f"{self.made} made"]
        parts += [f"{self.kept} from the phrase cache"] if self.kept else []
        parts += [f"{self.done_before} done before"] if self.done_before else []
        parts += [f"{self.flagged} flagged"] if self.flagged else []
        parts += [f"{self.failed} failed"] if self.failed else []
        return ", ".join(parts)


def clock(seconds: float) -> str:
    """Return a duration as "1:02:03", "2:03" or "3 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
