"""The server on a Ray cluster: Ray Serve sends each request to one of several replicas, which are servers of their own.

    tutortoietts serve --ray local --max-replicas 2
    serve run tutortoietts.server.ray:app [model=bundled] [max_replicas=8] ...

A replica has the routes, limits and keys of a single server, and an engine of its own; nothing is shared. A replica
that dies breaks its own answers only and is replaced.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from tutortoietts.api import TextToSpeech
from tutortoietts.core.errors import OptionError, OutputError
from tutortoietts.server.engine import SpeechEngine
from tutortoietts.server.guard import App, Receive, Scope, Send
from tutortoietts.server.keys import read_keys
from tutortoietts.server.routes import make_app
from tutortoietts.server.run import no_texts_in_the_log, open_server_tts
from tutortoietts.server.settings import ServerSettings, voice_aliases

__all__ = ["Replicas", "SpeechApp", "app", "application", "serve_on_ray"]

NAME, KEY_FILE = "tutortoietts", "api_key_file"
_SINGLE = ("wyoming", "ssl_certfile", "ssl_keyfile", "root_path", "forwarded_allow_ips")
_MODEL = ("model", "models_dir", "device", "precision")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """Replicas of a server. streams: requests that each should run, above which there is another replica.

    cpus, gpus: of each replica; fractions of a GPU are possible. Raises OptionError for a value outside its limits.
    """

    min_replicas: int = 1
    max_replicas: int = 2
    streams_per_replica: float = 8.0
    cpus_per_replica: float = 1.0
    gpus_per_replica: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.min_replicas <= self.max_replicas <= 4096:
            raise OptionError(
                f"min_replicas is {self.min_replicas} and max_replicas {self.max_replicas}, must rise within 1..4096"
            )
        limits = (("streams_per_replica", 0.1, 256), ("cpus_per_replica", 0.1, 1024), ("gpus_per_replica", 0, 64))
        for name, low, high in limits:
            if not low <= getattr(self, name) <= high:
                raise OptionError(f"{name} is {getattr(self, name):g}, outside {low:g}..{high:g}")


@dataclass
class SpeechApp:
    """The routes as an ASGI application of its own, whose lifespan loads the model and ends with the running work.

    It can be sent to another process until it has begun.
    """

    settings: ServerSettings
    open_tts: Callable[[], TextToSpeech]
    _app: App | None = field(default=None, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            assert self._app is not None, "the lifespan must begin first"
            await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        engine = SpeechEngine(self.open_tts, self.settings)
        self._app = make_app(engine)
        await receive()
        with contextlib.nullcontext() if self.settings.log_text else no_texts_in_the_log():
            try:
                await engine.start()
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await engine.close()
        await send({"type": "lifespan.shutdown.complete"})


def application(settings: ServerSettings, open_tts: Callable[[], TextToSpeech], replicas: Replicas) -> Any:
    """Return the Ray Serve application. Raises OptionError for settings that a replica cannot honour."""
    for name in _SINGLE:
        if getattr(settings, name):
            raise OptionError(f"{name} belongs to a server of its own and does nothing with Ray: leave it out")
    serve = _import("ray.serve")
    ingress = serve.ingress(SpeechApp(settings, partial(_open, open_tts, max(1, int(replicas.cpus_per_replica)))))()
    options = {
        "name": NAME,
        "max_ongoing_requests": settings.connections,  # what is too much, a replica refuses by itself
        "autoscaling_config": {
            "min_replicas": replicas.min_replicas,
            "initial_replicas": replicas.min_replicas,
            "max_replicas": replicas.max_replicas,
            "target_ongoing_requests": replicas.streams_per_replica,
        },
        "ray_actor_options": {"num_cpus": replicas.cpus_per_replica, "num_gpus": replicas.gpus_per_replica},
        "graceful_shutdown_timeout_s": settings.grace,
    }
    return serve.deployment(ingress, **options).bind()


def app(args: Mapping[str, Any]) -> Any:
    """Return the application for `serve run` and `serve deploy`.

    args: fields of `ServerSettings` and `Replicas`, model, models_dir, device, precision, and api_key_file.
    Raises OptionError for an argument that is unknown or of another kind.
    """
    rest = dict(args)
    model = {name: rest.pop(name) for name in _MODEL if name in rest}
    replicas = Replicas(**_of_kind(Replicas(), rest))
    key_file = rest.pop(KEY_FILE, None)
    keys = {} if key_file is None else read_keys(Path(key_file), None)
    aliases = voice_aliases((), model.get("model", "bundled"))
    given = {"keys": keys, "aliases": aliases, **_of_kind(ServerSettings(), rest)}
    if rest:
        known = [one.name for kind in (ServerSettings, Replicas) for one in fields(kind)]
        raise OptionError(f"unknown arguments {', '.join(rest)}: there are {', '.join([*_MODEL, KEY_FILE, *known])}")
    return application(ServerSettings(**given), partial(open_server_tts, **model), replicas)


@contextlib.contextmanager
def serve_on_ray(
    address: str, settings: ServerSettings, open_tts: Callable[[], TextToSpeech], replicas: Replicas
) -> Iterator[None]:
    """Serve on the cluster at `address` ("local" starts Ray here, "auto" finds a running one) while a block runs.

    Raises OptionError without Ray or such a cluster, OutputError if the replicas do not start.
    """
    made = application(settings, open_tts, replicas)
    ray, serve = _import("ray"), _import("ray.serve")
    given: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    if address == "local":
        cores = max(1, math.ceil(replicas.max_replicas * replicas.cpus_per_replica))
        given |= {"num_cpus": cores, "include_dashboard": False}
    else:
        given["address"] = address
    try:
        ray.init(**given)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise OptionError(f"no Ray cluster at {address!r} ({error}): start one, or use --ray local") from error
    try:
        try:
            serve.start(http_options={"host": settings.host, "port": settings.port})
            serve.run(made, name=NAME)
        except (RuntimeError, ray.exceptions.RayError) as error:
            raise OutputError(f"the replicas did not start: {str(error).strip().splitlines()[-1]}") from error
        yield
    finally:
        with contextlib.suppress(ray.exceptions.RayError):
            serve.shutdown() if address == "local" else serve.delete(NAME)
        ray.shutdown()


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise OptionError("--ray needs Ray Serve: pip install 'tutortoietts[ray,serve]'") from error


def _open(open_tts: Callable[[], TextToSpeech], threads: int) -> TextToSpeech:
    import torch

    torch.set_num_threads(threads)
    return open_tts()


def _of_kind(defaults: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Take from `given` what are fields of `defaults`, texts turned into the kind that the default is of."""
    taken = {}
    for one in fields(defaults):
        if one.name in given:
            taken[one.name] = _converted(one.name, given.pop(one.name), getattr(defaults, one.name))
    return taken


def _converted(name: str, value: Any, default: Any) -> Any:
    kind = bool if default is None else type(default)
    if not isinstance(value, str) or kind is str:
        return value
    try:
        return {"true": True, "false": False}[value.lower()] if kind is bool else kind(value)
    except (KeyError, ValueError, TypeError):
        raise OptionError(f"{name} is {value!r}, must be of the kind {kind.__name__}") from None
