"""Wyoming, the protocol of Home Assistant's voice services, on a port of its own.

A frame is one line of JSON, then `data_length` bytes of JSON, then `payload_length` bytes. Frames of strangers are
bounded; nothing is authenticated in this protocol, so who reaches the port may speak.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from tutortoietts.server.answer import note_finished
from tutortoietts.server.clauses import Clauses
from tutortoietts.server.engine import SpeechEngine
from tutortoietts.server.errors import ApiError, api_error, invalid
from tutortoietts.server.job import Job, Piece
from tutortoietts.server.request import SpeechRequest, parse_speech
from tutortoietts.version import __version__

__all__ = ["WyomingServer", "read_event", "write_event"]

_log = logging.getLogger(__name__)
LINE_LIMIT, DATA_LIMIT, PAYLOAD_LIMIT = 64 * 1024, 1024 * 1024, 0
FRAME_SECONDS, IDLE_SECONDS = 30.0, 600.0
MOST_CONNECTIONS = 16
CHUNK_BYTES = 4096  # 2048 samples
_HOME = {"name": "tutortoietts", "url": "https://github.com/tutortoietts"}
_KINDS = ("asr", "handle", "intent", "wake", "mic", "snd")


@dataclass(frozen=True, slots=True)
class Event:
    """One message."""

    type: str
    data: dict[str, Any] = field(default_factory=dict)


async def read_event(reader: asyncio.StreamReader) -> Event | None:
    """Return the next event, None at the end. Raises ApiError for a frame that is broken or too large."""
    try:
        line = await reader.readline()
    except ValueError:
        raise invalid(f"a line is longer than {LINE_LIMIT} bytes") from None
    if not line:
        return None
    header = _object(line)
    size, payload = (_size(header, name) for name in ("data_length", "payload_length"))
    if size > DATA_LIMIT or payload > PAYLOAD_LIMIT:
        raise invalid(f"an event with {size} bytes of data and {payload} of sound: at most {DATA_LIMIT} and none here")
    data = header.get("data") or {}
    if size:
        try:
            more = await asyncio.wait_for(reader.readexactly(size), FRAME_SECONDS)
        except (asyncio.IncompleteReadError, asyncio.TimeoutError):
            return None
        data = {**data, **_object(more)} if isinstance(data, dict) else _object(more)
    kind = header.get("type")
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise invalid("an event without a type")
    return Event(kind, data)


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise invalid("an event that is not JSON") from None
    if not isinstance(value, dict):
        raise invalid("an event that is no object")
    return value


def _size(header: dict[str, Any], name: str) -> int:
    value = header.get(name) or 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise invalid(f"{name} is not a size")
    return value


def write_event(kind: str, data: dict[str, Any] | None = None, payload: bytes = b"") -> bytes:
    """Return the bytes of an event."""
    header: dict[str, Any] = {"type": kind, "version": __version__}
    body = json.dumps(data).encode() if data else b""
    if body:
        header["data_length"] = len(body)
    if payload:
        header["payload_length"] = len(payload)
    return json.dumps(header).encode() + b"\n" + body + payload


class WyomingServer:
    """Serves any number of connections over one engine."""

    def __init__(self, engine: SpeechEngine) -> None:
        self._engine = engine
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises OSError where that cannot be done."""
        self._server = await asyncio.start_server(self._connected, host, port, limit=LINE_LIMIT)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and end all connections."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._tasks) >= MOST_CONNECTIONS:
            writer.close()
            return
        self._tasks.add(task)
        self._engine.metrics.wyoming.set(len(self._tasks))
        try:
            await _Connection(self._engine, reader, writer).run()
        except (ConnectionError, asyncio.CancelledError):
            pass
        except Exception:
            _log.exception("a Wyoming connection failed")
        finally:
            self._tasks.discard(task)
            self._engine.metrics.wyoming.set(len(self._tasks))
            writer.close()


class _Connection:
    def __init__(self, engine: SpeechEngine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._engine, self._reader, self._writer = engine, reader, writer
        self._speaker: asyncio.Task[None] | None = None
        self._sentences: asyncio.Queue[str | None] | None = None
        self._clauses = Clauses()
        self._characters = 0

    async def run(self) -> None:
        """Read events, also while speaking, so that a closed connection is seen."""
        try:
            while True:
                event = await asyncio.wait_for(read_event(self._reader), IDLE_SECONDS)
                if event is None:
                    return
                await self._handle(event)
        except asyncio.TimeoutError:
            return
        except ApiError as error:
            await self._fail(error)
        finally:
            if self._speaker is not None:
                self._speaker.cancel()
                await asyncio.gather(self._speaker, return_exceptions=True)

    async def _handle(self, event: Event) -> None:
        if event.type == "describe":
            await self._write("info", self._info())
        elif event.type == "ping":
            await self._write("pong", {"text": event.data.get("text")})
        elif event.type == "synthesize" and self._sentences is None:
            await self._begin(_voice(event.data), streamed=False)
            self._add(event.data.get("text"), last=True)
        elif event.type == "synthesize-start":
            await self._begin(_voice(event.data), streamed=True)
        elif event.type == "synthesize-chunk" and self._sentences is not None:
            self._add(event.data.get("text"), last=False)
        elif event.type == "synthesize-stop" and self._sentences is not None:
            self._add("", last=True)

    async def _begin(self, voice: str | None, *, streamed: bool) -> None:
        if self._speaker is not None:
            if self._sentences is not None:  # a text that was never ended
                self._speaker.cancel()
            await asyncio.gather(self._speaker, return_exceptions=True)
        self._sentences, self._characters = asyncio.Queue(), 0
        self._clauses = Clauses("clause" if streamed else "none")
        self._speaker = asyncio.ensure_future(self._speak(self._sentences, voice, streamed=streamed))

    def _add(self, text: Any, *, last: bool) -> None:
        assert self._sentences is not None
        if not isinstance(text, str):
            raise invalid("text is missing")
        self._characters += len(text)
        if self._characters > self._engine.settings.max_input:
            raise invalid(f"a text may have {self._engine.settings.max_input} characters", "text")
        ready = self._clauses.push(text) + (self._clauses.flush() if last else [])
        for sentence in ready:
            self._sentences.put_nowait(sentence)
        if last:
            self._sentences.put_nowait(None)
            self._sentences = None

    async def _speak(self, sentences: asyncio.Queue[str | None], voice: str | None, *, streamed: bool) -> None:
        """Speak sentences as they come: one audio-start, chunks, one audio-stop."""
        begun = False
        try:
            while (sentence := await sentences.get()) is not None:
                if not any(map(str.isalnum, sentence)):
                    continue
                async with contextlib.aclosing(self._pieces(sentence, voice)) as pieces:  # type: ignore[type-var]
                    async for piece in pieces:
                        if not begun:
                            await self._write("audio-start", self._form())
                            begun = True
                        await self._chunk(piece.data)
            if not begun:
                await self._write("audio-start", self._form())
            await self._write("audio-stop")
            if streamed:
                await self._write("synthesize-stopped")
        except ConnectionError:
            self._writer.close()
        except Exception as error:
            await self._fail(api_error(error))

    async def _pieces(self, text: str, voice: str | None) -> AsyncIterator[Piece]:
        job = self._submit(text, voice)
        async with contextlib.aclosing(job.pieces()) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                yield piece
        note_finished(self._engine, job)

    def _submit(self, text: str, voice: str | None) -> Job:
        return self._engine.submit(self._request(text, voice))

    def _request(self, text: str, voice: str | None) -> SpeechRequest:
        body = {"input": text, "voice": voice, "response_format": "pcm"}
        return parse_speech(body, self._engine.settings, self._engine.info)

    async def _chunk(self, data: bytes) -> None:
        for start in range(0, len(data), CHUNK_BYTES):
            await self._write("audio-chunk", self._form(), data[start : start + CHUNK_BYTES])

    def _form(self) -> dict[str, Any]:
        return {"rate": self._engine.info.sample_rate, "width": 2, "channels": 1}

    async def _write(self, kind: str, data: dict[str, Any] | None = None, payload: bytes = b"") -> None:
        self._writer.write(write_event(kind, data, payload))
        try:
            await asyncio.wait_for(self._writer.drain(), self._engine.settings.reader_timeout)
        except asyncio.TimeoutError:
            raise ConnectionError("the client reads nothing") from None

    async def _fail(self, error: ApiError) -> None:
        with contextlib.suppress(ConnectionError):
            await self._write("error", {"text": error.message, "code": error.code})
        self._writer.close()

    def _info(self) -> dict[str, Any]:
        """Return what Home Assistant asks for; the voices are looked up anew each time."""
        try:
            languages = [name for name in self._engine.info.languages if "-" not in name] or ["en"]
            names = self._engine.voices.names()
        except ApiError:  # the model is being loaded
            languages, names = ["en"], []
        described = {"attribution": _HOME, "installed": True}
        voices = [
            {"name": name, **described, "description": name, "version": None, "languages": languages, "speakers": None}
            for name in names
        ]
        program = {
            "name": "tutortoietts",
            **described,
            "description": "Tutortoie TTS",
            "version": __version__,
            "supports_synthesize_streaming": True,
            "voices": voices,
        }
        return {"tts": [program], **{kind: [] for kind in _KINDS}}


def _voice(data: dict[str, Any]) -> str | None:
    """Return the name in an event's "voice"; None: the default voice, as when only a language is given."""
    voice = data.get("voice")
    name = voice.get("name") if isinstance(voice, dict) else None
    return name if isinstance(name, str) and name else None
