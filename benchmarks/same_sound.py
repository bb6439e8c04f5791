"""Speak the same seeded requests with commit BASE and with the working tree, and compare every sample.

    python benchmarks/same_sound.py [BASE] [--only PATTERN] [--keep FILE] [--threads 2]

Each side speaks in its own process with its own package; both use BASE's bundled weights and small random models
written by BASE. The requests use documented names only (`TextToSpeech` and its methods), so that the inside of the
package may change. Two sounds are the same when the sha256 of their float32 samples is the same, chunk by chunk for a
stream. --keep saves BASE's digests, and later runs with the same file take them from it instead of speaking again.
A table goes to standard output; JSON is its last line. The exit status is 1 where any sound differs.
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import hashlib
import importlib
import itertools
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parent.parent
BASE = "cafb700"
SHORT = "Hello there, this is a test."
LONG = "The old man walked along the river and sang a quiet song. Then he went home, drank his tea and wrote it down."
BRACKETS = "[I am really sad,] please feed me."
BRIEF, BRIEF_BRACKETS = "One two three. Four five six.", "[so sad] feed me."  # small models take few words at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One thing to ask for. `engine`: arguments of `TextToSpeech`; `call`: a method of it, or "clone".

    `model` is "bundled" or the name of a small random model (see `write_models`). `native` False: torch's operations
    do the work of the C kernels. `module`: where `TextToSpeech` is imported from.
    """

    name: str
    model: str = "bundled"
    native: bool = True
    module: str = "tutortoietts"
    engine: Mapping[str, Any] = field(default_factory=dict)
    call: str = "tts"
    text: str = SHORT
    options: Mapping[str, Any] = field(default_factory=dict)


def requests(presets: tuple[str, ...]) -> Iterator[Request]:
    """Yield all requests. presets: the names of the bundled model's, each of which is spoken.

    Only "text/..." depends on how numbers are read and where long sentences are cut.
    """
    for preset in presets:
        yield Request(name=f"preset/{preset}", call="tts_with_preset", options={"preset": preset})
    yield from _bundled()
    yield from _small()


def _bundled() -> Iterator[Request]:
    few, five = {"num_autoregressive_samples": 3}, {"num_autoregressive_samples": 5}
    for precision in ("fp32", "bf16", "int8", "int4"):
        engine = {"precision": precision}
        yield Request(name=f"{precision}/tts", engine=engine, options=few)
        yield Request(name=f"{precision}/long", engine=engine, text=LONG, options={"voice_samples": "joe", **few})
        for decoder in ("stream", "diffusion"):
            options = {"decoder": decoder, "voice_samples": "owen"}
            yield Request(name=f"{precision}/{decoder}", engine=engine, call="tts_stream", text=LONG, options=options)
    yield Request(name="best-of", options={"k": 3, **five})
    yield Request(name="redaction", text=BRACKETS)
    yield Request(name="redaction/int8", engine={"precision": "int8"}, text=BRACKETS, options={"k": 2})
    yield Request(name="redaction/off", engine={"enable_redaction": False}, text=BRACKETS)
    yield Request(name="redaction/stream", call="tts_stream", text=BRACKETS)
    yield Request(name="half", engine={"half": True})
    yield Request(name="without-cache", engine={"kv_cache": False}, text="Hello.", options=few)
    yield Request(name="batches-of-2", engine={"autoregressive_batch_size": 2}, options=five)
    yield Request(name="basic-tokenizer", engine={"tokenizer_basic": True}, text="HE has, say, Cats!", options=few)
    yield Request(name="text/numbers", text="He has 3 cats, $4.50 and 2nd thoughts.", options=few)
    yield Request(name="original-import", module="tortoise.api", engine={"half": True}, options=few)
    yield Request(name="two-voices", options={"voice_samples": "clara+joe", **few})
    yield Request(name="random-voice", options={"voice_samples": "random", **few})
    yield Request(name="clone/latents", call="clone")
    yield Request(name="clone/tts", options={"voice_samples": "clips", **few})
    yield Request(name="clone/averaging", call="clone", options={"latent_averaging_mode": 1})
    yield Request(name="clone/stream", call="tts_stream", options={"voice_samples": "clips", "decoder": "stream"})
    yield Request(name="stream/chunks", call="tts_stream", options={"stream_chunk_size": 3, "stream_chunk_max": 12})
    for sampler in ("ancestral", "ddim", "dpm++2m", "dpm++2m_sde", "unipc"):
        options = {"sampler": sampler, "diffusion_iterations": 8, "diffusion_start": "noise", "cond_free": True, **few}
        yield Request(name=f"sampler/{sampler}", text="Hello there.", options=options)
    free = {"cond_free": True, "cond_free_k": 1.5, "cond_free_from": 500, "diffusion_temperature": 0.7}
    other = {"temperature": 1.1, "top_p": 0.6, "top_k": 20, "repetition_penalty": 3.0, "length_penalty": 2.0}
    options = {**free, **other, **few, "diffusion_iterations": 6, "diffusion_start": "noise"}
    yield Request(name="other-options", text="Hello there.", options=options)
    for precision in ("fp32", "bf16", "int8"):
        engine = {"precision": precision}
        yield Request(name=f"torch/{precision}", native=False, engine=engine, options=few)
    yield Request(name="torch/stream", native=False, call="tts_stream", options={"decoder": "stream"})


def _small() -> Iterator[Request]:
    """The public models' kinds, with the vocoders and streaming decoders that the bundled model lacks."""
    public = {"num_autoregressive_samples": 4, "diffusion_iterations": 5, "voice_samples": "anna", "max_mel_tokens": 20}
    for precision in ("fp32", "bf16", "int8"):
        for model in ("bigvgan", "univnet"):
            engine = {"precision": precision}
            yield Request(name=f"{model}/{precision}", model=model, engine=engine, text=BRIEF, options=public)
        for model in ("hifigan", "stream_vocos"):
            options = {"voice_samples": "ben", "max_mel_tokens": 20, "decoder": "stream"}
            yield Request(
                name=f"{model}/{precision}",
                model=model,
                engine={"precision": precision},
                call="tts_stream",
                text=BRIEF,
                options=options,
            )
        yield Request(
            name=f"torch/bigvgan-{precision}", native=False, model="bigvgan", engine=engine, text=BRIEF, options=public
        )
    for preset in ("ultra_fast", "realtime", "balanced", "ultra_fast_optimized", "fast_optimized"):
        options = {"preset": preset, "max_mel_tokens": 20}
        yield Request(name=f"bigvgan/{preset}", model="bigvgan", call="tts_with_preset", text="Hello.", options=options)
    yield Request(name="bigvgan/best-of", model="bigvgan", text=BRIEF_BRACKETS, options={**public, "k": 2})
    yield Request(name="bigvgan/clone", model="bigvgan", call="clone")
    yield Request(name="hifigan/diffusion", model="hifigan", call="tts_stream", options={"decoder": "diffusion"})


# one side, in a process of its own


def write_models(folder: Path) -> None:
    """Write the small random models; only BASE does, with the names that its package and its tests have."""
    import tiny_configs
    import tiny_model
    from tutortoietts.core.config import BigVGANConfig, UnivNetConfig

    small = BigVGANConfig(
        upsample_initial_channel=64,
        upsample_rates=(8, 8, 4),
        upsample_kernel_sizes=(16, 16, 8),
        resblock_kernel_sizes=(3, 7),
        resblock_dilation_sizes=((1, 3, 5), (1, 3, 5)),
    )
    usual = tiny_configs.model
    for name, vocoder in (("bigvgan", small), ("univnet", UnivNetConfig()), ("hifigan", None), ("stream_vocos", None)):
        streaming, kind = (name, "vocos") if vocoder is None else (None, name)
        spec = usual(streaming, codes=64, width=128)
        if vocoder is not None:
            spec = dataclasses.replace(spec, vocoder=vocoder)
        with patch.object(tiny_configs, "model", lambda _, spec=spec: spec), patch.dict(tiny_model.FILES, vocoder=kind):
            tiny_model.make_tiny_model(folder / name, seed=1, streaming=streaming)


def speak_all(models: Path, only: str | None) -> None:
    """Speak every request that is meant for this process and print a line of JSON for each."""
    native = os.environ.get("TUTORTOIETTS_NATIVE") != "0"
    presets = open_model(Request(name=""), models).presets
    chosen = [one for one in requests(presets) if one.native is native and fits(one.name, only)]
    for _, group in itertools.groupby(sorted(chosen, key=engine_key), engine_key):
        tts = None
        for request in group:
            began = time.perf_counter()
            try:
                tts = tts or open_model(request, models)
                said = digest(spoken(tts, request, models))
            except Exception as error:
                said = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps({"name": request.name, **said, "seconds": time.perf_counter() - began}), flush=True)


def fits(name: str, only: str | None) -> bool:
    return only is None or fnmatch.fnmatch(name, only)


def engine_key(request: Request) -> str:
    """Return a text that is the same for requests that one `TextToSpeech` can serve."""
    return json.dumps([request.model, request.module, request.engine], sort_keys=True)


def open_model(request: Request, models: Path) -> Any:
    kind = importlib.import_module(request.module).TextToSpeech
    return kind(str(models / request.model), device="cpu", **request.engine)


def spoken(tts: Any, request: Request, models: Path) -> list[Any]:
    """Return the tensors that a request gives, in order."""
    options = dict(request.options)
    if options.get("voice_samples") == "clips":
        options["voice_samples"] = clips(models)
    if request.call == "clone":
        return list(tts.get_conditioning_latents(clips(models), **options))
    options["use_deterministic_seed"] = 7
    if request.call != "tts_stream":
        options["verbose"] = False
    made = getattr(tts, request.call)(request.text, **options)
    return list(made) if isinstance(made, list) or request.call == "tts_stream" else [made]


def clips(models: Path) -> list[Any]:
    """Return a sound file at 44.1 kHz and a clip (1, samples) at 22.05 kHz: harmonics that glide, and some noise."""
    import numpy as np
    import soundfile
    import torch

    def voiced(rate: int, seconds: float, pitch: float) -> Any:
        at = np.arange(int(rate * seconds)) / rate
        phase = 2 * np.pi * pitch * (at + 0.02 * np.sin(5 * at))
        wave = sum(np.sin(n * phase) / n for n in range(1, 12)) * (0.6 + 0.4 * np.sin(9 * at))
        return (0.15 * wave + 0.003 * np.random.default_rng(5).standard_normal(len(at))).astype(np.float32)

    path = models / "clip.wav"
    if not path.exists():
        soundfile.write(path, voiced(44100, 12.0, 110.0), 44100, subtype="FLOAT")
    return [str(path), torch.from_numpy(voiced(22050, 2.5, 190.0))[None]]


def digest(tensors: list[Any]) -> dict[str, Any]:
    """Return the sha256 over the shape and float32 numbers of each tensor, and how many numbers there are."""
    total, together = 0, hashlib.sha256()
    for tensor in tensors:
        numbers = tensor.detach().float().contiguous().numpy()
        together.update(repr(numbers.shape).encode())
        together.update(numbers.tobytes())
        total += numbers.size
    return {"sha256": together.hexdigest(), "pieces": len(tensors), "numbers": total}


# both sides


def run_side(root: Path, models: Path, arguments: list[str], **environment: str) -> Iterator[dict[str, Any]]:
    """Run this script as one side, with the package of `root`, and yield what it prints."""
    own = {
        "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root / "tests")]),
        "TUTORTOIETTS_VOICES": str(models / "no-voices"),
        "HF_HUB_OFFLINE": "1",
        **environment,
    }
    command = [sys.executable, str(Path(__file__).resolve()), "--models", str(models), *arguments]
    with subprocess.Popen(command, env={**os.environ, **own}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode:
        raise SystemExit(f"error: {' '.join(command)} ended with {process.returncode}")


def speak_side(root: Path, models: Path, arguments: list[str], title: str) -> dict[str, dict[str, Any]]:
    """Return name -> digest of all requests of one side; progress goes to standard error."""
    said, began = {}, time.perf_counter()
    for native in ("1", "0"):
        for one in run_side(root, models, [*arguments, "--speak", str(root / "src")], TUTORTOIETTS_NATIVE=native):
            said[one["name"]] = one
            if len(said) % 20 == 0:
                print(f"{title}: {len(said)} requests, {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return said


def git(*arguments: str) -> bytes:
    """Return what git prints. Raises CalledProcessError."""
    return subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, stdout=subprocess.PIPE).stdout


def copy_of(commit: str, folder: Path) -> Path:
    """Write the package and the tests of a commit into `folder`, apart from the repository's own worktrees."""
    folder.mkdir()
    archive = git("archive", commit, "src", "tests")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder


def machine(threads: int) -> dict[str, Any]:
    """Return what digests depend on besides the code."""
    import torch

    return {"torch": torch.__version__, "python": platform.python_version(), "cpu": processor(), "threads": threads}


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def kept(file: Path | None, about: dict[str, Any], commit: str) -> dict[str, dict[str, Any]]:
    """Return the digests in `file` that were made by this commit on this machine by this script, else none."""
    if file is None or not file.is_file():
        return {}
    values = json.loads(file.read_text(encoding="utf-8"))
    return values["said"] if (values["commit"], values["about"]) == (commit, about) else {}


def compare(base: Mapping[str, Any], tree: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each request of either side: `same` where both gave the same numbers, and no error."""
    rows = []
    for name in dict.fromkeys([*base, *tree]):
        one, other = base.get(name, {"error": "missing"}), tree.get(name, {"error": "missing"})
        same = "sha256" in one and one.get("sha256") == other.get("sha256")
        rows.append({"name": name, "same": same, "base": one, "tree": other})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    def shown(said: dict[str, Any]) -> str:
        return said.get("error") or f"{said['sha256'][:12]} {said['numbers']:7} in {said['pieces']}"

    lines = ["| request | same | base | tree |", "|---|---|---|---|"]
    for row in rows:
        tree = "" if row["same"] else shown(row["tree"])
        lines.append(f"| {row['name']} | {'yes' if row['same'] else 'NO'} | {shown(row['base'])} | {tree} |")
    return "\n".join(lines)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", nargs="?", default=BASE, metavar="BASE", help=f"a commit, by default {BASE}")
    parser.add_argument("--only", metavar="PATTERN", help='only requests of such names, e.g. "int8/*"')
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep BASE's digests here for later runs")
    parser.add_argument("--threads", type=int, default=2, help="of torch, on both sides")
    parser.add_argument("--models", type=Path, help=argparse.SUPPRESS)  # these three: in the process of one side
    parser.add_argument("--speak", help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help=argparse.SUPPRESS)
    return parser


def one_side(chosen: argparse.Namespace) -> None:
    """Do what the process of one side is for, after a look at whose package it has."""
    import torch

    import tutortoietts

    if chosen.write:
        write_models(chosen.models)
        return
    found = Path(tutortoietts.__file__).resolve()
    if not found.is_relative_to(Path(chosen.speak).resolve()):
        raise SystemExit(f"error: the package is that of {found}, not of {chosen.speak}")
    torch.set_num_threads(chosen.threads)
    logging.getLogger("tutortoietts").setLevel(logging.ERROR)
    speak_all(chosen.models, chosen.only)


def main() -> int:
    chosen = arguments().parse_args()
    if chosen.models is not None:
        one_side(chosen)
        return 0
    commit = git("rev-parse", "--verify", chosen.base + "^{commit}").decode().strip()
    about = {**machine(chosen.threads), "script": hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}
    passed = ["--threads", str(chosen.threads), *(["--only", chosen.only] if chosen.only else [])]
    with tempfile.TemporaryDirectory() as name:
        root, models = copy_of(commit, Path(name) / "base"), Path(name) / "models"
        models.mkdir()
        (models / "bundled").symlink_to(root / "src" / "tutortoietts" / "bundled", target_is_directory=True)
        list(run_side(root, models, ["--write"]))
        base = kept(chosen.keep, about, commit)
        if not base:
            base = speak_side(root, models, passed, f"base {commit[:7]}")
            if chosen.keep is not None and chosen.only is None:
                chosen.keep.write_text(json.dumps({"commit": commit, "about": about, "said": base}), encoding="utf-8")
        base = {name: said for name, said in base.items() if fits(name, chosen.only)}
        rows = compare(base, speak_side(ROOT, models, passed, "tree"))
    differ = [row["name"] for row in rows if not row["same"]]
    print(table(rows))
    print(f"{len(rows)} requests, {len(differ)} differ")
    print(json.dumps({"base": commit, "requests": len(rows), "differ": differ, "machine": about}))
    return 1 if differ or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
