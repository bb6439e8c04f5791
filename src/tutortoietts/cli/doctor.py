"""`tutortoietts doctor`: report on this machine, on active speedups, and on problems."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from tutortoietts.cli.common import EXIT_FAILURE, Debug, Json, guarded, new_app, print_json
from tutortoietts.cli.playback import PLAYERS
from tutortoietts.version import __version__

if TYPE_CHECKING:
    from tutortoietts.api import TextToSpeech

NEEDED = (  # as pyproject.toml has them
    "torch", "numpy", "safetensors", "tokenizers", "huggingface_hub", "soundfile", "soxr", "anyascii", "typer", "rich"
)  # fmt: skip
LEAST_FREE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report. level: good, note (slower or fewer features) or bad (something will not work)."""

    subject: str
    level: str
    detail: str


def good(subject: str, detail: str) -> Finding:
    return Finding(subject=subject, level="good", detail=detail)


def note(subject: str, detail: str) -> Finding:
    return Finding(subject=subject, level="note", detail=detail)


def bad(subject: str, detail: str) -> Finding:
    return Finding(subject=subject, level="bad", detail=detail)


@guarded
def doctor(
    model: Annotated[str, typer.Option("--model", "-m", help="Model to try.")] = "bundled",
    device: Annotated[str | None, typer.Option(help="Device to examine [default: the fastest available].")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show device, active speedups, installed packages and problems; exit code 1 if there is a problem."""
    findings = list(examine(model, device))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{finding.level:<5} {finding.subject:<12} {finding.detail}", flush=True)
    if any(finding.level == "bad" for finding in findings):
        raise typer.Exit(EXIT_FAILURE)


def examine(model: str, device: str | None) -> Iterator[Finding]:
    """Yield all findings; each comes after those that it depends on."""
    yield good("version", f"tutortoietts {__version__}, Python {platform.python_version()}, {platform.platform()}")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        yield bad("packages", f"not installed: {', '.join(missing)} (python -m pip install {' '.join(missing)})")
        return
    yield good("packages", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in NEEDED))
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (_processor, _gpu, _sound, _folders, _network)
    for check in checks:
        yield from check()
    yield from _checkpoints()
    yield from _model(model, device)


def _processor() -> Iterator[Finding]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    yield good("processor", f"{cores} cores, {threads} threads used, {torch.backends.cpu.get_cpu_capability()}")
    if threads < cores // 2:
        variable = "OMP_NUM_THREADS" if "OMP_NUM_THREADS" in os.environ else "the thread setting"
        yield note("processor", f"slow because {variable} allows only {threads} of {cores} cores")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.7 * cores:
        yield note("processor", f"slow because other work keeps {load:.1f} of {cores} cores busy")


def _gpu() -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        yield good("gpu", f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free, CUDA {torch.version.cuda}")
    elif torch.backends.mps.is_available():
        yield good("gpu", "Apple GPU (mps)")
    elif shutil.which("nvidia-smi"):
        reason = "a build for processors only" if torch.version.cuda is None else "its driver does not answer"
        yield note("gpu", f"slow because torch {torch.__version__} cannot use the NVIDIA GPU: {reason}")
    else:
        yield note("gpu", "none: models run on the processor; the bundled model needs no more")


def _sound() -> Iterator[Finding]:
    import soundfile

    known = soundfile.available_formats()
    lacking = [name for name, key in {"mp3": "MP3", "ogg": "OGG", "flac": "FLAC"}.items() if key not in known]
    if lacking:
        yield note("sound", f"libsndfile {soundfile.__libsndfile_version__} knows no {', '.join(lacking)}: use wav")
    else:
        yield good("sound", f"libsndfile {soundfile.__libsndfile_version__}: wav, flac, ogg, opus, mp3")
    programs = [player.program for player in PLAYERS]
    player = next(filter(None, map(shutil.which, programs)), None)
    yield good("player", player) if player else note("player", f"none for --play ({', '.join(programs)})")


def _folders() -> Iterator[Finding]:
    from tutortoietts.core.errors import TutortoieError
    from tutortoietts.weights.load import cache_dir

    try:
        folder = cache_dir()
    except TutortoieError as error:
        yield note("cache", f"nothing is kept: {error}")
        return
    place = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(place, os.W_OK):
        yield bad("cache", f"{folder} cannot be written: change its permissions or set TUTORTOIETTS_CACHE")
        return
    free = shutil.disk_usage(place).free
    level = good if free >= LEAST_FREE_BYTES else note
    yield level("cache", f"{folder}, {free / 2**30:.1f} GiB free")


def _network() -> Iterator[Finding]:
    from tutortoietts.weights.fetch import is_offline

    if is_offline():
        yield note("network", "switched off by HF_HUB_OFFLINE: checkpoints come only from this machine")


def _checkpoints() -> Iterator[Finding]:
    from tutortoietts.core.errors import OptionError
    from tutortoietts.weights.fetch import find
    from tutortoietts.weights.registry import REGISTRY

    try:
        here = [name for name, file in REGISTRY.items() if find(file)]
    except OptionError as error:  # TORTOISE_MODELS_DIR
        yield bad("checkpoints", str(error))
        return
    detail = f"{len(here)} of {len(REGISTRY)} public files here" + (f": {', '.join(here)}" if here else "")
    yield good("checkpoints", detail + " (the bundled model needs none)")


def _model(model: str, device: str | None) -> Iterator[Finding]:
    from tutortoietts.api import TextToSpeech
    from tutortoietts.core.errors import TutortoieError

    started = time.perf_counter()
    try:
        tts = TextToSpeech(model=model, device=device)
        for part in ("autoregressive", "diffusion", "clvp", "ctc", "vocoder"):
            if getattr(tts.spec, part):
                getattr(tts, part)  # read and checked now, not when it first speaks
    except TutortoieError as error:
        yield bad("model", str(error))
        return
    yield good("model", f"{model} loads in {time.perf_counter() - started:.1f} s on {tts.device}")
    yield good("speedups", "; ".join(_speedups(tts)))


def _speedups(tts: TextToSpeech) -> Iterator[str]:
    """Yield the speedups that are active by default, and those that can be turned on."""
    import torch

    from tutortoietts.native.layer_chain import has_integer_products
    from tutortoietts.runtime.cuda_graphs import use_cuda_graphs

    yield "key-value cache, one prefill for all candidates" if tts.kv_cache else "no key-value cache"
    if use_cuda_graphs(tts.device):
        yield "decoding steps and diffusion forwards as CUDA graphs"
    yield f"precision {tts.precision}"
    if tts.device.type == "cpu" and getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)():
        yield "AMX for bfloat16 is present, used by --half"
    if tts.device.type == "cpu" and has_integer_products():
        yield "8-bit products are present: --precision int8 makes the public models about three times as fast"


app = new_app("Show device, active speedups, installed packages and problems.")
app.command()(doctor)

if __name__ == "__main__":
    app(prog_name="doctor")
