"""A diffusion forward and CLVP's ranking on a CPU: torch's own operations beside our chains of layers in C.

    python benchmarks/frames.py                         full size, 483 frames (5.15 s), 8 rows of 111 codes: a minute
    python benchmarks/frames.py --frames 1000 --runs 9
    python benchmarks/frames.py --tiny                  a toy, in seconds: does the script work?

Ways: "torch" is the model's own forward in float32; "float32" and "int8" are nn/frames.py. They take turns, so that a
busy machine disturbs all alike. Error: against torch's, relative. A compiler is needed. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from tutortoietts.accelerate import accelerate, diffusion_chain
from tutortoietts.bench.limits import encoder_macs, forward_macs
from tutortoietts.bench.machine import Machine, measure_machine
from tutortoietts.bench.random_model import random_state
from tutortoietts.core.config import ClvpConfig, DiffusionConfig
from tutortoietts.models.clvp import Clvp
from tutortoietts.models.diffusion import Diffusion
from tutortoietts.weights.load import build, shapes

SEED = 0
TINY_DIFFUSION = DiffusionConfig(
    model_channels=32, num_layers=1, in_latent_channels=32, num_heads=2, integrator_layers=1, head_residual_blocks=1
)
TINY_CLVP = ClvpConfig(dim_text=32, dim_speech=32, dim_latent=16, text_enc_depth=1, text_heads=2, speech_enc_depth=1)
Ways = Mapping[str, Callable[[], Tensor]]


def made(config: Any, kind: type[nn.Module]) -> Any:
    return build(
        lambda: kind(config), dict(random_state(shapes(lambda: kind(config)), SEED)), torch.device("cpu"), torch.float32
    )


def diffusion(config: DiffusionConfig, frames: int, rows: int) -> tuple[Ways, float]:
    """A forward of so many rows in each way, and its operations."""
    model = made(config, Diffusion)
    fast, rounded = accelerate(deepcopy(model)), accelerate(deepcopy(model), precision="int8")
    generator = torch.Generator().manual_seed(SEED)
    x = torch.randn(1, config.in_channels, frames, generator=generator)
    aligned = torch.randn(rows, config.model_channels, frames, generator=generator)
    modulation, biases = model.modulations(model.embed_step(torch.tensor([700.0]))), model.position_biases(frames)
    bodies = {"torch": model, "float32": diffusion_chain(fast, frames), "int8": diffusion_chain(rounded, frames)}

    def forward(body: Any) -> Tensor:
        estimate: Tensor = body.denoise(x, modulation, body.integrate(aligned, modulation, biases), biases)
        return estimate

    ways = {name: (lambda body=body: forward(body)) for name, body in bodies.items() if body is not None}
    return ways, 2.0 * rows * forward_macs(config, frames)


def ranking(config: ClvpConfig, codes: int, rows: int) -> tuple[Ways, float]:
    """The latents of so many rows of codes in each way, and their operations."""
    model = made(config, Clvp)
    fast, rounded = accelerate(deepcopy(model)), accelerate(deepcopy(model), precision="int8")
    generator = torch.Generator().manual_seed(SEED)
    ids = torch.randint(0, config.num_speech_tokens, (rows, codes), generator=generator)
    inner = config.speech_heads * config.head_dim
    macs = encoder_macs(config.dim_speech, config.speech_enc_depth, inner, config.feed_forward_mult, codes)
    models = {"torch": model, "float32": fast, "int8": rounded}
    return {name: (lambda one=one: one.encode_codes(ids)) for name, one in models.items()}, 2.0 * rows * macs


def compared(what: str, ways: Ways, operations: float, runs: int, machine: Machine) -> list[dict[str, Any]]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    made: dict[str, Tensor] = {}
    for _ in range(runs + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            made[name] = way()
            seconds[name].append(time.perf_counter() - began)
    rows = []
    for name in ways:
        median = statistics.median(seconds[name][1:])  # the first does not count
        limit = operations / machine.rate("int8" if name == "int8" else "fp32")
        error = float((made[name] - made["torch"]).norm() / made["torch"].norm())
        row = {"what": what, "way": name, "seconds": median, "times_limit": median / limit, "error": error}
        rows.append({**row, "times_faster": statistics.median(seconds["torch"][1:]) / median})
        print(
            f"{what:<22} {name:<8} {median:7.4f} s   {median / limit:4.1f} times its limit   "
            f"{rows[-1]['times_faster']:.1f} times as fast as torch   error {error:.1e}"
        )
    return rows


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=483, help="of mel")
    parser.add_argument("--codes", type=int, default=111, help="of a row that is ranked")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="a toy in place of the full size")
    options = parser.parse_args()
    sizes = {"size": 1 << 24, "width": 256} if options.tiny else {}
    machine = measure_machine(torch.device("cpu"), **sizes)
    of_diffusion = TINY_DIFFUSION if options.tiny else DiffusionConfig()
    of_clvp = TINY_CLVP if options.tiny else ClvpConfig()
    found = []
    for rows in (1, 2):
        work = diffusion(of_diffusion, options.frames, rows)
        found += compared(f"diffusion, rows: {rows}", *work, options.runs, machine)
    found += compared("ranking, rows: 8", *ranking(of_clvp, options.codes, 8), options.runs, machine)
    print(
        json.dumps({"benchmark": "frames", "threads": torch.get_num_threads(), "rates": machine.rates, "rows": found})
    )


if __name__ == "__main__":
    main()
