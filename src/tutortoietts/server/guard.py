"""The gate before every route: who may come in, how much they may send, and what every answer carries.

Plain ASGI round the application. In this order: request id, size of headers, Host, Origin, key; then size and time of
the body as it comes. Errors become OpenAI's JSON; what fails after the first byte breaks the connection.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from tutortoietts.server.errors import ApiError, api_error
from tutortoietts.server.keys import Keyring
from tutortoietts.server.metrics import Metrics
from tutortoietts.server.origins import Origins
from tutortoietts.server.settings import ServerSettings, is_loopback

__all__ = ["Guard", "route_of"]

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger(__name__)

HEADERS_LIMIT = 32 * 1024
JSON_LIMIT = 256 * 1024
UPLOAD_LIMIT = 40 * 1024 * 1024
BODY_SECONDS = 30.0
SUBPROTOCOL = "tutortoietts"
_KEY_PREFIX = "key."
_LISTS = ("/v1/models", "/v1/audio/models", "/v1/audio/voices")
_OPEN = ("/", "/health", "/health/live", "/health/ready", "/openapi.json", "/favicon.ico")
_ROUTES = (
    "/", "/health", "/health/live", "/health/ready", "/metrics", "/openapi.json", "/v1/models", "/v1/audio/models",
    "/v1/audio/voices", "/v1/audio/speech", "/v1/audio/speech/stream",
)  # fmt: skip
_SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src 'self' blob:; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


def route_of(path: str) -> str:
    """Return the route of a path, for logs and metrics: never what a client made up."""
    if path in _ROUTES:
        return path
    if path.startswith("/ui/"):
        return "/ui"
    if path.startswith("/v1/audio/voices/"):
        return "/v1/audio/voices/{id}"
    return "/v1/models/{id}" if path.startswith("/v1/models/") else "other"


class Guard:
    """The ASGI application that clients see."""

    def __init__(self, app: App, settings: ServerSettings, keyring: Keyring, metrics: Metrics) -> None:
        self._app, self._settings, self._keyring, self._metrics = app, settings, keyring, metrics
        self._origins = Origins(settings)
        self._is_private = is_loopback(settings.host) and not settings.keys and not settings.insecure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        visit = _Visit(scope, receive, send, self._origins)
        try:
            if await self._preflight(visit):
                return
            self._check(visit)
            scope["app"] = self._app  # without it the router answers for itself what it does not know
            await self._app(scope, visit.receive, visit.send)
        except asyncio.CancelledError:
            raise
        except ClientDisconnect:
            visit.state["outcome"] = "cancelled"
        except Exception as error:
            await self._failed(visit, error)
        finally:
            visit.log(self._metrics)

    def _check(self, visit: _Visit) -> None:
        """Raise ApiError for a visitor who may not come in."""
        headers = visit.headers
        if sum(len(name) + len(value) + 4 for name, value in visit.scope["headers"]) > HEADERS_LIMIT:
            raise ApiError(431, f"the headers are larger than {HEADERS_LIMIT} bytes", headers=_CLOSE)
        if not self._origins.known_host(headers.get("host", "")):
            raise ApiError(
                403, f"the name in the Host header is not one of this server: allow it with --allow-host "
                f"{headers.get('host', '')[:100]!r}", code="host_refused", headers=_CLOSE,
            )  # fmt: skip
        if self._is_private and not _came_in_locally(visit.scope):
            raise ApiError(
                403, "this server is for its own machine only: give it API keys, or let everyone in with --insecure",
                code="host_refused", headers=_CLOSE,
            )  # fmt: skip
        changes = visit.is_websocket or visit.method not in ("GET", "HEAD")
        if not self._origins.may_use(headers, changes=changes, open_path=self._is_open(visit)):
            raise ApiError(403, "other sites' pages may not use this server", code="origin_refused", headers=_CLOSE)
        if headers.get("content-encoding", "identity") != "identity":
            raise ApiError(415, "a body must not be compressed", code="content_encoding", headers=_CLOSE)
        name = self._keyring.name_of(_given_key(headers, visit.is_websocket))
        if name is None and not self._is_open(visit):
            raise ApiError(
                401, "the API key is missing or wrong: send it as Authorization: Bearer KEY",
                code="invalid_api_key", headers={"www-authenticate": "Bearer"},
            )  # fmt: skip
        visit.state["key"] = name or ""
        if changes and not visit.is_websocket:
            visit.limit_body(_body_limit(visit))

    def _is_open(self, visit: _Visit) -> bool:
        if visit.is_websocket or visit.method not in ("GET", "HEAD"):
            return False
        path = visit.path
        listed = self._settings.open_lists and (path in _LISTS or path.startswith("/v1/models/"))
        return path in _OPEN or path.startswith("/ui/") or listed

    async def _preflight(self, visit: _Visit) -> bool:
        """Answer a browser that asks before it sends, if its page is one of --cors-origin."""
        if visit.is_websocket or visit.method != "OPTIONS" or not self._origins.cors(visit.headers):
            return False
        allowed = {
            "access-control-allow-methods": "GET, POST, DELETE",
            "access-control-allow-headers": "authorization, content-type",
            "access-control-max-age": "600",
        }
        await visit.answer(204, b"", allowed)
        return True

    async def _failed(self, visit: _Visit, error: Exception) -> None:
        refusal = _routing(visit, error) if isinstance(error, HTTPException) else api_error(error, visit.id)
        if refusal.status >= 500 and not isinstance(error, ApiError):
            _log.error("request %s failed", visit.id, exc_info=error)
        if refusal.reason:
            self._metrics.rejected.labels(refusal.reason).inc()
        if visit.started:
            visit.broken = refusal
            raise error
        await visit.refuse(refusal)


_CLOSE = {"connection": "close"}


class _Visit:
    """One request: its scope, and its messages in both directions."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, origins: Origins) -> None:
        self.scope, self._receive, self._send, self._origins = scope, receive, send, origins
        self.headers = Headers(scope=scope)
        self.is_websocket = scope["type"] == "websocket"
        self.method = scope.get("method", "GET")
        self.path = str(scope["path"]).removeprefix(scope.get("root_path", "")) or "/"
        self.id = f"req_{secrets.token_hex(12)}"
        self.state: dict[str, Any] = scope.setdefault("state", {})
        self.state["request_id"] = self.id
        self.began = time.monotonic()
        self.started, self.status = False, 0
        self.broken: ApiError | None = None
        self._limit: int | None = None
        self._read, self._complete = 0, False

    def limit_body(self, limit: int) -> None:
        """Bound the body. Raises ApiError 413 at once if its Content-Length is above the limit."""
        self._limit = limit
        length = self.headers.get("content-length")
        if length is not None and (not length.isascii() or not length.isdigit() or int(length[:20]) > limit):
            raise _too_large(limit)

    async def receive(self) -> Message:
        """Receive the next message; count and time the body."""
        if self._limit is None or self._complete:
            return await self._receive()
        left = BODY_SECONDS - (time.monotonic() - self.began)
        try:
            message = await asyncio.wait_for(self._receive(), max(left, 0.01))
        except asyncio.TimeoutError:
            raise ApiError(408, f"the body took longer than {BODY_SECONDS:g} s", headers=_CLOSE) from None
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            if self._read > self._limit:
                raise _too_large(self._limit)
        return message

    async def send(self, message: Message) -> None:
        """Send a message, the first with the headers that every answer has."""
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            self._dress(message)
        if message["type"] == "websocket.accept":
            self.started, self.status = True, 101
        await self._send(message)

    def _dress(self, message: Message) -> None:
        self.started, self.status = True, message["status"]
        headers = MutableHeaders(scope=message)
        message["headers"] = headers.raw
        headers["x-request-id"] = self.id
        for name, value in _SECURITY.items():
            headers.setdefault(name, value)
        origin = self._origins.cors(self.headers)
        if origin:
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = "x-request-id, retry-after"
            headers["cross-origin-resource-policy"] = "cross-origin"
            headers.add_vary_header("Origin")
        headers.setdefault("cache-control", "no-store")

    async def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """Send a complete answer."""
        kind = "websocket.http.response" if self.is_websocket else "http.response"
        raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
        if status != 204:
            raw.append((b"content-length", str(len(body)).encode()))
        await self.send({"type": f"{kind}.start", "status": status, "headers": raw})
        await self._send({"type": f"{kind}.body", "body": b"" if self.method == "HEAD" else body})

    async def refuse(self, error: ApiError) -> None:
        """Send an error."""
        if self.is_websocket and "websocket.http.response" not in self.scope.get("extensions", {}):
            await self._send({"type": "websocket.close", "code": 1008, "reason": error.message[:100]})
            return
        body = json.dumps(error.body).encode()
        await self.answer(error.status, body, {"content-type": "application/json", **error.headers})

    def log(self, metrics: Metrics) -> None:
        """Write one line, and count the request."""
        route = route_of(self.path)
        outcome = self.state.get("outcome") or _outcome(self.status, self.broken)
        metrics.requests.labels(route, outcome).inc()
        level = logging.INFO if self.path.startswith("/v1/") else logging.DEBUG
        _log.log(
            level, "%s key=%s %s %s %s %s %.0f ms %s", self.id, self.state.get("key") or "-", self.method, route,
            self.status or 499, outcome, (time.monotonic() - self.began) * 1000, self.state.get("note", ""),
        )  # fmt: skip


def _routing(visit: _Visit, error: HTTPException) -> ApiError:
    """Return the router's own refusals in OpenAI's shape."""
    messages = {404: f"there is nothing at {visit.path[:200]!r}", 405: f"{visit.method} does not work here"}
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code)
    message = messages.get(error.status_code, error.detail)
    return ApiError(error.status_code, message, code=code, headers=dict(error.headers or {}))


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"the body is larger than {limit} bytes, the limit", code="body_too_large", headers=_CLOSE)


def _outcome(status: int, broken: ApiError | None) -> str:
    if broken is not None or (status >= 500 and status not in (503, 504)):
        return "failed"
    if status == 0:
        return "cancelled"
    if status in (429, 503, 504):
        return "rejected"
    return "invalid" if status >= 400 else "ok"


def _body_limit(visit: _Visit) -> int:
    """Return the largest body of a request. Raises ApiError 415 for what is neither JSON nor, for voices, multipart."""
    kind = visit.headers.get("content-type", "").partition(";")[0].strip().lower()
    if visit.method == "DELETE":
        return 1024
    if visit.path == "/v1/audio/voices":
        if kind != "multipart/form-data":
            raise ApiError(415, "send name, consent and audio_sample as multipart/form-data", headers=_CLOSE)
        return UPLOAD_LIMIT
    if visit.path.startswith("/v1/audio/speech") and kind != "application/json":
        raise ApiError(415, f"Content-Type is {kind[:60]!r}, must be application/json", headers=_CLOSE)
    return JSON_LIMIT


def _came_in_locally(scope: Scope) -> bool:
    """Return True unless a client reached an address that other machines reach too, as a cluster's proxy may have."""
    server = scope.get("server")
    return server is None or server[1] is None or is_loopback(server[0])


def _given_key(headers: Headers, websocket: bool) -> str | None:
    """Return the key in Authorization, xi-api-key or, for a browser's WebSocket, a subprotocol "key.<base64url>"."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    if headers.get("xi-api-key"):
        return headers["xi-api-key"]
    if not websocket:
        return None
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        if protocol.strip().startswith(_KEY_PREFIX):
            coded = protocol.strip().removeprefix(_KEY_PREFIX)
            try:
                return base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
            except (binascii.Error, ValueError):
                return None
    return None
