"""The run: what is to do, done by an executor, committed one by one. Killed at any moment, it can be started again."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tutortoietts.book.executors import Executor
from tutortoietts.book.jobs import Job, Result
from tutortoietts.book.plan import Plan, Segment
from tutortoietts.book.store import Store
from tutortoietts.cache.phrases import PhraseCache
from tutortoietts.core.errors import BookError
from tutortoietts.engine.check import Limits

__all__ = ["Event", "Failed", "Flagged", "Kept", "Made", "Planned", "run_plan"]

MOST_FAILURES = 20
BYTES_A_CHARACTER = 4000  # of FLAC, generously
RESERVE = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The run begins: segments in all, those done before, and the characters still to speak."""

    segments: int
    done: int
    characters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A segment was spoken and kept: seconds of sound."""

    segment: Segment
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A segment was found in the phrase cache, or is the same as another one: seconds of sound."""

    segment: Segment
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Flagged:
    """A segment was spoken and kept, but something is wrong with every take that was tried."""

    segment: Segment
    seconds: float
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A segment could not be spoken; the others go on."""

    segment: Segment
    error: str


Event = Planned | Made | Kept | Flagged | Failed


def run_plan(
    store: Store, plan: Plan, executor: Executor, *, cache: PhraseCache | None = None, retries: int = 2,
    limits: Limits | None = None, stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:  # fmt: skip
    """Speak what is to do and yield an event for every segment; the store must be locked by the caller.

    stop: called before every segment; the run ends once it returns True. Raises BookError after 20 failures in a row,
    or at once when the disk is full.
    """
    todo: dict[str, list[Segment]] = {}
    for segment in plan.segments:
        if store.take(segment, crc=True) is None:
            todo.setdefault(segment.key, []).append(segment)
    first = [segments[0] for segments in todo.values()]
    characters = sum(len(segment.spoken) for segment in first)
    _check_space(store, characters)
    yield Planned(segments=len(plan.segments), done=len(plan.segments) - len(first), characters=characters)
    to_speak = []
    for segment in first:
        entry = None if cache is None else cache.get(segment.key)
        if entry is None:
            to_speak.append(segment)
        else:
            store.takes.link(entry)
            yield Kept(segment=segment, seconds=entry.info["samples"] / entry.info["sample_rate"])
    jobs = (_job(segment, retries, limits or Limits()) for segment in to_speak if not stop())
    failures = 0
    for result in executor.run(jobs):
        segment = todo[result.key][0]
        event = _commit(store, segment, result, cache)
        failures = failures + 1 if isinstance(event, Failed) else 0
        yield event
        if failures >= MOST_FAILURES:
            raise BookError(f"{failures} segments in a row failed, the last with: {result.error}")


def _job(segment: Segment, retries: int, limits: Limits) -> Job:
    return Job(
        key=segment.key, text=segment.spoken, voice=segment.voice, seed=segment.seed, retries=retries, limits=limits,
        audio=Path(segment.audio).read_bytes() if segment.audio else b"", language=segment.language,
    )  # fmt: skip


def _commit(store: Store, segment: Segment, result: Result, cache: PhraseCache | None) -> Event:
    if result.error:
        store.log("failed", id=segment.id, key=segment.key, error=result.error)
        return Failed(segment=segment, error=result.error)
    try:
        entry = store.takes.put(result.key, result.data, result.info)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BookError(f"the disk of {store.folder} is full: free some space and run the command again") from error
        raise
    seconds = result.info["samples"] / result.info["sample_rate"]
    store.log("made", id=segment.id, key=segment.key, seconds=round(seconds, 3), faults=result.info["faults"])
    if result.info["faults"]:
        return Flagged(segment=segment, seconds=seconds, faults=tuple(result.info["faults"]))
    if cache is not None:
        cache.put(entry.key, result.data, result.info)
    return Made(segment=segment, seconds=seconds)


def _check_space(store: Store, characters: int) -> None:
    need = characters * BYTES_A_CHARACTER
    if characters and store.free_bytes() < need + RESERVE:
        raise BookError(
            f"{store.folder} needs about {need >> 20} MB and {store.free_bytes() >> 20} MB are free: free some space, "
            "or name a folder elsewhere with --work"
        )
