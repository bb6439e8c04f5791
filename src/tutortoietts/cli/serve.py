"""`tutortoietts serve`, also `python -m tutortoietts.cli.serve`."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tutortoietts.cli.common import MODEL, Debug, guarded, new_app, say
from tutortoietts.cli.options import flatten, integer, number, of_panel
from tutortoietts.core.errors import OptionError

if TYPE_CHECKING:
    from tutortoietts.api import TextToSpeech
    from tutortoietts.server.settings import ServerSettings

LISTENING, LIMITS, SECURITY = "Listening", "Limits", "Security"
PREFIX = "TUTORTOIETTS_SERVE_"
_NEEDED = ("uvicorn", "starlette", "websockets", "multipart", "prometheus_client", "h11")
_DEFAULT_ALIASES = {
    **dict.fromkeys(("alloy", "ash", "ballad", "cedar", "coral", "fable", "marin", "nova", "sage", "shimmer"), 0),
    **dict.fromkeys(("echo", "onyx", "verse"), 1),
}

_listen, _limit, _safe, _model = of_panel(LISTENING), of_panel(LIMITS), of_panel(SECURITY), of_panel(MODEL)


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
        list[str] | None, _safe(help="Another name of a voice, such as alloy=slt; may be repeated.")
    ] = None
    log_text: Annotated[bool, _safe("--log-text", help="Write the texts into the log.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """The model that is served."""

    model: Annotated[
        str,
        _model("--model", "-m", envvar=_env("MODEL"), help='"bundled", "tortoise-v2" or a model directory.'),
    ] = "bundled"
    models_dir: Annotated[Path | None, _model(envvar=_env("MODELS_DIR"), help="Folder of public checkpoints.")] = None
    device: Annotated[str | None, _model(envvar=_env("DEVICE"), help="Device [default: the fastest available].")] = None
    precision: Annotated[
        str, _model(envvar=_env("PRECISION"), help="Numeric precision: auto, fp32, bf16, fp16, int8 or int4.")
    ] = "auto"
    warmup: Annotated[bool, _model("--warmup/--no-warmup", help="Speak once before the first request.")] = True
    phrase_cache: Annotated[
        bool,
        _model(
            "--phrase-cache",
            envvar=_env("PHRASE_CACHE"),
            help="Answer what was spoken before from the phrase cache. Requests without a seed then have the seed 0.",
        ),
    ] = False


_SHARED_ROWS = 32  # of the decoder, that all requests share; whole clips have half of them


@flatten
@guarded
def serve(
    listen: ListenOptions = ListenOptions(),
    limits: LimitOptions = LimitOptions(),
    security: SecurityOptions = SecurityOptions(),
    served: ServedModel = ServedModel(),
    debug: Debug = False,
) -> None:
    """Serve speech over HTTP as OpenAI's API does, with a web page, and over Wyoming for Home Assistant."""
    _check_extra()
    settings = settings_of(listen, limits, security, served)
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("tutortoietts.server").setLevel(logging.DEBUG if debug else logging.INFO)
    from tutortoietts.server.run import serve as run
    from tutortoietts.server.run import welcome

    say(f"loading {served.model} ...")
    run(settings, lambda: _open(served), lambda server: say("\n".join(welcome(server))))


def _open(served: ServedModel) -> TextToSpeech:
    from tutortoietts.api import TextToSpeech

    options = {name: value for name, value in asdict(served).items() if name != "warmup"}
    return TextToSpeech(enable_redaction=False, shared_batch_rows=_SHARED_ROWS, **options)


def settings_of(
    listen: ListenOptions, limits: LimitOptions, security: SecurityOptions, served: ServedModel
) -> ServerSettings:
    """Return the settings of the options, with the keys read. Raises OptionError."""
    from tutortoietts.server.keys import read_keys
    from tutortoietts.server.settings import ServerSettings

    given: dict[str, Any] = {**asdict(listen), **asdict(limits), **asdict(security), "warmup": served.warmup}
    given["phrase_cache"] = served.phrase_cache
    given["keys"] = read_keys(given.pop("api_key_file"), os.environ.get(_env("API_KEY")))
    given["cors_origins"] = tuple(given.pop("cors_origin") or ())
    given["allowed_hosts"] = tuple(given.pop("allow_host") or ())
    given["aliases"] = aliases_of(given.pop("voice_alias") or (), served.model)
    given["wyoming"] = _wyoming_port(given["wyoming"])
    return ServerSettings(**given)


def aliases_of(given: Sequence[str], model: str) -> dict[str, str]:
    """Return other name -> voice: the voices of OpenAI for the bundled model, and those given as NAME=VOICE."""
    aliases = {}
    if model == "bundled":
        aliases = {name: ("slt", "rms")[number] for name, number in _DEFAULT_ALIASES.items()}
    for text in given:
        name, equals, voice = text.partition("=")
        if not equals or not name.strip() or not voice.strip():
            raise OptionError(f"--voice-alias is {text!r}, must be NAME=VOICE")
        aliases[name.strip().lower()] = voice.strip()
    return aliases


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
