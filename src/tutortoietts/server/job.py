"""One request on its way: made in a worker thread, taken piece by piece by whoever answers the client."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from tutortoietts.core.errors import Cancelled
from tutortoietts.core.types import Word
from tutortoietts.engine.progress import Report
from tutortoietts.engine.speech import SpeechStream
from tutortoietts.server.errors import ApiError
from tutortoietts.server.request import SpeechRequest
from tutortoietts.server.settings import ServerSettings

__all__ = ["Done", "Job", "Piece"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of the answer, and the seconds of sound that went into them."""

    data: bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class Done:
    """The end of an answer. seconds: of sound; tokens of the text; codes drawn; words if they were requested."""

    report: Report
    seconds: float
    tokens: int
    codes: int
    words: tuple[Word, ...] = ()


@dataclass(eq=False)
class Job:
    """A request that was admitted.

    kept: its speech, where the phrase cache has it.

    Iterate over it for its pieces; `done` is known at the end. Whatever ends the iteration, call `cancel`, which sets
    the event that the models look at after every code.
    """

    request: SpeechRequest
    settings: ServerSettings
    loop: asyncio.AbstractEventLoop
    key: str = ""
    on_end: Callable[[Job], None] = lambda job: None
    created: float = field(default_factory=time.monotonic)
    stop: threading.Event = field(default_factory=threading.Event)
    seed: int | None = None
    started: float | None = None
    first_sent: float | None = None
    done: Done | None = None
    error: BaseException | None = None
    gap: float = 0.0
    kept: SpeechStream | None = None

    def __post_init__(self) -> None:
        self._items: asyncio.Queue[Piece | Done | BaseException] = asyncio.Queue()
        self._room = threading.Condition()
        self._unread = 0.0
        self._sent_seconds = 0.0
        self.cancelled = False  # apart from `stop`, which a stream sets itself at its end
        self._ended = False

    # The worker's side.

    def put(self, item: Piece | Done | BaseException) -> None:
        """Hand over the next item; wait while the reader has more than `ahead_seconds` before it.

        Raises Cancelled once the job is stopped, ApiError when the reader takes nothing for too long.
        """
        if isinstance(item, Piece):
            with self._room:
                free = self._room.wait_for(self._has_room, self.settings.reader_timeout)
                if self.cancelled:
                    raise Cancelled("the client left")
                if not free:
                    raise ApiError(408, "the client reads nothing", code="slow_reader")
                self._unread += item.seconds
        try:
            self.loop.call_soon_threadsafe(self._items.put_nowait, item)
        except RuntimeError:  # the loop is closed: nobody is left to read
            self.cancelled = True

    def _has_room(self) -> bool:
        return self.cancelled or self._unread < self.settings.ahead_seconds

    # The side of whoever answers.

    def cancel(self) -> None:
        """End the work within a step."""
        self.cancelled = True
        self.stop.set()
        with self._room:
            self._room.notify_all()
        self._end()

    def fail(self, error: BaseException) -> None:
        """End a job that has not begun to be worked on."""
        self._items.put_nowait(error)

    async def pieces(self) -> AsyncIterator[Piece]:
        """Yield the pieces. Raises what the worker raised, and ApiError 504 beyond a deadline."""
        try:
            while True:
                item = await self._next()
                if isinstance(item, Done):
                    self.done = item
                    return
                if isinstance(item, BaseException):
                    raise item
                self._note(item)
                yield item
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.cancel()

    async def _next(self) -> Piece | Done | BaseException:
        now, settings = time.monotonic(), self.settings
        limit = self.created + settings.request_timeout
        what, code = f"was not done within {settings.request_timeout:g} s", "deadline_exceeded"
        if self.started is None:
            limit = min(limit, self.created + settings.queue_timeout)
            what = f"waited {settings.queue_timeout:g} s for its turn"
        elif self.first_sent is None and not self.request.whole:
            limit = min(limit, self.started + settings.first_sound_timeout)
            what = f"had no sound after {settings.first_sound_timeout:g} s"
        try:
            return await asyncio.wait_for(self._items.get(), max(0.0, limit - now))
        except asyncio.TimeoutError:
            if self.started is not None and "turn" in what:
                return await self._next()  # its turn came while it waited: other limits hold now
            raise ApiError(504, f"the request {what}", code=code, retry=2, reason="deadline") from None

    def _note(self, piece: Piece) -> None:
        """Note when sound was taken: a gap is a time at which all sound before it was over."""
        now = time.monotonic()
        if self.first_sent is None and piece.data:
            self.first_sent = now
        if self.first_sent is not None:
            self.gap = max(self.gap, now - self.first_sent - self._sent_seconds)
        self._sent_seconds += piece.seconds
        with self._room:
            self._unread -= piece.seconds
            self._room.notify_all()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self.on_end(self)
