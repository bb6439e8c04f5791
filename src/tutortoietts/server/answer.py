"""The answer to a speech request: bytes, server-sent events or JSON, begun only once there is sound."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from tutortoietts.core.types import Word
from tutortoietts.server.engine import SpeechEngine
from tutortoietts.server.errors import ApiError, api_error
from tutortoietts.server.formats import content_type
from tutortoietts.server.guard import Receive, Scope, Send
from tutortoietts.server.job import Done, Job, Piece
from tutortoietts.server.keys import Limits
from tutortoietts.server.request import SpeechRequest

__all__ = ["Answer", "collect", "note_finished"]


class Answer:
    """ASGI application that speaks one request."""

    def __init__(self, engine: SpeechEngine, limits: Limits, request: SpeechRequest) -> None:
        self._engine, self._limits, self._request = engine, limits, request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; a client that leaves ends the work. Raises ApiError before the first byte."""
        state = scope["state"]
        self._limits.enter(state["key"])
        try:
            job = self._engine.submit(self._request, state["key"])
            try:
                await self._answer(job, scope, receive, send)
            finally:
                job.cancel()
                state["note"] = _note(job)
        finally:
            self._limits.leave(state["key"])

    async def _answer(self, job: Job, scope: Scope, receive: Receive, send: Send) -> None:
        sender = asyncio.ensure_future(self._send(job, scope, send))
        watcher = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait({sender, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if sender.done():
                sender.result()
                note_finished(self._engine, job)
            else:
                scope["state"]["outcome"] = "cancelled"
                self._engine.metrics.stream_aborted.labels("closed").inc()
        finally:
            job.cancel()
            for task in (sender, watcher):
                task.cancel()
            await asyncio.gather(sender, watcher, return_exceptions=True)

    async def _send(self, job: Job, scope: Scope, send: Send) -> None:
        kind, blocks = self._blocks(job, scope["state"]["request_id"])
        started = False
        timeout, terms = job.settings.reader_timeout, self._engine.info.terms
        try:
            async with contextlib.aclosing(blocks) as iterator:
                async for block, last in iterator:
                    if not started:
                        started = True
                        length = len(block) if last else None
                        headers = _headers(job, kind, length, terms)
                        await send({"type": "http.response.start", "status": 200, "headers": headers})
                    message = {"type": "http.response.body", "body": block, "more_body": not last}
                    await asyncio.wait_for(send(message), timeout)
        except asyncio.TimeoutError:
            self._engine.metrics.stream_aborted.labels("closed").inc()
            raise ApiError(408, f"the client read nothing for {timeout:g} s", code="slow_reader") from None
        except Exception:
            if started:
                self._engine.metrics.stream_aborted.labels("error").inc()
            raise

    def _blocks(self, job: Job, request_id: str) -> tuple[str, Any]:
        if self._request.as_json:
            return "application/json", _json(job)
        if self._request.sse:
            return "text/event-stream; charset=utf-8", _events(job, request_id)
        return content_type(self._request.form, self._request.sample_rate), _bytes(job)


def note_finished(engine: SpeechEngine, job: Job) -> None:
    """Put a finished job into the metrics."""
    if job.done is None:
        return
    metrics = engine.metrics
    metrics.spoken(job.done.report, None if job.request.whole else job.gap)
    metrics.characters.inc(len(job.request.text))
    if job.first_sent is not None:
        metrics.first_audio.labels(job.request.decoder).observe(job.first_sent - job.created)
    metrics.request_seconds.observe(time.monotonic() - job.created)


async def collect(job: Job) -> bytes:
    """Return the whole answer of a job."""
    return b"".join([piece.data async for piece in job.pieces()])


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _with_data(job: Job) -> AsyncIterator[Piece]:
    """Yield the pieces that have bytes, each with all bytes since the one before."""
    async with contextlib.aclosing(job.pieces()) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            if piece.data:
                yield piece


async def _bytes(job: Job) -> AsyncIterator[tuple[bytes, bool]]:
    """Yield (bytes, last): a whole answer in one block, whose length is then known."""
    if job.request.whole:
        yield await collect(job), True
        return
    async with contextlib.aclosing(_with_data(job)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            yield piece.data, False
    yield b"", True


async def _events(job: Job, request_id: str) -> AsyncIterator[tuple[bytes, bool]]:
    begun = False
    try:
        async with contextlib.aclosing(_with_data(job)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                yield _event("speech.audio.delta", audio=base64.b64encode(piece.data).decode()), False
                begun = True
    except Exception as error:
        if begun:
            yield _event("speech.audio.error", **api_error(error, request_id).body), False
        raise
    assert job.done is not None
    yield _event("speech.audio.done", **_end(job.done, job.request)), True


async def _json(job: Job) -> AsyncIterator[tuple[bytes, bool]]:
    data = await collect(job)
    assert job.done is not None
    value = {
        "object": "audio.speech",
        "format": job.request.form,
        "sample_rate": job.request.sample_rate,
        "seed": job.seed,
        "audio": base64.b64encode(data).decode(),
        **_end(job.done, job.request),
    }
    yield json.dumps(value).encode(), True


def _event(name: str, **values: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **values})}\n\n".encode()


def _end(done: Done, request: SpeechRequest) -> dict[str, Any]:
    usage = {"input_tokens": done.tokens, "output_tokens": done.codes, "total_tokens": done.tokens + done.codes}
    words = {"words": [_word(word) for word in done.words]} if request.timestamps else {}
    return {"usage": usage, "seconds": round(done.seconds, 4), **words}


def _word(word: Word) -> dict[str, Any]:
    return {
        "word": word.word,
        "start": round(word.start, 3),
        "end": round(word.end, 3),
        "confidence": round(word.confidence, 3),
        "chars": list(word.chars),
    }


def _headers(job: Job, kind: str, length: int | None, terms: str) -> list[tuple[bytes, bytes]]:
    request = job.request
    values = {
        "content-type": kind,
        "cache-control": "no-store",
        "x-accel-buffering": "no",
        "x-tutortoietts-voice": quote(request.voice, safe="+*"),
        "x-tutortoietts-seed": str(job.seed),
        "x-tutortoietts-sample-rate": str(request.sample_rate),
        "x-tutortoietts-decoder": request.decoder,
    }
    if terms:
        values["x-tutortoietts-terms"] = quote(terms, safe=" ,;:/.")
    if not (request.sse or request.as_json):
        values["content-disposition"] = f'inline; filename="speech.{request.form}"'
    if request.ignored:
        values["x-tutortoietts-ignored"] = ", ".join(quote(name[:40], safe="") or '""' for name in request.ignored)
    if length is not None:
        values["content-length"] = str(length)
    return [(name.encode(), value.encode("ascii")) for name, value in values.items()]


def _note(job: Job) -> str:
    text = f" text={job.request.text!r}" if job.settings.log_text else ""
    waited = "" if job.started is None else f" waited={job.started - job.created:.3f}"
    first = "" if job.first_sent is None else f" first={job.first_sent - job.created:.3f}"
    return f"characters={len(job.request.text)}{waited}{first}{text}"
