"""`tutortoietts serve`, also `python -m tutortoietts.cli.serve`."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

from tutortoietts.cli.common import MODEL, Debug, guarded, new_app, say
from tutortoietts.cli.options import AcceptCpml, flatten, integer, number, of_panel
from tutortoietts.core.errors import OptionError

if TYPE_CHECKING:
    from tutortoietts.api import TextToSpeech
    from tutortoietts.server.settings import ServerSettings

LISTENING, LIMITS, SECURITY, CLUSTER = "Listening", "Limits", "Security", "Cluster"
PREFIX = "TUTORTOIETTS_SERVE_"
_NEEDED = ("uvicorn", "starlette", "websockets", "multipart", "prometheus_client", "h11")

_listen, _limit, _safe = of_panel(LISTENING), of_panel(LIMITS), of_panel(SECURITY)
_cluster, _model = of_panel(CLUSTER), of_panel(MODEL)


def _env(name: str) -> str:
    return f"{PREFIX}{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenOptions:
    """Addresses on which the server listens."""

    host: Annotated[str, _listen(envvar=_env("HOST"), help="Address to listen on; 0.0.0.0 is every network.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, _listen(parser=integer, envvar=_env("PORT"), help="Port of HTTP; 0 takes a free one.")] = 8880
    wyoming: Annotated[
        str, _listen(envvar=_env("WYOMING"), help='Port for Home Assistant (usually 10200), or "off".')
    ] = "off"
    wyoming_host: Annotated[
        str | None, _listen(envvar=_env("WYOMING_HOST"), help="Address of Wyoming [default: that of --host].")
    ] = None
    root_path: Annotated[
        str, _listen(envvar=_env("ROOT_PATH"), help="Path under which a proxy shows the server, such as /tts.")
    ] = ""
    forwarded_allow_ips: Annotated[
        str | None,
        _listen(envvar=_env("FORWARDED_ALLOW_IPS"), help="Addresses of proxies whose X-Forwarded headers count."),
    ] = None
    ssl_certfile: Annotated[Path | None, _listen(envvar=_env("SSL_CERTFILE"), help="Certificate, for HTTPS.")] = None
    ssl_keyfile: Annotated[Path | None, _listen(envvar=_env("SSL_KEYFILE"), help="Key of the certificate.")] = None
    page: Annotated[bool, _listen("--ui/--no-ui", help="Serve the web page.")] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOptions:
    """Limits of the server's work."""

    max_input: Annotated[int, _limit(parser=integer, envvar=_env("MAX_INPUT"), help="Characters of a text.")] = 4096
    max_queue: Annotated[
        int, _limit(parser=integer, envvar=_env("MAX_QUEUE"), help="Requests that may run and wait.")
    ] = 32
    max_rows: Annotated[int, _limit(parser=integer, envvar=_env("MAX_ROWS"), help="Requests spoken at once.")] = 16
    max_candidates: Annotated[
        int, _limit(parser=integer, envvar=_env("MAX_CANDIDATES"), help="Candidates that a request may ask for.")
    ] = 64
    queue_timeout: Annotated[
        float, _limit(parser=number, envvar=_env("QUEUE_TIMEOUT"), help="Seconds that a request may wait.")
    ] = 20.0
    request_timeout: Annotated[
        float, _limit(parser=number, envvar=_env("REQUEST_TIMEOUT"), help="Seconds that a request may take in all.")
    ] = 300.0
    grace: Annotated[
        float, _limit(parser=number, envvar=_env("GRACE"), help="Seconds that running requests get at the end.")
    ] = 30.0
    tail_silence: Annotated[
        int, _limit(parser=integer, envvar=_env("TAIL_SILENCE"), help="Milliseconds of silence after each answer.")
    ] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityOptions:
    """Permission to use the server."""

    api_key_file: Annotated[
        Path | None, _safe(envvar=_env("API_KEY_FILE"), help="File with API keys, one a line: key or name:key.")
    ] = None
    insecure: Annotated[
        bool, _safe("--insecure", envvar=_env("INSECURE"), help="Let everyone in who reaches the address.")
    ] = False
    key_concurrency: Annotated[
        int, _safe(parser=integer, envvar=_env("KEY_CONCURRENCY"), help="Requests at once with one key.")
    ] = 4
    key_rate: Annotated[
        float, _safe(parser=number, envvar=_env("KEY_RATE"), help="Requests a minute with one key; 0 is any number.")
    ] = 0.0
    open_lists: Annotated[
        bool,
        _safe("--open-lists/--closed-lists", help="Show the lists of models and voices without a key (Open WebUI)."),
    ] = True
    cors_origin: Annotated[
        list[str] | None, _safe(help="Origin of a page elsewhere that may use the server; may be repeated.")
    ] = None
    allow_host: Annotated[
        list[str] | None, _safe(help="Further name in the Host header; may be repeated, * is any.")
    ] = None
    cloning: Annotated[
        bool | None,
        _safe("--allow-cloning/--no-cloning", help="Let clients add voices [default: on this machine only]."),
    ] = None
    voice_alias: Annotated[
        list[str] | None, _safe(help="Another name of a voice, such as alloy=clara; may be repeated.")
    ] = None
    log_text: Annotated[bool, _safe("--log-text", help="Write the texts into the log.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """The model that is served."""

    model: Annotated[
        str,
        _model("--model", "-m", envvar=_env("MODEL"), help='"bundled", "tortoise-v2", "xtts-v2" or a model directory.'),
    ] = "bundled"
    models_dir: Annotated[Path | None, _model(envvar=_env("MODELS_DIR"), help="Folder of public checkpoints.")] = None
    device: Annotated[str | None, _model(envvar=_env("DEVICE"), help="Device [default: the fastest available].")] = None
    precision: Annotated[
        str, _model(envvar=_env("PRECISION"), help="Numeric precision: auto, fp32, bf16, fp16, int8 or int4.")
    ] = "auto"
    accept_cpml: AcceptCpml = False
    warmup: Annotated[bool, _model("--warmup/--no-warmup", help="Speak once before the first request.")] = True
    phrase_cache: Annotated[
        bool,
        _model(
            "--phrase-cache",
            envvar=_env("PHRASE_CACHE"),
            help="Answer what was spoken before from the phrase cache. Requests without a seed then have the seed 0.",
        ),
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """Replicas on a Ray cluster."""

    ray: Annotated[
        str | None,
        _cluster("--ray", help="Serve on a Ray cluster: its address, auto (one that runs here), or local."),
    ] = None
    min_replicas: Annotated[
        int, _cluster(parser=integer, help="Servers that always run, each with a model of its own.")
    ] = 1
    max_replicas: Annotated[int, _cluster(parser=integer, help="Servers that run under load.")] = 2
    streams_per_replica: Annotated[
        float, _cluster(parser=number, help="Requests that a server should speak at once, on average.")
    ] = 8.0
    cpus_per_replica: Annotated[float, _cluster(parser=number, help="Processor cores of each server.")] = 1.0
    gpus_per_replica: Annotated[float, _cluster(parser=number, help="GPUs of each server, fractions too.")] = 0.0


@flatten
@guarded
def serve(
    listen: ListenOptions = ListenOptions(),
    limits: LimitOptions = LimitOptions(),
    security: SecurityOptions = SecurityOptions(),
    cluster: ClusterOptions = ClusterOptions(),
    served: ServedModel = ServedModel(),
    debug: Debug = False,
) -> None:
    """Serve speech over HTTP as OpenAI's API does, with a web page, and over Wyoming for Home Assistant."""
    _check_extra()
    settings = settings_of(listen, limits, security, served)
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("tutortoietts.server").setLevel(logging.DEBUG if debug else logging.INFO)
    say(f"loading {served.model} ...")
    if cluster.ray is not None:
        _serve_on_ray(cluster, settings, served)
        return
    from tutortoietts.server.run import serve as run
    from tutortoietts.server.run import welcome

    run(settings, _opener(served), lambda server: say("\n".join(welcome(server))))


def _serve_on_ray(cluster: ClusterOptions, settings: ServerSettings, served: ServedModel) -> None:
    """Serve until a signal comes. Raises OptionError, OutputError."""
    from tutortoietts.server.ray import Replicas, serve_on_ray

    replicas = {name: value for name, value in asdict(cluster).items() if name != "ray"}
    with serve_on_ray(str(cluster.ray), settings, _opener(served), Replicas(**replicas)):
        say(f"serving on every machine of the cluster, at port {settings.port}; base URL of clients: http://HOST/v1")
        until_signal()


def until_signal() -> None:
    """Wait for SIGINT or SIGTERM, whoever handled them before; a second one ends the process at once."""
    ended = threading.Event()

    def end(received: int, frame: FrameType | None) -> None:
        signal.signal(received, signal.SIG_DFL)
        ended.set()

    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, end)
    ended.wait()


def _opener(served: ServedModel) -> Callable[[], TextToSpeech]:
    from tutortoietts.server.run import open_server_tts

    return partial(open_server_tts, **{name: value for name, value in asdict(served).items() if name != "warmup"})


def settings_of(
    listen: ListenOptions, limits: LimitOptions, security: SecurityOptions, served: ServedModel
) -> ServerSettings:
    """Return the settings of the options, with the keys read. Raises OptionError."""
    from tutortoietts.server.keys import read_keys
    from tutortoietts.server.settings import ServerSettings, voice_aliases

    given: dict[str, Any] = {**asdict(listen), **asdict(limits), **asdict(security), "warmup": served.warmup}
    given["phrase_cache"] = served.phrase_cache
    given["keys"] = read_keys(given.pop("api_key_file"), os.environ.get(_env("API_KEY")))
    given["cors_origins"] = tuple(given.pop("cors_origin") or ())
    given["allowed_hosts"] = tuple(given.pop("allow_host") or ())
    given["aliases"] = voice_aliases(given.pop("voice_alias") or (), served.model)
    given["wyoming"] = _wyoming_port(given["wyoming"])
    return ServerSettings(**given)


def _wyoming_port(text: str) -> int | None:
    if text.lower() in ("off", "none", ""):
        return None
    if not text.isdigit():
        raise OptionError(f'--wyoming is {text!r}, must be a port or "off"')
    return int(text)


def _check_extra() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise OptionError(f"serving needs {', '.join(missing)}: pip install 'tutortoietts[serve]'")


app = new_app("Serve speech over HTTP, WebSocket and Wyoming, with a web page.")
app.command()(serve)

if __name__ == "__main__":
    app(prog_name="serve")
