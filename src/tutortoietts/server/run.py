"""Run the server: HTTP and Wyoming in one process, load while listening, drain at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tutortoietts.api import TextToSpeech
from tutortoietts.core.errors import OptionError, OutputError
from tutortoietts.server.engine import SpeechEngine
from tutortoietts.server.routes import make_app
from tutortoietts.server.settings import ServerSettings, is_loopback
from tutortoietts.server.wyoming import WyomingServer

__all__ = ["SpeechServer", "no_texts_in_the_log", "open_server_tts", "serve", "welcome"]

_log = logging.getLogger(__name__)

HEADER_SECONDS = 10.0
SOCKET_MESSAGE = 64 * 1024
SHARED_ROWS = 32  # of the decoder; whole clips have half of them


class _BoundedProtocol(H11Protocol):
    """HTTP/1.1 that hangs up on a client that takes too long over its headers."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Stop the clock when a request is complete, start it with the first byte of the next."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_response_complete(self) -> None:
        """Between two requests the keep-alive timer of uvicorn rules."""
        super().on_response_complete()
        self._stop()


class SpeechServer(uvicorn.Server):
    """The whole server. `serve_until_stopped` returns when it was stopped and everything has ended."""

    def __init__(
        self,
        settings: ServerSettings,
        open_tts: Callable[[], TextToSpeech],
        on_ready: Callable[[SpeechServer], None] = lambda server: None,
    ) -> None:
        self.settings = settings
        self.engine = SpeechEngine(open_tts, settings)
        self.wyoming = WyomingServer(self.engine)
        self.failure: BaseException | None = None
        self._on_ready = on_ready
        self._signals = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket = _bound(settings)
        super().__init__(_config(settings, self.engine))

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._socket.getsockname()[1])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal: at the first take no new requests and let others end; at the second end at once."""
        self._signals += 1
        if self._signals > 1:
            self.should_exit = self.force_exit = True
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self.stop)

    def stop(self) -> None:
        """Begin to end: drain, at most for the time of grace."""
        self.engine.drain()
        self._draining = asyncio.ensure_future(self._drain())

    async def serve_until_stopped(self) -> None:
        """Listen, load the model meanwhile, serve. Raises what loading raised."""
        self._loop = asyncio.get_running_loop()
        settings = self.settings
        if settings.wyoming is not None:
            host = settings.wyoming_host or settings.host
            try:
                await self.wyoming.start(host, settings.wyoming)
            except OSError as error:
                raise OutputError(f"Wyoming cannot listen on {host}:{settings.wyoming}: {error.strerror}") from error
        loading = asyncio.ensure_future(self._load())
        try:
            await self.serve(sockets=[self._socket])
        finally:
            self._socket.close()
            await self.wyoming.close()
            await self.engine.close()
            await asyncio.gather(loading, return_exceptions=True)
        if self.failure is not None:
            raise self.failure

    async def _load(self) -> None:
        try:
            await self.engine.start()
        except Exception as error:
            self.failure = error
            self.should_exit = True
            return
        self._on_ready(self)

    async def _drain(self) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._until_idle(), self.settings.grace)
        self.should_exit = True

    async def _until_idle(self) -> None:
        while self.engine.running or self.engine.waiting:
            await asyncio.sleep(0.05)


def serve(
    settings: ServerSettings,
    open_tts: Callable[[], TextToSpeech],
    on_ready: Callable[[SpeechServer], None] = lambda server: None,
) -> None:
    """Serve until SIGINT or SIGTERM. Raises OutputError if the address cannot be had, ModelError."""
    server = SpeechServer(settings, open_tts, on_ready)
    with contextlib.nullcontext() if settings.log_text else no_texts_in_the_log():
        asyncio.run(server.serve_until_stopped())


def open_server_tts(**options: Any) -> TextToSpeech:
    """Return the engine of a server: brackets are spoken, and all requests share the rows of one batch."""
    return TextToSpeech(enable_redaction=False, shared_batch_rows=SHARED_ROWS, **options)


@contextlib.contextmanager
def no_texts_in_the_log() -> Iterator[None]:
    """Keep warnings that quote what is spoken out of the log, for the length of a block."""
    loggers = [logging.getLogger(f"tutortoietts.{room}") for room in ("engine", "text")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _config(settings: ServerSettings, engine: SpeechEngine) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(engine),
        http=_BoundedProtocol,
        ws="websockets-sansio",
        ws_max_size=SOCKET_MESSAGE,
        ws_max_queue=32,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=settings.connections,
        proxy_headers=settings.forwarded_allow_ips is not None,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        root_path=settings.root_path,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=32 * 1024,
        ssl_certfile=None if settings.ssl_certfile is None else str(settings.ssl_certfile),
        ssl_keyfile=None if settings.ssl_keyfile is None else str(settings.ssl_keyfile),
    )


def _bound(settings: ServerSettings) -> socket.socket:
    """Return the listening socket. Raises OutputError, OptionError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[
            0
        ]
    except OSError as error:
        raise OptionError(f"host {settings.host!r} is no address of this machine: {error.strerror}") from error
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(256)
    except OSError as error:
        made.close()
        raise OutputError(
            f"cannot listen on {settings.host}:{settings.port}, {error.strerror}: stop what uses it, or give another "
            "--port"
        ) from error
    made.set_inheritable(True)
    return made


def welcome(server: SpeechServer) -> list[str]:
    """Return the lines that tell, at the start, where the server is and who may use it."""
    settings, info = server.settings, server.engine.info
    scheme = "https" if settings.ssl_certfile else "http"
    local = is_loopback(settings.host)
    host = settings.host if settings.host not in ("0.0.0.0", "::") else socket.gethostname()
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{server.port}{settings.root_path}"
    who = "this machine only" if local else "every machine that reaches it"
    with_key = f", with one of {len(settings.keys)} API keys" if settings.keys else ", without a key"
    lines = [
        f"speaking with {info.name} on {server.engine.status()['device']}",
        f"open to {who}{with_key}",
        *([f"page     {url}/"] if settings.page else []),
        f"OpenAI   {url}/v1   (base URL for clients)",
    ]
    if settings.wyoming is not None:
        where = settings.wyoming_host or settings.host
        lines.append(f"Wyoming  {where}:{server.wyoming.port}   (Home Assistant; this protocol has no keys)")
    if local and not settings.keys:
        lines.append("for other machines: --host 0.0.0.0 --api-key-file FILE")
    return lines
