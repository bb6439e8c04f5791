"""Compile a C file for this processor when it is first needed, and load its functions.

The source lies beside the Python that calls it. The machine's C compiler compiles it once, with OpenMP, into the user's
cache folder. Every function has a reference in torch, which is used where there is no compiler, and everywhere with
TUTORTOIETTS_NATIVE=0.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tutortoietts.core.paths import cache_dir

__all__ = ["VARIABLE", "library"]

VARIABLE = "TUTORTOIETTS_NATIVE"
_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-shared", "-fPIC")
# not -ffast-math: a library linked with it makes the whole process round the smallest numbers to zero

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
    kept = cache_dir() / "compiled" / f"{source.stem}-{content[:16]}.so"
    try:
        return ctypes.CDLL(str(kept)) if _ours(kept) else _compile(compiler, source, flags, kept)
    except (OSError, subprocess.SubprocessError) as error:
        message = str(getattr(error, "stderr", None) or error).strip()[:300]
        _log.warning("%s could not be compiled (%s); slower code does its work", source.name, message)
        return None


def _compile(compiler: str, source: Path, flags: tuple[str, ...], kept: Path) -> ctypes.CDLL:
    """Compile into the cache, complete or not at all; where the cache cannot be written, for this process only."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / kept.name
        command = [compiler, *_FLAGS, *flags, "-o", str(made), str(source), "-lm"]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        try:
            kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not _ours(kept.parent):
                return ctypes.CDLL(str(made))
            with tempfile.TemporaryDirectory(dir=kept.parent) as beside:
                copy = Path(shutil.copy(made, beside))
                copy.chmod(0o700)
                os.replace(copy, kept)
        except OSError:
            return ctypes.CDLL(str(made))
    return ctypes.CDLL(str(kept))


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
