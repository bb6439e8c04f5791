"""A zip file read within limits: sizes are counted while unpacking, never believed.

archive = Archive(path)
data = archive.read("OEBPS/ch1.xhtml", limit=MARKUP_LIMIT)
"""

from __future__ import annotations

import os
import posixpath
import struct
import unicodedata
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote

from tutortoietts.core.errors import BookError

__all__ = ["CONTENTS_LIMIT", "MARKUP_LIMIT", "Archive", "resolve_href"]

MOST_ENTRIES = 10_000
MOST_BYTES = 512 << 20
MARKUP_LIMIT = 64 << 20
CONTENTS_LIMIT = 16 << 20
MOST_RATIO = 200
RATIO_FROM = 10 << 20
CHUNK = 1 << 16
_END_RECORD = b"PK\x05\x06"


class Archive:
    """An open zip file. Raises BookError when it is damaged, no zip at all, or larger than the limits."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        _refuse_odd(self.path)
        try:
            self._zip = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError) as error:
            remedy = "download it again, or repair it (zip -FF)"
            raise BookError(f"{self.path} is no readable zip file ({error}): {remedy}") from error
        self._infos = {info.filename.replace("\\", "/"): info for info in self._zip.infolist() if not info.is_dir()}
        self._folded = {_fold(name): name for name in reversed(self._infos)}
        self._total = 0

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._zip.close()

    def names(self) -> list[str]:
        """Return the names of all files, in the order of the zip."""
        return list(self._infos)

    def find(self, name: str) -> str | None:
        """Return the file's name as the zip has it: exact, else with another case or Unicode form, else None."""
        return name if name in self._infos else self._folded.get(_fold(name))

    def stored(self, name: str) -> bool:
        """Return True when the file is stored without compression."""
        return self._infos[name].compress_type == zipfile.ZIP_STORED

    def read(self, name: str, *, limit: int = MARKUP_LIMIT) -> bytes:
        """Return a file's bytes. Raises BookError when it is absent, damaged, or grows over a limit."""
        found = self.find(name)
        if found is None:
            raise BookError(f"{self.path}: {name} is not in the zip file")
        info = self._infos[found]
        if info.flag_bits & 1:
            raise BookError(f"{self.path}: {name} is encrypted with a password: unpack it and zip it again without")
        pieces: list[bytes] = []
        size = 0
        try:
            with self._zip.open(info) as stream:
                while chunk := stream.read(CHUNK):
                    size += len(chunk)
                    self._total += len(chunk)
                    self._check(name, size, info.compress_size, limit)
                    pieces.append(chunk)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            raise BookError(f"{self.path}: {name} is damaged ({error}): download the book again") from error
        return b"".join(pieces)

    def _check(self, name: str, size: int, packed: int, limit: int) -> None:
        if size > limit:
            raise BookError(f"{self.path}: {name} unpacks to more than {limit >> 20} MB, the limit: is it a zip bomb?")
        if self._total > MOST_BYTES:
            raise BookError(f"{self.path} unpacks to more than {MOST_BYTES >> 20} MB, the limit: is it a zip bomb?")
        if size > RATIO_FROM and size > MOST_RATIO * max(packed, 1):
            raise BookError(f"{self.path}: {name} is packed over {MOST_RATIO}:1, the limit: is it a zip bomb?")


def resolve_href(base: str, href: str) -> tuple[str | None, str]:
    """Return (file in the zip, fragment) of a link found in the file `base`; None for a link out of the zip.

    Percent escapes are decoded, backslashes repaired, ".." is resolved. A link that leaves the zip, or has a scheme,
    gives None.
    """
    path, _, fragment = href.strip().partition("#")
    path = unquote(path.replace("\\", "/"))
    fragment = unquote(fragment)
    if not path:
        return base, fragment
    if ":" in path.split("/")[0] or path.startswith("//"):
        return None, fragment
    joined = path.lstrip("/") if path.startswith("/") else posixpath.join(posixpath.dirname(base), path)
    whole = posixpath.normpath(joined)
    if whole.startswith("../") or whole in ("..", "."):
        return None, fragment
    return whole, fragment


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _refuse_odd(path: Path) -> None:
    """Refuse what zipfile would take long or much memory to refuse: no file, empty, a directory of too many entries."""
    if not path.exists():
        raise BookError(f"no file at {path}: check the path")
    if not path.is_file():
        raise BookError(f"{path} is not a file: name an .epub, .txt, .md, .html, .docx or .pdf file")
    size = path.stat().st_size
    if size == 0:
        raise BookError(f"{path} is empty (0 bytes): download it again")
    with path.open("rb") as file:
        file.seek(max(0, size - (1 << 16) - 22))
        tail = file.read()
    at = tail.rfind(_END_RECORD)
    if at < 0:
        raise BookError(f"{path} is no zip file, or its end is cut off: download it again, or repair it (zip -FF)")
    if len(tail) - at >= 22:
        entries = struct.unpack_from("<H", tail, at + 10)[0]
        directory = struct.unpack_from("<I", tail, at + 12)[0]
        if entries > MOST_ENTRIES or directory > MOST_ENTRIES * 400:
            raise BookError(f"{path} holds more than {MOST_ENTRIES} files, the limit: is it a book?")
