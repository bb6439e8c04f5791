"""`/v1/audio/speech/stream` as a WebSocket: text in as it is written, sound out as it is made (vLLM-Omni's protocol).

In: session.config, input.text, input.done, input.cancel (ours), session.close. Out: audio.start, bytes, audio.done,
session.done, error. docs/server.md has the messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from tutortoietts.core.errors import Cancelled
from tutortoietts.server.answer import note_finished
from tutortoietts.server.clauses import GRANULARITIES, Clauses
from tutortoietts.server.engine import SpeechEngine
from tutortoietts.server.errors import ApiError, api_error, invalid
from tutortoietts.server.guard import SUBPROTOCOL, Receive, Scope, Send
from tutortoietts.server.job import Job
from tutortoietts.server.keys import Limits
from tutortoietts.server.request import SpeechRequest, parse_json, parse_speech

__all__ = ["SpeechSocket"]

CONFIG_SECONDS, IDLE_SECONDS = 10.0, 60.0
MESSAGE_CHARACTERS = 16 * 1024
MOST_SOCKETS = 64
_CONFIG = (
    "voice", "model", "response_format", "speed", "language", "instructions", "seed", "decoder", "preset", "options",
    "sample_rate", "normalize",
)  # fmt: skip


class _Close(Exception):
    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message)
        self.code, self.message = code, message


class SpeechSocket:
    """ASGI application for these WebSockets."""

    def __init__(self, engine: SpeechEngine, limits: Limits) -> None:
        self._engine, self._limits, self._open = engine, limits, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection. Raises ApiError before it is accepted."""
        if self._engine.state != "ready":
            self._engine.submit(SpeechRequest(text="", voice=""))  # raises why
        if self._open >= MOST_SOCKETS:
            raise ApiError(503, f"there are {MOST_SOCKETS} WebSockets, the limit", code="queue_full", retry=5)
        self._open += 1
        self._engine.metrics.websockets.set(self._open)
        socket = WebSocket(scope, receive, send)
        try:
            offered = scope.get("subprotocols", [])
            await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
            await _Session(socket, self._engine, self._limits, scope["state"]["key"]).run()
        finally:
            self._open -= 1
            self._engine.metrics.websockets.set(self._open)


@dataclass
class _Utterance:
    """What one input.done ends: its sentences wait in a line until they are spoken. None ends the line."""

    number: int
    sentences: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)
    spoken: int = 0
    characters: int = 0
    closed: bool = False


class _Session:
    def __init__(self, socket: WebSocket, engine: SpeechEngine, limits: Limits, key: str) -> None:
        self._socket, self._engine, self._limits, self._key = socket, engine, limits, key
        self._config: dict[str, Any] | None = None
        self._clauses = Clauses()
        self._pieces = False
        self._utterances = 0
        self._utterance: _Utterance | None = None
        self._speaker: asyncio.Task[None] | None = None
        self._job: Job | None = None

    async def run(self) -> None:
        """Read messages until the connection or the session ends."""
        try:
            while True:
                await self._message(await self._read())
        except (WebSocketDisconnect, RuntimeError):
            pass
        except _Close as end:
            await self._drop()
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                if end.message:
                    await self._error(end.message, "closed")
                await self._socket.close(end.code, end.message[:100])
        finally:
            await self._drop()

    async def _read(self) -> dict[str, Any]:
        """Return the next message; a silent client is shut out, unless it listens."""
        while True:
            limit = CONFIG_SECONDS if self._config is None else IDLE_SECONDS
            try:
                message = await asyncio.wait_for(self._socket.receive(), limit)
            except asyncio.TimeoutError:
                if self._speaker is not None and not self._speaker.done():
                    continue
                raise _Close(1008, f"no message for {limit:g} s") from None
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code") or 1000)
            text = message.get("text")
            if text is None:
                await self._error("a binary frame: messages are JSON in text frames", "invalid_message")
                continue
            try:
                return parse_json(text.encode("utf-8", "replace"))
            except ApiError as error:
                await self._error(error.message, "invalid_json")

    async def _message(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        try:
            if kind == "session.config":
                self._configure(message)
            elif kind == "session.close":
                await self._wait()
                raise _Close(1000)
            elif self._config is None:
                raise invalid("the first message must be session.config", code="no_config")
            elif kind == "input.text":
                self._text(message.get("text"))
            elif kind == "input.done":
                self._done()
            elif kind == "input.cancel":
                await self._cancel()
            else:
                raise invalid(f"unknown type {str(kind)[:60]!r}", "type", "unknown_type")
        except ApiError as error:
            if self._config is None:
                raise _Close(1008, error.message) from None
            await self._error(error.message, error.code or error.type)

    def _configure(self, message: dict[str, Any]) -> None:
        if len(self._clauses) or (self._utterance is not None and not self._utterance.closed):
            raise invalid("session.config must come between utterances: send input.done first", code="busy")
        granularity = message.get("split_granularity", "clause")
        if granularity not in GRANULARITIES:
            raise invalid(f"split_granularity must be one of {', '.join(GRANULARITIES)}", "split_granularity")
        pieces = message.get("stream_audio", False)
        if not isinstance(pieces, bool):
            raise invalid("stream_audio must be true or false", "stream_audio")
        config = {name: message[name] for name in _CONFIG if name in message}
        config.setdefault("response_format", "wav")
        self._parse("Hello.", config, whole=not pieces)
        self._config, self._pieces, self._clauses = config, pieces, Clauses(granularity)

    def _parse(self, text: str, config: dict[str, Any], *, whole: bool) -> SpeechRequest:
        body = {"input": text, **config, "stream": not whole}
        parsed = parse_speech(body, self._engine.settings, self._engine.info)
        try:
            self._engine.voices.check(parsed.voice)
        except Exception as error:
            raise api_error(error) from None
        return parsed

    def _text(self, text: Any) -> None:
        if not isinstance(text, str) or len(text) > MESSAGE_CHARACTERS:
            raise invalid(f"text must be a string of at most {MESSAGE_CHARACTERS} characters", "text")
        utterance = self._current()
        most = self._engine.settings.max_input
        if utterance.characters + len(text) > most:
            raise invalid(
                f"an utterance may have {most} characters: send input.done", "text", "string_above_max_length"
            )
        utterance.characters += len(text)
        for sentence in self._clauses.push(text):
            utterance.sentences.put_nowait(sentence)

    def _current(self) -> _Utterance:
        """Return the utterance that is being written; a new one starts a task that speaks it after the one before."""
        if self._utterance is None or self._utterance.closed:
            self._utterance = _Utterance(self._utterances)
            self._utterances += 1
            self._speaker = asyncio.ensure_future(self._speak(self._utterance, self._speaker))
        return self._utterance

    def _done(self) -> None:
        utterance = self._current()
        for sentence in self._clauses.flush():
            utterance.sentences.put_nowait(sentence)
        utterance.sentences.put_nowait(None)
        utterance.closed = True

    async def _cancel(self) -> None:
        """Drop what is buffered and what is spoken, and say so."""
        utterance, self._utterance = self._utterance, None
        spoke = self._speaker is not None and not self._speaker.done()
        await self._drop()
        self._clauses.flush()
        if utterance is None or not spoke:
            return
        await self._send("audio.done", utterance, cancelled=True, error=False, total_bytes=0)
        await self._send("session.done", utterance, total_sentences=utterance.spoken, cancelled=True)

    async def _drop(self) -> None:
        if self._job is not None:
            self._job.cancel()
        if self._speaker is not None:
            self._speaker.cancel()
            await asyncio.gather(self._speaker, return_exceptions=True)
            self._speaker = None

    async def _wait(self) -> None:
        """Speak what has come before the end of the session."""
        if self._utterance is not None and not self._utterance.closed:
            self._done()
        if self._speaker is not None:
            await asyncio.gather(self._speaker, return_exceptions=True)

    async def _speak(self, utterance: _Utterance, before: asyncio.Task[None] | None) -> None:
        try:
            if before is not None:
                await asyncio.gather(before, return_exceptions=True)
            while (sentence := await utterance.sentences.get()) is not None:
                if any(map(str.isalnum, sentence)):
                    await self._sentence(utterance, sentence)
            await self._send("session.done", utterance, total_sentences=utterance.spoken)
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            if before is not None and not before.done():
                before.cancel()

    async def _sentence(self, utterance: _Utterance, sentence: str) -> None:
        assert self._config is not None
        total, failed, number = 0, False, utterance.spoken
        utterance.spoken += 1
        try:
            request = self._parse(sentence, self._config, whole=not self._pieces)
            self._limits.enter(self._key)
            try:
                job = self._job = self._engine.submit(request, self._key)
                async with contextlib.aclosing(job.pieces()) as pieces:  # type: ignore[type-var]
                    async for piece in pieces:
                        if not piece.data:
                            continue
                        if not total:
                            await self._start(utterance, number, sentence, request)
                        total += len(piece.data)
                        await self._within(self._socket.send_bytes(piece.data))
                note_finished(self._engine, job)
            finally:
                self._limits.leave(self._key)
        except Cancelled:
            failed = True
        except (WebSocketDisconnect, RuntimeError):
            raise
        except Exception as error:
            failed = True
            refusal = api_error(error)
            await self._error(refusal.message, refusal.code or refusal.type)
        await self._send("audio.done", utterance, sentence_index=number, total_bytes=total, error=failed)

    async def _start(self, utterance: _Utterance, number: int, sentence: str, request: SpeechRequest) -> None:
        form = {"format": request.form, "sample_rate": request.sample_rate, "channels": 1}
        if terms := self._engine.info.terms:
            form["terms"] = terms
        await self._send("audio.start", utterance, sentence_index=number, sentence_text=sentence, **form)

    async def _send(self, kind: str, utterance: _Utterance, **values: Any) -> None:
        message = {"type": kind, "utterance_index": utterance.number, **values}
        await self._within(self._socket.send_text(json.dumps(message)))

    async def _error(self, message: str, code: str) -> None:
        await self._within(self._socket.send_text(json.dumps({"type": "error", "message": message, "code": code})))

    async def _within(self, sending: Awaitable[None]) -> None:
        """Wait for a message to be sent; a client that reads nothing is left."""
        try:
            await asyncio.wait_for(sending, self._engine.settings.reader_timeout)
        except asyncio.TimeoutError:
            raise WebSocketDisconnect(1011) from None
