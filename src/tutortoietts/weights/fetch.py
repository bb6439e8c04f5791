"""Get a public file: from the user's own folder of models, from a cache, or from the network.

    fetch(name, models_dir=None, offline=None) -> path          name: of weights.registry, or its PublicFile
    fetch_all(names, models_dir=None) -> paths                  raises FetchError naming all that cannot be had
    find(name, models_dir=None) -> path or None                 without the network
    verify(file, path)                                          raises FetchError unless path has the known sha256

Folders are searched in this order: ``models_dir``, TORTOISE_MODELS_DIR, that of the original Tortoise, the caches.
A named folder that does not exist raises OptionError.
HF_HUB_OFFLINE=1 (or ``offline=True``) keeps everything off the network.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from tutortoietts.core.errors import FetchError, OptionError
from tutortoietts.core.paths import existing_folder, expanded
from tutortoietts.weights.licence import require_consent
from tutortoietts.weights.load import cache_dir
from tutortoietts.weights.registry import HubFile, PublicFile, WebFile, lookup

__all__ = ["download", "fetch", "fetch_all", "file_sha256", "find", "is_offline", "verify"]

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 20.0
_VARIABLE = "TORTOISE_MODELS_DIR"
_ORIGINAL_FOLDER = "~/.cache/tortoise/models"


def fetch(
    file: str | PublicFile, models_dir: str | os.PathLike[str] | None = None, *, offline: bool | None = None
) -> Path:
    """Return the path of a file on this machine; download it first if needed.

    Raises FetchError that says which file to put where, if it cannot be had, and for a wrong sha256.
    """
    file = lookup(file) if isinstance(file, str) else file
    found = find(file, models_dir)
    if found is not None:
        verify(file, found)
        return found
    if is_offline() if offline is None else offline:
        raise _not_had(file, models_dir, ["the network is switched off (HF_HUB_OFFLINE)"])
    require_consent(file.licence, file.name)
    reasons: list[str] = []
    for source in file.sources:
        try:
            path = _from_hub(source) if isinstance(source, HubFile) else _from_web(source, file)
        except FetchError:
            raise
        except Exception as error:  # each client version has its own errors; all of them mean: not from this source
            reasons.append(_first_line(error))
        else:
            verify(file, path)
            return path
    raise _not_had(file, models_dir, reasons)


def fetch_all(files: Sequence[str | PublicFile], models_dir: str | os.PathLike[str] | None = None) -> Iterator[Path]:
    """Yield `fetch` of each file. The FetchError for one that cannot be had also names all others that are missing."""
    for place, file in enumerate(files):
        try:
            yield fetch(file, models_dir)
        except FetchError as error:
            rest = (lookup(other) if isinstance(other, str) else other for other in files[place + 1 :])
            absent = [f"{one.local_names[0]} ({one.megabytes:g} MB)" for one in rest if find(one, models_dir) is None]
            if not absent:
                raise
            more = f"{error}. Not here either: {', '.join(absent)}; docs/checkpoints.md has them all"
            raise FetchError(more, file=error.file) from error


def find(file: str | PublicFile, models_dir: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the path of a file on this machine, unverified, or None; never use the network."""
    file = lookup(file) if isinstance(file, str) else file
    for folder in _folders(models_dir):
        for name in file.local_names:
            if (folder / name).is_file():
                return folder / name
    for source in file.sources:
        try:
            path = _in_hub_cache(source) if isinstance(source, HubFile) else _web_target(source, file)
        except OptionError:
            if os.environ.get("TUTORTOIETTS_CACHE"):
                raise
            continue  # no home folder is known here
        if path is not None and path.is_file():
            return path
    return None


def verify(file: PublicFile, path: str | os.PathLike[str]) -> None:
    """Raise FetchError unless the file at ``path`` has the known sha256, or the known size where only that is known."""
    if file.sha256 is None and file.size is not None and (size := os.path.getsize(path)) != file.size:
        message = f"{path} has {size} bytes, but {file.name} has {file.size}; delete it and fetch it again"
        raise FetchError(message, file=path)
    if file.sha256 is None:
        return
    actual = file_sha256(path)
    if actual != file.sha256:
        raise FetchError(
            f"{path}: sha256 is {actual}, but that of {file.name} is {file.sha256}; delete it and fetch it again",
            file=path,
        )


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the sha256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def is_offline() -> bool:
    """Return True if HF_HUB_OFFLINE is set, as huggingface_hub reads it."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def download(url: str, target: Path, sha256: str | None = None) -> Path:
    """Download to ``target``, continuing an earlier try; it is checked, and appears complete or not at all.

    Raises FetchError for a wrong sha256, OSError for a network error.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.part")
    try:
        _append(url, partial)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        partial.unlink()  # longer than the file there is now: start again
        _append(url, partial)
    if sha256 is not None and (actual := file_sha256(partial)) != sha256:
        partial.unlink()
        raise FetchError(f"{url}: what came has sha256 {actual}, expected {sha256}; try again later", file=target)
    os.replace(partial, target)
    return target


def _append(url: str, partial: Path) -> None:
    """Request the bytes that ``partial`` still lacks; a server without ranges sends all, which replace it."""
    have = partial.stat().st_size if partial.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        expected = response.headers.get("Content-Length")
        written = 0
        with open(partial, "ab" if resumed else "wb") as stream:
            while block := response.read(_CHUNK):
                stream.write(block)
                written += len(block)
        if expected is not None and written < int(expected):
            raise OSError(f"the connection ended after {written} of {expected} bytes")


def _from_web(source: WebFile, file: PublicFile) -> Path:
    return download(source.url, _web_target(source, file), file.sha256)


def _web_target(source: WebFile, file: PublicFile) -> Path:
    return cache_dir() / "public" / file.local_names[0]


def _from_hub(source: HubFile) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.constants import ENDPOINT

    _check_reachable(ENDPOINT)
    return Path(hf_hub_download(source.repo, source.path, revision=source.revision))


def _check_reachable(address: str) -> None:
    """Raise OSError at once if there is no network: the client itself would retry for half a minute, and log it."""
    parts = urllib.parse.urlsplit(address)
    if urllib.request.getproxies() or parts.hostname is None:
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), timeout=_TIMEOUT_SECONDS).close()
    except OSError as error:
        raise OSError(f"no connection to {parts.hostname}: {error}") from error


def _in_hub_cache(source: HubFile) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(source.repo, source.path, revision=source.revision)
    return Path(cached) if isinstance(cached, str) else None


def _folders(models_dir: str | os.PathLike[str] | None) -> Iterator[Path]:
    for folder, option in ((models_dir, "--models-dir"), (os.environ.get(_VARIABLE), _VARIABLE)):
        if folder:
            yield existing_folder(folder, option)
    with contextlib.suppress(OptionError):  # a user without a home folder
        yield expanded(_ORIGINAL_FOLDER)


def _not_had(file: PublicFile, models_dir: str | os.PathLike[str] | None, reasons: list[str]) -> FetchError:
    folder = models_dir or os.environ.get(_VARIABLE)
    place = folder or "a folder that --models-dir or TORTOISE_MODELS_DIR names"
    name = file.local_names[0]
    why = "; ".join(dict.fromkeys(reasons))
    return FetchError(
        f"{name} ({file.name}, {file.megabytes:g} MB) is not on this machine and cannot be downloaded: {why}. "
        f"Get it elsewhere from {file.sources[0]} and put it into {place} as {name}",
        file=name,
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().split("\n")[0] or type(error).__name__)[:200]
