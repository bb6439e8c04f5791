"""Compile a C file for this processor when it is first needed, and load its functions.

The source lies beside the Python that calls it. The machine's C compiler compiles it once, with OpenMP, into the user's
cache folder. Every function has a reference in torch, which is used where there is no compiler, and everywhere with
TUTORTOIETTS_NATIVE=0.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import os
import platform
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

from tutortoietts.core.errors import OptionError
from tutortoietts.core.paths import cache_dir

__all__ = ["VARIABLE", "library"]

VARIABLE = "TUTORTOIETTS_NATIVE"
_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-shared", "-fPIC")
# not -ffast-math: a library linked with it makes the whole process round the smallest numbers to zero

_COMPILE_SECONDS = 60
_PATIENCE_SECONDS = 3
_PREFIX = "tutortoietts-compile-"

_log = logging.getLogger(__name__)


def library(source: Path, *flags: str) -> ctypes.CDLL | None:
    """Return the functions of a C file, compiled with `flags` besides the usual ones, or None.

    None: there is no compiler, compiling failed (logged once), or TUTORTOIETTS_NATIVE is 0. The file may include the
    headers beside it. Its OpenMP threads are torch's: pass `torch.get_num_threads()` to parallel functions.
    """
    return None if os.environ.get(VARIABLE) == "0" else _library(source, flags)


@cache
def _library(source: Path, flags: tuple[str, ...]) -> ctypes.CDLL | None:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or os.name != "posix":
        _log.info("no C compiler: %s is not used", source.name)
        return None
    texts = [path.read_bytes() for path in (source, *sorted(source.parent.glob("*.h")))]
    content = hashlib.sha256(repr((texts, _FLAGS, flags, _processor())).encode()).hexdigest()
    try:
        name = f"{source.stem}-{content[:16]}"
        for kept in sorted((cache_dir() / "compiled").glob(f"{name}-*.so")):
            if (loaded := _loaded(kept)) is not None:
                return loaded
        return _compile(compiler, source, flags, cache_dir() / "compiled", name)
    except (OSError, subprocess.SubprocessError, OptionError) as error:
        message = str(getattr(error, "stderr", None) or error).strip()[:300]
        _log.warning("%s could not be compiled (%s); slower code does its work", source.name, message)
        return None


def _loaded(kept: Path) -> ctypes.CDLL | None:
    """Load a library of the cache; None, and it is deleted, if it is not what was once compiled, by its name."""
    try:
        if not _ours(kept):
            return None
        if kept.is_file() and _digest(kept.read_bytes()) == kept.stem.rpartition("-")[2]:
            return ctypes.CDLL(str(kept))
        shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
    except OSError as error:
        _log.info("%s is compiled again: %s", kept.name, error)
    return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _compile(compiler: str, source: Path, flags: tuple[str, ...], folder: Path, name: str) -> ctypes.CDLL:
    """Compile into the cache, complete or not at all; where the cache cannot be written, for this process only."""
    _clear_leftovers()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as temporary:
        made = Path(temporary) / f"{name}.so"
        _run([compiler, *_FLAGS, *flags, "-o", str(made), str(source), "-lm"], source.name)
        content = made.read_bytes()
        kept = folder / f"{name}-{_digest(content)}.so"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not _ours(folder):
                return ctypes.CDLL(str(made))
            _put(kept, content)
        except OSError:
            return ctypes.CDLL(str(made))
        return ctypes.CDLL(str(kept))


def _put(path: Path, data: bytes) -> None:
    """Write a file under another name, wait until the disk has it, and rename it."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _run(command: list[str], name: str) -> None:
    """Run a compiler in a group of its own, which is ended with it after 60 s, at an error and at an interrupt.

    What it compiles, `name`, is logged if it takes more than some seconds.

    Raises CalledProcessError, TimeoutExpired.
    """
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        errors="replace", start_new_session=True,
    ) as process:  # fmt: skip
        try:
            try:
                _, errors = process.communicate(timeout=_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                _log.warning("compiling %s for this processor, once; at most %g s ...", name, _COMPILE_SECONDS)
                _, errors = process.communicate(timeout=_COMPILE_SECONDS - _PATIENCE_SECONDS)
        except BaseException:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command[0], stderr=errors)


def _clear_leftovers() -> None:
    """Delete the temporary folders of compilations that were killed: ours, and older than any may take."""
    oldest = time.time() - 10 * _COMPILE_SECONDS
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.lstat().st_mtime < oldest and _ours(folder) and not folder.is_symlink():
                shutil.rmtree(folder)


def _ours(path: Path) -> bool:
    """Return True if the file or folder exists and only this user may write it, so that nobody else's code is loaded.

    For a library this includes its folder.
    """
    try:
        found = [os.stat(path), os.stat(path.parent)] if path.suffix == ".so" else [os.stat(path)]
    except OSError:
        return False
    return all(one.st_uid == os.geteuid() and not one.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for one in found)


def _processor() -> str:
    """Describe the processor, because several machines may share the disk of the cache."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    described = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    return repr((platform.system(), platform.machine(), platform.processor(), described))
