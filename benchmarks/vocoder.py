"""The vocoders that upsample, on a CPU: torch's own operations beside our convolutions in C, and what rounding does.

    python benchmarks/vocoder.py                        full size, 483 frames (5.15 s): a minute on two CPU cores
    python benchmarks/vocoder.py --models bigvgan --frames 48 --runs 5
    python benchmarks/vocoder.py --tiny                 a toy, in seconds: does the script work?

Ways: "torch" is the model's own forward; "float32" and "split" (16 bits of each number, for AMX) are
nn/convolve.py. They take turns, so that a busy machine disturbs all alike; seconds by the clock and of all cores.
Loss: random weights that are ever livelier (gain of a convolution, spread of the snakes' log alpha and beta) against
torch in float64: signal to noise ratio, and the mean distance of log mels. Networks that turn rounding into noise are
no vocoders, but show which way fails first. A compiler is needed. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from tutortoietts.accelerate import accelerate
from tutortoietts.audio.mel import diffusion_mel
from tutortoietts.bench.random_model import random_state
from tutortoietts.core.config import BigVGANConfig, HifiganConfig
from tutortoietts.models.bigvgan import BigVGAN, SnakeBeta
from tutortoietts.models.hifigan import Hifigan
from tutortoietts.native.vocoder_conv import can_convolve
from tutortoietts.weights.load import build, shapes

WAYS = ("torch", "float32", "split")
LIVELY = ((0.58, 0.0), (0.58, 0.6), (1.0, 0.3), (1.0, 0.6))
SEED = 0


def made(kind: str, tiny: bool) -> nn.Module:
    small = {"upsample_initial_channel": 64} if tiny else {}
    config: Any = (BigVGANConfig if kind == "bigvgan" else HifiganConfig)(**small)

    def make() -> nn.Module:
        return BigVGAN(config) if kind == "bigvgan" else Hifigan(config)

    return build(make, dict(random_state(shapes(make), SEED)), torch.device("cpu"), torch.float32)


def forwards(model: nn.Module) -> dict[str, nn.Module]:
    """The model in every way that this machine can, all from the same weights."""
    ways = {"torch": model}
    for name in WAYS[1:]:
        if can_convolve(split=name == "split"):
            ways[name] = deepcopy(model)
            accelerate(ways[name], precision="bf16" if name == "split" else None)
    return ways


def inputs(model: nn.Module, frames: int) -> tuple[Tensor, ...]:
    """Something as smooth as speech is: mel, or frames and a speaker."""
    generator = torch.Generator().manual_seed(SEED)
    channels = model.cfg.num_mels if isinstance(model, BigVGAN) else model.cfg.in_channels
    coarse = torch.randn(1, channels, -(-frames // 4), generator=generator)
    x = nn.functional.interpolate(coarse, size=frames, mode="linear")
    if isinstance(model, BigVGAN):
        return (2 * x - 4,)
    return x, torch.randn(1, model.cfg.cond_channels, generator=generator)


def forward(model: nn.Module, given: tuple[Tensor, ...]) -> Tensor:
    call: Callable[..., Tensor] = model if isinstance(model, BigVGAN) else model.synthesize
    return call(*given)


def timed(kind: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    ways = forwards(made(kind, options.tiny))
    given = inputs(ways["torch"], options.frames)
    clock: dict[str, list[float]] = {name: [] for name in ways}
    cores: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.runs + 1):
        for name, model in ways.items():
            began, work = time.perf_counter(), time.process_time()
            forward(model, given)
            clock[name].append(time.perf_counter() - began)
            cores[name].append(time.process_time() - work)
    seconds = options.frames * 256 / 24000
    rows = []
    for name in ways:
        least, cpu = min(clock[name][1:]), min(cores[name][1:])  # the first does not count
        row = {"model": kind, "way": name, "seconds": least, "core_seconds": cpu, "real_time_factor": least / seconds}
        rows.append({**row, "times_faster": min(clock["torch"][1:]) / least})
        print(
            f"{kind:<8} {name:<8} {least:7.3f} s ({cpu:.3f} s of all cores)   real-time factor "
            f"{least / seconds:.3f}   {rows[-1]['times_faster']:.1f} times as fast as torch"
        )
    return rows


def lively(model: nn.Module, gain: float, spread: float) -> None:
    """Weights that keep a signal's size or let it grow, and a last layer that makes it as loud as speech."""
    torch.manual_seed(SEED)
    for part in model.modules():
        if isinstance(part, nn.Conv1d):
            nn.init.normal_(part.weight, std=gain / math.sqrt(part.weight[0].numel()))
        elif isinstance(part, nn.ConvTranspose1d):
            nn.init.normal_(part.weight, std=1 / math.sqrt(2 * part.weight.shape[0]))
        elif isinstance(part, SnakeBeta):
            nn.init.normal_(part.alpha, std=spread)
            nn.init.normal_(part.beta, std=spread)


def lost(kind: str, gain: float, spread: float, options: argparse.Namespace) -> list[dict[str, Any]]:
    model = made(kind, options.tiny)
    lively(model, gain, spread)
    given = inputs(model, 16)
    loud: list[Tensor] = []
    hook = model.conv_post.register_forward_hook(lambda part, before, after: loud.append(after.std()))
    forward(model, given)
    hook.remove()
    model.conv_post.weight.mul_(0.2 / loud[0])
    model.conv_post.bias.zero_()
    exact = forward(deepcopy(model).double(), tuple(x.double() for x in given)).float()
    rows = []
    for name, way in forwards(model).items():
        wave = forward(way, given)
        noise = 20 * math.log10(float((exact - exact.mean()).norm() / (wave - exact).norm()))
        mels = [diffusion_mel(x.flatten()[None]) for x in (wave, exact)]
        distance = float((mels[0] - mels[1]).abs().mean())
        row = {"model": kind, "way": name, "gain": gain, "spread": spread, "signal_to_noise": noise}
        rows.append({**row, "mel_distance": distance})
        print(f"{kind:<8} {name:<8} gain {gain}, spread {spread}: {noise:6.1f} dB, log mel {distance:.1e} nat")
    return rows


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["bigvgan", "hifigan"], choices=["bigvgan", "hifigan"])
    parser.add_argument("--frames", type=int, default=483)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--no-loss", action="store_true", help="time only")
    parser.add_argument("--tiny", action="store_true", help="a toy in place of the full size")
    options = parser.parse_args()
    options.frames = min(options.frames, 24) if options.tiny else options.frames
    report: dict[str, Any] = {"benchmark": "vocoder", "threads": torch.get_num_threads(), "frames": options.frames}
    report["speed"] = [row for kind in options.models for row in timed(kind, options)]
    if not options.no_loss:
        wanted = [(kind, *how) for kind in options.models for how in LIVELY if kind == "bigvgan" or not how[1]]
        wanted += [("hifigan", 1.0, 0.0)] if "hifigan" in options.models else []
        report["loss"] = [row for how in wanted for row in lost(*how, options)]
    print(json.dumps(report))


if __name__ == "__main__":
    main()
