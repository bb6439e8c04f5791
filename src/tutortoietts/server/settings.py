"""Settings of the server, checked once: where it listens, who may use it, and how much of it."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from tutortoietts.core.errors import OptionError

__all__ = ["OPENAI_VOICES", "ServerSettings", "is_loopback", "voice_aliases"]

OPENAI_VOICES = {
    **dict.fromkeys(("alloy", "ash", "ballad", "cedar", "coral", "fable", "marin", "nova", "sage", "shimmer"), "clara"),
    **dict.fromkeys(("echo", "onyx", "verse"), "joe"),
}
"""Names of OpenAI's voices -> voices of the bundled model."""


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach a server bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def voice_aliases(given: Sequence[str], model: str) -> dict[str, str]:
    """Return other name -> voice: the voices of OpenAI for the bundled model, and those given as NAME=VOICE.

    Raises OptionError.
    """
    aliases = dict(OPENAI_VOICES) if model == "bundled" else {}
    for text in given:
        name, equals, voice = text.partition("=")
        if not equals or not name.strip() or not voice.strip():
            raise OptionError(f"--voice-alias is {text!r}, must be NAME=VOICE")
        aliases[name.strip().lower()] = voice.strip()
    return aliases


_LIMITS: Mapping[str, tuple[float, float]] = {
    "port": (0, 65535),
    "max_input": (1, 1_000_000),
    "max_queue": (0, 10_000),
    "max_rows": (1, 256),
    "max_candidates": (1, 4096),
    "max_steps": (1, 4000),
    "key_concurrency": (1, 10_000),
    "key_rate": (0.0, 100_000.0),
    "queue_timeout": (0.1, 3600.0),
    "first_sound_timeout": (0.1, 3600.0),
    "request_timeout": (0.1, 86400.0),
    "reader_timeout": (0.1, 3600.0),
    "grace": (0.0, 3600.0),
    "ahead_seconds": (0.5, 3600.0),
    "tail_silence": (0, 5000),
    "connections": (1, 100_000),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Settings of the server; fields as the options of `tutortoietts serve`.

    keys: names of the keys and their values. port, wyoming: 0 takes a free port; wyoming None: no Wyoming.
    max_queue: requests that run or wait. max_rows: requests spoken at once. key_rate: requests a minute, 0: any.
    ahead_seconds: sound made ahead of a reader. tail_silence: milliseconds of silence after every request.
    cloning None: only where the server is bound to this machine. phrase_cache: the model has one, in which a request
    is looked up before it takes a place; requests that name no seed get the seed 0.
    Raises OptionError for a value outside its limits, and for an open address without a key.
    """

    host: str = "127.0.0.1"
    port: int = 8880
    wyoming: int | None = None
    wyoming_host: str | None = None
    insecure: bool = False
    keys: Mapping[str, str] = field(default_factory=dict)
    max_input: int = 4096
    max_queue: int = 32
    max_rows: int = 16
    max_candidates: int = 64
    max_steps: int = 200
    key_concurrency: int = 4
    key_rate: float = 0.0
    queue_timeout: float = 20.0
    first_sound_timeout: float = 30.0
    request_timeout: float = 300.0
    reader_timeout: float = 30.0
    grace: float = 30.0
    ahead_seconds: float = 60.0
    tail_silence: int = 0
    connections: int = 256
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    cloning: bool | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    open_lists: bool = True
    page: bool = True
    warmup: bool = True
    root_path: str = ""
    forwarded_allow_ips: str | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    log_text: bool = False
    phrase_cache: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not math.isfinite(value) or not low <= value <= high:
                raise OptionError(f"{name} is {value!r}, outside {low:g}..{high:g}")
        if self.wyoming is not None and not 0 <= self.wyoming <= 65535:
            raise OptionError(f"wyoming is {self.wyoming!r}, must be a port of 0..65535")
        if not is_loopback(self.host) and not self.keys and not self.insecure:
            raise OptionError(
                f"host {self.host} lets other machines in, and there is no API key: give --api-key-file FILE, or "
                "--insecure if everyone who reaches this address may use it"
            )
        where = self.wyoming_host or self.host
        if self.wyoming is not None and not is_loopback(where) and not self.insecure and self.wyoming_host is None:
            raise OptionError(
                f"Wyoming knows no keys, so {where}:{self.wyoming} would be open to everyone who reaches it: name its "
                "address with --wyoming-host, or give --insecure"
            )
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise OptionError("ssl_certfile and ssl_keyfile belong together: give both or neither")
        if self.root_path and not self.root_path.startswith("/"):
            raise OptionError(f"root_path is {self.root_path!r}, must begin with /")
        for origin in self.cors_origins:
            if origin == "*" or "://" not in origin or origin.rstrip("/").count("/") != 2:
                raise OptionError(f"cors_origin is {origin!r}, must be an exact origin such as https://app.example.org")

    @property
    def clones(self) -> bool:
        """True if voices may be added."""
        return is_loopback(self.host) if self.cloning is None else self.cloning

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of all settings."""
        return tuple(one.name for one in fields(cls))
