"""API keys: read once, compared in constant time, each with its own limits."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tutortoietts.core.errors import OptionError
from tutortoietts.server.errors import ApiError
from tutortoietts.server.settings import ServerSettings

__all__ = ["Keyring", "Limits", "read_keys"]

_SHORTEST = 16
_NAME = re.compile(r"[\w.-]{1,64}")


def read_keys(file: Path | None, variable: str | None) -> dict[str, str]:
    """Return {name: key} from a file with one key, or "name:key", a line, and from an environment variable's value.

    Raises OptionError for a file that cannot be read or holds no key, and for a key that is too short.
    """
    lines: list[str] = []
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(f"the file of API keys {file} cannot be read: {error}") from error
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        if not lines:
            raise OptionError(f"the file of API keys {file} holds none: write one a line, as key or name:key")
    if variable:
        lines.append(variable.strip())
    keys = {}
    for number, line in enumerate(lines, start=1):
        name, colon, key = line.partition(":")
        name, key = (name.strip(), key.strip()) if colon else (f"key{number}", line)
        if not _NAME.fullmatch(name):
            raise OptionError(f"key number {number} has an odd name: use letters, digits, '.', '_' and '-'")
        if len(key) < _SHORTEST or not key.isascii() or not key.isprintable():
            raise OptionError(f"the API key {name!r} must be {_SHORTEST} or more ASCII characters: make a longer one")
        keys[name] = key
    return keys


class Keyring:
    """Names keys; without any, everyone is let in under the name ""."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._digests = {name: hashlib.sha256(key.encode()).digest() for name, key in keys.items()}

    def __bool__(self) -> bool:
        return bool(self._digests)

    def name_of(self, given: str | None) -> str | None:
        """Return the name of a key, None if it is not one; all keys are compared, however early one fits."""
        if not self._digests:
            return ""
        digest = hashlib.sha256((given or "").encode("utf-8", "surrogateescape")).digest()
        found = None
        for name, known in self._digests.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found


class Limits:
    """Running requests and requests a minute of each key."""

    def __init__(self, settings: ServerSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._rate, self._clock = settings.key_concurrency, settings.key_rate / 60, clock
        self._running: dict[str, int] = {}
        self._buckets: dict[str, tuple[float, float]] = {}

    def enter(self, key: str) -> None:
        """Count a request of a key. Raises ApiError 429 beyond a limit; without keys ("") nothing is counted."""
        if not key:
            return
        if self._running.get(key, 0) >= self._most:
            raise ApiError(
                429, f"this key has {self._most} requests running, its limit: wait until one is done",
                code="concurrency_exceeded", retry=1, reason="rate",
            )  # fmt: skip
        if self._rate:
            self._take(key)
        self._running[key] = self._running.get(key, 0) + 1

    def leave(self, key: str) -> None:
        """End what `enter` began."""
        if key:
            self._running[key] -= 1
            if not self._running[key]:
                del self._running[key]

    def _take(self, key: str) -> None:
        """Take a token from the key's bucket, which holds those of ten seconds, at least one."""
        now, size = self._clock(), max(1.0, self._rate * 10)
        tokens, since = self._buckets.get(key, (size, now))
        tokens = min(size, tokens + (now - since) * self._rate)
        if tokens < 1:
            self._buckets[key] = tokens, now
            raise ApiError(
                429, f"this key may send {self._rate * 60:g} requests a minute: wait and try again",
                code="rate_exceeded", retry=(1 - tokens) / self._rate, reason="rate",
            )  # fmt: skip
        self._buckets[key] = tokens - 1, now
