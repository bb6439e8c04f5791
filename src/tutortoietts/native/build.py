"""C for the machine's own processor, compiled when it is first needed: the kernels that torch lacks.

The source lies beside the Python that calls it. It is compiled once by the machine's C compiler, with OpenMP, for this
very processor, into the user's cache folder. All that is made so has a form in torch, its oracle, which works where
there is no compiler, and everywhere with TUTORTOIETTS_NATIVE=0.
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
# not -ffast-math: linked into a library it has the whole process round the smallest numbers to zero

_log = logging.getLogger(__name__)


def library(source: Path, *flags: str) -> ctypes.CDLL | None:
    """The functions of a C file, which may include headers beside it, compiled with these `flags` besides the usual.

    None where that cannot be, or is switched off. Its OpenMP threads are torch's: pass `torch.get_num_threads()` to
    what runs in parallel.
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
        said = getattr(error, "stderr", None) or error
        _log.warning("%s could not be compiled (%s); slower code does its work", source.name, str(said).strip()[:300])
        return None


def _compile(compiler: str, source: Path, flags: tuple[str, ...], kept: Path) -> ctypes.CDLL:
    """Complete in the cache or not there at all; where that cannot be written, for this process only."""
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
    """Whether it is there, belongs to this user, and nobody else may write it or the folder it is in: code of another
    user's is never loaded."""
    try:
        found = [os.stat(path), os.stat(path.parent)] if path.suffix == ".so" else [os.stat(path)]
    except OSError:
        return False
    return all(one.st_uid == os.geteuid() and not one.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for one in found)


def _processor() -> str:
    """What tells processors apart that run different code: a cache may lie on a disk that several machines share."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    told = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    return repr((platform.system(), platform.machine(), platform.processor(), told))
