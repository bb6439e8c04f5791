"""Loads every public checkpoint at full size, made up: the keys, shapes and types of a manifest, random numbers.

    python benchmarks/load_manifests.py --manifests DIR [NAME ...] [--work DIR] [--threads 1]

For each manifest (JSON: file, nested_under, config, tensors) a checkpoint is written in the form of the original,
found and loaded as `TextToSpeech` does it (converted to safetensors, strictly, then once more from the cache), compared
with what was written, and run once on a tiny input. Each step is a process of its own, so that its memory is its own;
one checkpoint at a time is on the disk (up to 3.5 GB with its conversion), none afterwards. The comparison knows
nothing of the conversion: weight norm is folded by its formula, and else our tensors must hold theirs, bit for bit,
in whatever layout. (That the layout is right is what the golden files show.) Prints a table, at the end a line of
JSON. Exit code 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutortoietts.core.config import CONFIGS, Config
from tutortoietts.core.config_xtts import SpeakerEncoderConfig, hifigan_of
from tutortoietts.core.errors import ModelError
from tutortoietts.weights.registry import REGISTRY, XTTS_RELEASE, PublicFile

NO_MODEL = ("xtts_v2_mel_stats", "xtts_v2_speakers")
STEPS = ("write", "convert", "cached", "compare")
GAIN = 0.02  # of the random numbers: small enough for sixty layers to stay finite
FOLDED_TOLERANCE = 1e-5  # relative, of a weight folded in float32 here and in float64 there
TEXT, CODES, FRAMES = 8, 12, 32
LEFT_OUT = (
    *(".filter", "inv_freq", ".weight_v", "original1", ".attn.bias", ".masked_bias"),
    *("num_batches_tracked", "spectrogram.window", "mel_scale.fb", "cluster_size", "embed_avg"),
)
PARTS = {"hifigan": "hifigan_decoder.waveform_decoder.", "speaker_encoder": "hifigan_decoder.speaker_encoder."}


def public_file(manifest: Mapping[str, Any], name: str) -> tuple[PublicFile, str]:
    """The registry's entry for a manifest, and the name under which a folder of models holds it."""
    if name.startswith("xtts_v2_"):
        return XTTS_RELEASE["model"], f"xtts-v2/{manifest['file']}"
    for file in REGISTRY.values():
        for local in file.local_names:
            if manifest["file"] in (local, Path(local).name) and local.startswith((name, manifest["file"])):
                return file, local
    raise SystemExit(f"no public file is called {manifest['file']} ({name})")


def models_in(manifest: Mapping[str, Any], name: str, file: PublicFile) -> dict[str, Config]:
    """The kinds of models that a manifest describes, with their configurations."""
    if name == "xtts_v2_decoder":
        return {"hifigan": hifigan_of(manifest["config"]), "speaker_encoder": SpeakerEncoderConfig()}
    kind = "dvae" if name == "xtts_v2_dvae" else file.kind
    return {kind: CONFIGS[kind].from_dict(manifest["config"]) if name.startswith("xtts_") else file.config()}


def random_state(manifest: Mapping[str, Any]) -> dict[str, Tensor]:
    """Theirs: every tensor of its shape and type, random, but for the constants of the architecture."""
    generator = torch.Generator().manual_seed(0)

    def make(key: str, shape: list[int], dtype: torch.dtype) -> Tensor:
        if key.endswith("rotary_pos_emb.inv_freq"):
            return 10000.0 ** (-torch.arange(shape[0]) / shape[0])
        if key.endswith(("sample.filter", "lowpass.filter")):
            from tutortoietts.models.bigvgan import antialias_filter

            return antialias_filter()[None, None]
        if key.endswith("torch_spec.0.filter"):
            return torch.tensor([[[-0.97, 1.0]]])
        if key.endswith("spectrogram.window"):
            return torch.hamming_window(shape[0])
        if key.endswith("mel_scale.fb"):
            from tutortoietts.audio.mel import speaker_filters

            return speaker_filters().t().contiguous()
        if not dtype.is_floating_point:
            return torch.randint(0, 2, shape, generator=generator).to(dtype)
        return torch.randn(shape, generator=generator).mul_(GAIN).to(dtype)

    entries = manifest["tensors"].items()
    state = {k: make(k, t["shape"], getattr(torch, t["dtype"])) for k, t in entries}
    state |= {key: tensor.abs_() for key, tensor in state.items() if key.endswith("running_var")}
    return {manifest.get("prefix", "") + key: tensor for key, tensor in state.items()}


def folded(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor, bool]]:
    """(key, tensor, whether rounding may differ) of theirs: weight norm folded, constants left out."""
    for key, tensor in state.items():
        if key.endswith(LEFT_OUT):
            continue
        for gain, direction in ((".weight_g", ".weight_v"), (".original0", ".original1")):
            if key.endswith(gain):
                stem = key.removesuffix(gain)
                v = state[stem + direction].double()
                norm = v.flatten(1).norm(dim=1).view(-1, *[1] * (v.ndim - 1))
                yield stem, (tensor.double() * v / norm).float(), True
                break
        else:
            yield key, tensor, False


def equalised(key: str, tensor: Tensor) -> Tensor:
    """A layer of random_latent as the original applies it: its multiplier, and the factor behind the activation."""
    if key.startswith("layers.5."):
        return tensor
    fan_in = tensor.shape[1] if key.endswith("weight") else 1
    return tensor * (0.1 * math.sqrt(2 / fan_in))


def fingerprint(tensor: Tensor) -> tuple[int, int]:
    """How many numbers, and a checksum of their bits that does not depend on the order."""
    bits = tensor.contiguous().view(torch.int32).long()
    return tensor.numel(), int((bits * 2654435761 + (bits * bits >> 7)).sum())


def compare(kind: str, theirs: Mapping[str, Tensor], module: nn.Module) -> int:
    """The number of their tensors found in the module, each in one place; ValueError naming one that is not.

    Those whose bits must agree are looked up by fingerprint, a joined one by the sum of three; rounded ones by shape
    and value.
    """
    ours = dict(module.state_dict())
    exact: dict[tuple[int, int], list[str]] = {}
    for key, tensor in ours.items():
        exact.setdefault(fingerprint(tensor), []).append(key)
    count, joined = 0, dict[str, list[tuple[int, int]]]()
    for key, tensor, rounded in folded(theirs):
        count += 1
        if rounded or kind == "random_latent":
            want = equalised(key, tensor) if kind == "random_latent" else tensor
            ours.pop(_closest(key, want, ours))
        elif kind != "xtts" and (".to_q." in key or ".to_k." in key or ".to_v." in key):
            joined.setdefault(key.rsplit(".to_", 1)[0], []).append(fingerprint(tensor))
        else:
            ours.pop(_same(key, fingerprint(tensor), exact))
    for stem, prints in joined.items():
        whole = sum(n for n, _ in prints), _wrapped(sum(checksum for _, checksum in prints))
        ours.pop(_same(f"{stem}.to_q/k/v", whole, exact))
    if ours:
        raise ValueError(f"{next(iter(ours))} comes from nowhere")
    return count


def _same(key: str, wanted: tuple[int, int], known: dict[tuple[int, int], list[str]]) -> str:
    if not known.get(wanted):
        raise ValueError(f"{key} is in no tensor of ours")
    return known[wanted].pop()


def _closest(key: str, want: Tensor, ours: Mapping[str, Tensor]) -> str:
    for name, tensor in ours.items():
        if tensor.shape == want.shape and (tensor - want).norm() <= FOLDED_TOLERANCE * want.norm():
            return name
    raise ValueError(f"{key} is in no tensor of ours")


def _wrapped(value: int) -> int:
    """A sum as int64 arithmetic gives it."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def tiny_run(kind: str, module: Any) -> list[Tensor]:
    """Every output of one forward of a fraction of a second."""
    torch.manual_seed(0)
    cfg = module.cfg
    codes, mel = torch.randint(0, 8000, (1, CODES)), torch.randn(1, 100, FRAMES)
    text = torch.randint(1, 200, (1, TEXT))

    def autoregressive() -> list[Tensor]:
        speaker = module.conditioning(torch.randn(1, 1, cfg.mel_channels, FRAMES))
        return list(module(speaker, text, codes))

    def diffusion() -> list[Tensor]:
        speaker = module.conditioning(torch.randn(1, 1, 100, FRAMES))
        aligned = module.align(torch.randn(1, CODES, cfg.in_latent_channels), speaker, FRAMES)
        return [module(mel, torch.tensor([500.0]), aligned)]

    def xtts() -> list[Tensor]:
        prompt = module.conditioning(torch.randn(2, cfg.mel_channels, FRAMES)).mean(0, True)
        return list(module(prompt, text, codes % 1000))

    runs: dict[str, Callable[[], list[Tensor]]] = {
        "autoregressive": autoregressive,
        "bigvgan": lambda: [module(mel[..., :4])],
        "classifier": lambda: [module(torch.randn(1, cfg.spec_dim, 4096))],
        "clvp": lambda: [module(text, codes)],
        "cvvp": lambda: [module(torch.randn(1, 80, FRAMES), codes)],
        "diffusion": diffusion,
        "hifigan": lambda: [module(torch.randn(1, 4, cfg.in_channels), torch.randn(1, cfg.cond_channels))],
        "random_latent": lambda: [module(torch.randn(1, cfg.channels))],
        "dvae": lambda: [module.decode(module.encode(torch.randn(1, cfg.channels, FRAMES)))],
        "speaker_encoder": lambda: [module(torch.randn(1, cfg.input_dim, FRAMES))],
        "univnet": lambda: [module(mel[..., :8])],
        "xtts": xtts,
    }
    with torch.inference_mode():
        return runs[kind]()


def step(name: str, what: str, path: Path, folder: Path) -> dict[str, Any]:
    """One step of one manifest, in this process; what it found and what it cost."""
    from tutortoietts.weights.fetch import fetch, find
    from tutortoietts.weights.load import load_model, load_state

    manifest = json.loads(path.read_text())
    file, local = public_file(manifest, name)
    began = time.perf_counter()
    result: dict[str, Any] = {}
    if what == "write":
        state = random_state(manifest)
        (folder / local).parent.mkdir(exist_ok=True)
        nested = manifest.get("nested_under")
        torch.save({nested: state} if nested else state, folder / local)
        result["megabytes"] = round((folder / local).stat().st_size / 1e6, 1)
    else:
        found = find(file, folder) if name.startswith("xtts_") else fetch(file, folder, offline=True)
        assert found is not None or name == "xtts_v2_dvae"
        found = found or folder / local
        if what == "cached" and not list(folder.glob("cache/converted/*.safetensors")):
            raise ModelError(f"{name}: the conversion was not kept")
        loaded = {kind: load_model(kind, found, config) for kind, config in models_in(manifest, name, file).items()}
        states = [module.state_dict() for module in loaded.values()]
        result["parameters"] = sum(tensor.numel() for state in states for tensor in state.values())
    if what == "compare":
        theirs = load_state(found, manifest.get("nested_under"))
        result["tensors"], result["outputs"] = 0, []
        for kind, module in loaded.items():
            own = {key: tensor for key, tensor in theirs.items() if len(loaded) == 1 or key.startswith(PARTS[kind])}
            result["tensors"] += compare(kind, own, module)
            outputs = tiny_run(kind, module)
            if not all(bool(output.isfinite().all()) and output.numel() for output in outputs):
                shapes = [tuple(output.shape) for output in outputs]
                raise ValueError(f"{name}: a forward gives {shapes}, not all finite")
            result["outputs"] += [list(output.shape) for output in outputs]
    result["seconds"] = round(time.perf_counter() - began, 1)
    result["peak_megabytes"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
    return result


def measure(name: str, path: Path, work: str | None, threads: int) -> dict[str, Any]:
    """All steps of one manifest, each in a process of its own."""
    row: dict[str, Any] = {"name": name}
    with tempfile.TemporaryDirectory(dir=work) as folder:
        cache = {"TUTORTOIETTS_CACHE": f"{folder}/cache", "HF_HUB_OFFLINE": "1", "HF_HOME": f"{folder}/hub"}
        for what in STEPS:
            command = [sys.executable, __file__, "--step", what, "--manifests", str(path.parent), "--work", folder]
            env = {**os.environ, **cache, "OMP_NUM_THREADS": str(threads)}
            done = subprocess.run([*command, name], env=env, capture_output=True, text=True, check=False)
            if done.returncode:
                lines = done.stderr.strip().splitlines()
                row["problem"] = f"{what}: {lines[-1] if lines else f'exit code {done.returncode}'}"
                break
            row[what] = json.loads(done.stdout.splitlines()[-1])
    return row


def show(row: Mapping[str, Any]) -> None:
    """One line of the table."""
    if "problem" in row:
        print(f"{row['name']:<32} FAILED {row['problem']}", flush=True)
        return
    loads = "".join(f"{row[s]['seconds']:>8.1f} s {row[s]['peak_megabytes']:>6} MB" for s in ("convert", "cached"))
    size = f"{row['write']['megabytes']:>8.1f} MB {row['compare']['tensors']:>4} tensors"
    print(f"{row['name']:<32}{size}{loads}   good", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="manifests to load (all)")
    parser.add_argument("--manifests", type=Path, required=True, help="their folder")
    parser.add_argument("--work", help="where the checkpoints are written (the system's temporary folder)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        (name,) = arguments.names
        path = arguments.manifests / f"{name}.json"
        print(json.dumps(step(name, arguments.step, path, Path(arguments.work))))
        return 0
    paths = sorted(p for p in arguments.manifests.glob("*.json") if p.stem not in NO_MODEL)
    paths = [p for p in paths if not arguments.names or p.stem in arguments.names]
    if not paths:
        parser.error(f"no manifest of {arguments.names or 'any name'} in {arguments.manifests}")
    print(f"{'':<32}{'checkpoint':>11}{'':>13}{'first load, peak':>20}{'from the cache':>20}")
    rows = []
    for path in paths:
        rows.append(measure(path.stem, path, arguments.work, arguments.threads))
        show(rows[-1])
    print(json.dumps({"threads": arguments.threads, "torch": torch.__version__, "rows": rows}))
    return int(any("problem" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
