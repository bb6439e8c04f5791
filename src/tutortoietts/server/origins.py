"""Names that the server answers to, and pages that may use it: against pages that attack a server on your machine.

A browser lets any page send requests to 127.0.0.1. A foreign name in Host is DNS rebinding; a foreign Origin is another
site's page. Addresses in numbers cannot be rebound, so they are always good.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping

from tutortoietts.server.settings import ServerSettings

__all__ = ["Origins"]


class Origins:
    """The rules for Host, Origin and CORS."""

    def __init__(self, settings: ServerSettings) -> None:
        own = socket.gethostname().lower()
        names = {"localhost", settings.host.lower(), own, f"{own}.local", *map(str.lower, settings.allowed_hosts)}
        self._any_host = "*" in names
        self._names = names - {"*"}
        self._cors = {origin.rstrip("/").lower() for origin in settings.cors_origins}

    def known_host(self, host: str) -> bool:
        """Return True if a Host header names this server."""
        name = _without_port(host.lower())
        return bool(name) and (self._any_host or name in self._names or _is_address(name))

    def cors(self, headers: Mapping[str, str]) -> str:
        """Return the Origin of a request if its page is one that --cors-origin lets in, or ""."""
        origin = headers.get("origin", "")
        return origin if origin.lower() in self._cors else ""

    def may_use(self, headers: Mapping[str, str], *, changes: bool, open_path: bool) -> bool:
        """Return True unless the request comes from another site's page.

        changes: it is more than a GET. open_path: anyone may read it.
        """
        if self.cors(headers):
            return True
        origin = headers.get("origin")
        if origin is not None and (changes or not open_path):
            return self._is_same(origin, headers.get("host", ""))
        return open_path or headers.get("sec-fetch-site", "none") not in ("cross-site", "same-site")

    def _is_same(self, origin: str, host: str) -> bool:
        scheme, separator, place = origin.lower().partition("://")
        return bool(separator) and scheme in ("http", "https") and _port_out(place) == _port_out(host.lower())


def _port_out(place: str) -> str:
    """Return a host and port without a port that is the scheme's own, which browsers leave out."""
    for port in (":80", ":443"):
        if place.endswith(port):
            return place.removesuffix(port)
    return place


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
