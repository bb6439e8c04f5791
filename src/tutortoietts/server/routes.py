"""The HTTP routes: speech, models, voices, health, metrics, the page."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import OrderedDict
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, Router, WebSocketRoute

from tutortoietts.server.answer import Answer, collect
from tutortoietts.server.engine import SpeechEngine
from tutortoietts.server.errors import ApiError, invalid
from tutortoietts.server.formats import content_type
from tutortoietts.server.guard import Guard
from tutortoietts.server.keys import Keyring, Limits
from tutortoietts.server.openapi import document
from tutortoietts.server.request import MODEL_ALIASES, SpeechRequest, parse_json, parse_speech
from tutortoietts.server.uploads import MOST_CLIPS, write_clip
from tutortoietts.server.websocket import SpeechSocket
from tutortoietts.version import __version__

__all__ = ["make_app"]

SAMPLE_TEXT = "This is how I sound when I read a sentence to you."
_PAGE_TYPES = {"index.html": "text/html", "app.js": "text/javascript", "app.css": "text/css"}
_SAMPLES_KEPT = 64


def make_app(engine: SpeechEngine) -> Guard:
    """Return the ASGI application over an engine that somebody else starts and closes."""
    limits = Limits(engine.settings)
    keyring = Keyring(engine.settings.keys)
    routes = [*_Speech(engine, limits).routes(), *_Voices(engine).routes(), *_About(engine).routes()]
    if engine.settings.page:
        routes += _page_routes()
    return Guard(Router(routes, redirect_slashes=False), engine.settings, keyring, engine.metrics)


class _Speech:
    """`/v1/audio/speech`."""

    def __init__(self, engine: SpeechEngine, limits: Limits) -> None:
        self._engine, self._limits = engine, limits

    def routes(self) -> list[BaseRoute]:
        socket = SpeechSocket(self._engine, self._limits)
        return [
            Route("/v1/audio/speech", partial(self._speak, {}), methods=["POST"]),
            Route("/v1/audio/speech/stream", partial(self._speak, {"response_format": "pcm"}), methods=["POST"]),
            WebSocketRoute("/v1/audio/speech/stream", socket),
        ]

    async def _speak(self, defaults: dict[str, Any], request: Request) -> Any:
        body = parse_json(await request.body())
        if defaults:
            body["stream"] = True
        parsed = parse_speech(body, self._engine.settings, self._engine.info, **defaults)
        return Answer(self._engine, self._limits, parsed)


class _Voices:
    """`/v1/audio/voices`."""

    def __init__(self, engine: SpeechEngine) -> None:
        self._engine = engine
        self._samples: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._sampling = asyncio.Lock()

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/v1/audio/voices", self._all, methods=["GET", "POST"]),
            Route("/v1/audio/voices/{voice}", self._remove, methods=["DELETE"]),
            Route("/v1/audio/voices/{voice}/sample", self._sample, methods=["GET"]),
        ]

    async def _all(self, request: Request) -> Response:
        if request.method == "POST":
            return await self._add(request)
        voices = await self._engine.aside(self._engine.voices.listed)
        return JSONResponse({"object": "list", "voices": voices, "data": voices})

    async def _add(self, request: Request) -> Response:
        if not self._engine.settings.clones:
            raise ApiError(
                403, "voices cannot be added here: start the server with --allow-cloning", code="cloning_off"
            )
        voices = self._engine.voices
        try:
            form = await request.form(max_files=MOST_CLIPS, max_fields=20, max_part_size=64 * 1024)
        except (MultiPartException, HTTPException) as error:
            detail = error.message if isinstance(error, MultiPartException) else error.detail
            raise invalid(f"the form cannot be read: {detail[:200]}", code="invalid_form") from None
        try:
            name = _form_text(form.get("name"), "name", 64)
            consent = _form_text(form.get("consent"), "consent", 200)
            replace = _form_switch(form.get("replace"), "replace")
            clips = [clip for clip in form.getlist("audio_sample") if isinstance(clip, UploadFile)]
            if not clips:
                raise invalid("audio_sample is missing: send 1 to 10 clips of the speaker", "audio_sample")
            key = str(request.scope["state"]["key"])
            entry = await self._engine.aside(lambda: self._make(name, clips, consent, key, replace))
        finally:
            await form.close()
        self._engine.metrics.voices.set(len(voices.names()))
        self._samples.clear()
        return JSONResponse(entry)

    def _make(self, name: str, clips: list[UploadFile], consent: str, key: str, replace: bool) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="tutortoietts-") as folder:
            paths = [
                write_clip(clip.file, clip.size or 0, number, Path(folder))
                for number, clip in enumerate(clips, start=1)
            ]
            return self._engine.voices.add(name, paths, consent, key, replace=replace)

    async def _remove(self, request: Request) -> Response:
        voice = request.path_params["voice"]
        if not self._engine.settings.clones:
            raise _cloning_off()
        await self._engine.aside(lambda: self._engine.voices.remove(voice))
        self._engine.metrics.voices.set(len(self._engine.voices.names()))
        self._samples.clear()
        return JSONResponse({"id": voice, "object": "audio.voice", "deleted": True})

    async def _sample(self, request: Request) -> Response:
        voice, form = request.path_params["voice"], request.query_params.get("format", "wav")
        body = {"input": SAMPLE_TEXT, "voice": voice, "response_format": form, "stream": False, "seed": 1}
        if voice not in await self._engine.aside(self._engine.voices.names):
            raise ApiError(404, f"there is no voice {voice[:80]!r}", param="voice", code="voice_not_found")
        parsed = parse_speech(body, self._engine.settings, self._engine.info)
        async with self._sampling:
            data = self._samples.get((voice, form))
            if data is None:
                data = self._samples[voice, form] = await self._spoken(parsed)
                while len(self._samples) > _SAMPLES_KEPT:
                    self._samples.popitem(last=False)
        return Response(data, media_type=content_type(form, parsed.sample_rate))

    async def _spoken(self, parsed: SpeechRequest) -> bytes:
        job = self._engine.submit(parsed)
        try:
            return await collect(job)
        finally:
            job.cancel()


def _cloning_off() -> ApiError:
    return ApiError(403, "voices cannot be changed here: start the server with --allow-cloning", code="cloning_off")


def _form_text(value: Any, name: str, longest: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value.strip()) <= longest:
        raise invalid(f"{name} must be text of 1 to {longest} characters", name, f"missing_{name}")
    return value.strip()


def _form_switch(value: Any, name: str) -> bool:
    if value not in (None, "true", "false"):
        raise invalid(f"{name} must be true or false", name)
    return bool(value == "true")


class _About:
    """Models, health, metrics and the description of it all."""

    def __init__(self, engine: SpeechEngine) -> None:
        self._engine = engine
        self._created = int(time.time())

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/v1/models", self._models, methods=["GET"]),
            Route("/v1/models/{model}", self._model, methods=["GET"]),
            Route("/v1/audio/models", self._audio_models, methods=["GET"]),
            Route("/health", self._health, methods=["GET"]),
            Route("/health/live", self._live, methods=["GET"]),
            Route("/health/ready", self._ready, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
            Route("/openapi.json", self._openapi, methods=["GET"]),
        ]

    def _entries(self) -> list[dict[str, Any]]:
        names = [self._engine.info.name, *MODEL_ALIASES]
        return [
            {"id": name, "object": "model", "created": self._created, "owned_by": "tutortoietts", "name": name}
            for name in names
        ]

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": self._entries()})

    async def _model(self, request: Request) -> Response:
        name = request.path_params["model"]
        for entry in self._entries():
            if entry["id"] == name:
                return JSONResponse(entry)
        raise ApiError(404, f"there is no model {name[:80]!r} here", param="model", code="model_not_found")

    async def _audio_models(self, request: Request) -> Response:
        entries = self._entries()
        return JSONResponse({"object": "list", "models": entries, "data": entries})

    async def _live(self, request: Request) -> Response:
        alive = self._engine.state != "failed"
        return JSONResponse({"status": "ok" if alive else "failed"}, 200 if alive else 503)

    async def _health(self, request: Request) -> Response:
        ready = self._engine.state == "ready"
        return JSONResponse({"status": "ok" if ready else self._engine.state}, 200 if ready else 503)

    async def _ready(self, request: Request) -> Response:
        settings, status = self._engine.settings, self._engine.status()
        try:
            info = self._engine.info
            status |= {"presets": list(info.presets), "voice": info.default_voice, "sample_rate": info.sample_rate}
        except ApiError:
            pass
        status |= {"version": __version__, "max_input": settings.max_input, "cloning": settings.clones}
        return JSONResponse(status, 200 if status["status"] == "ready" else 503)

    async def _metrics(self, request: Request) -> Response:
        return Response(self._engine.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _openapi(self, request: Request) -> Response:
        engine = self._engine
        return JSONResponse(document(engine.settings, engine.info if engine.state == "ready" else None))


def _page_routes() -> list[BaseRoute]:
    folder = files("tutortoietts.server") / "page"
    routes: list[BaseRoute] = []
    for name, kind in _PAGE_TYPES.items():
        data = (folder / name).read_bytes()
        path = "/" if name == "index.html" else f"/ui/{name}"
        routes.append(Route(path, _static(data, kind), methods=["GET"]))
    return routes


def _static(data: bytes, kind: str) -> Any:
    async def page(request: Request) -> Response:
        return Response(data, media_type=f"{kind}; charset=utf-8", headers={"cache-control": "no-cache"})

    return page
