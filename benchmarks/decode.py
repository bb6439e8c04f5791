"""How long a decoding step takes, by precision and by how many candidates at once, and how far that is from the limit.

    python benchmarks/decode.py                     full size, random weights; about ten minutes on two CPU cores
    python benchmarks/decode.py --quick             4 of the 30 layers, 24 codes
    python benchmarks/decode.py --tiny              a toy, in seconds: does the script work?
    python benchmarks/decode.py --precisions int8,int4 --batches 1,8 --threads 2 --device cpu
    python benchmarks/decode.py --compare           each as it is and, in turns, in torch's single operations

The real decoding is timed (prefix, blocks, head, filters, draw), with the number of codes forced. The limit is what a
step must read, weights once and keys and values for each candidate, at the memory's bandwidth, measured between the
rounds of the same run. Precisions take turns, so that a busy machine disturbs all alike; medians are over all rounds.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch import nn

from tutortoietts.accelerate import accelerate
from tutortoietts.bench.machine import measure_machine, settle
from tutortoietts.bench.measure import held_bytes
from tutortoietts.bench.random_model import random_state
from tutortoietts.core.config import AutoregressiveConfig
from tutortoietts.engine.decoding.loop import decode
from tutortoietts.engine.decoding.request import DecodeRequest
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.native.build import VARIABLE
from tutortoietts.runtime.precision import PRECISIONS, pick_precision
from tutortoietts.sampling.rows import row_generators
from tutortoietts.sampling.tokens import TokenOptions
from tutortoietts.weights.load import build, shapes

TINY = AutoregressiveConfig(layers=2, model_dim=128, heads=2)
WARM = 3  # steps at the start that do not count


@dataclass(slots=True)
class Row:
    """One precision at one batch size. Seconds a step by the clock, by all CPU cores together; of whole requests."""

    precision: str
    batch: int
    bytes: float
    native: bool = True
    clock: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)

    def figures(self, bandwidth: float) -> dict[str, Any]:
        step, limit = median(self.clock), self.bytes / bandwidth
        return {
            "precision": self.precision,
            "batch": self.batch,
            "kernels": "ours" if self.native else "torch",
            "step_ms": 1e3 * step,
            "cpu_ms": 1e3 * median(self.cpu),
            "limit_ms": 1e3 * limit,
            "ratio": step / limit,
            "request_seconds": median(self.whole),
            "codes_a_second": self.batch / step,
        }


def switch(native: bool) -> None:
    """Our compiled kernels, where they can be had, or torch's operations."""
    os.environ[VARIABLE] = "1" if native else "0"


def make_model(cfg: AutoregressiveConfig, name: str, device: torch.device, native: bool = True) -> Autoregressive:
    """Random weights in this precision, for these kernels."""
    switch(native)
    precision = pick_precision(name, False, device)

    def factory() -> nn.Module:
        return Autoregressive(cfg)

    model = build(factory, dict(random_state(shapes(factory), 0)), device, precision.decoder)
    assert isinstance(model, Autoregressive)
    accelerate(model, device, precision.weights)
    return model


def step_bytes(model: Autoregressive, batch: int, prefix: int, codes: int) -> float:
    """Weights of blocks and code head, and the keys and values of half-way through."""
    cache = model.allocate_cache(1, 1).nbytes * (prefix + codes / 2)
    return held_bytes(model.gpt) + held_bytes(model.mel_head) + batch * cache


def run_once(model: Autoregressive, row: Row, options: argparse.Namespace) -> None:
    """One whole request; the steps between two checks share their time."""
    switch(row.native)
    marks: list[tuple[int, float, float]] = []

    def note(done: int, _: int) -> None:
        settle(model.device)
        marks.append((done, time.perf_counter(), time.process_time()))

    request = DecodeRequest(
        prefix=model.prefix(
            torch.zeros(1, model.cfg.model_dim, device=model.device, dtype=model.dtype),
            torch.ones(1, options.prefix - 3, dtype=torch.int64, device=model.device),
        ),
        generators=row_generators(0, row.batch),
        max_codes=options.codes,
        min_codes=options.codes,
        options=TokenOptions(),
        batch_size=row.batch,
        on_step=note,
    )
    began = time.perf_counter()
    list(decode(model, request))
    settle(model.device)
    row.whole.append(time.perf_counter() - began)
    for (before, *earlier), (after, *later) in pairwise(marks):
        if before >= min(WARM, options.codes // 2):
            row.clock.append((later[0] - earlier[0]) / (after - before))
            row.cpu.append((later[1] - earlier[1]) / (after - before))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precisions", help="names, with commas between them; the default is all this device can do")
    parser.add_argument("--batches", default="1,8,16", help="candidates at once")
    parser.add_argument("--codes", type=int, help="codes a candidate [default: 118]")
    parser.add_argument("--prefix", type=int, default=75, help="positions before the codes: a 70-character sentence")
    parser.add_argument("--rounds", type=int, help="turns [default: 2]")
    parser.add_argument("--layers", type=int, help="blocks [default: 30]")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="torch's threads")
    parser.add_argument("--compare", action="store_true", help="our kernels and torch's operations, in turns")
    parser.add_argument("--quick", action="store_true", help="4 layers, 24 codes, one round")
    parser.add_argument("--tiny", action="store_true", help="a toy")
    options = parser.parse_args()
    small = options.quick or options.tiny
    options.codes = options.codes or (24 if small else 118)
    options.rounds = options.rounds or (1 if small else 2)
    if options.codes < 2:
        parser.error("--codes must be at least 2")
    return options


def able(device: torch.device) -> list[str]:
    """The precisions of this device, but "auto"."""
    names = [name for name in PRECISIONS if name != "auto" and not (name == "fp16" and device.type == "cpu")]
    return [name for name in names if device.type in ("cpu", "cuda") or name not in ("bf16", "int4")]


def main() -> None:
    options = arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    names = options.precisions.split(",") if options.precisions else able(device)
    full = AutoregressiveConfig(layers=options.layers or (4 if options.quick else 30))
    cfg = TINY if options.tiny else full
    kinds = [(name, native) for name in names for native in ((True, False) if options.compare else (True,))]
    models = {kind: make_model(cfg, kind[0], device, kind[1]) for kind in kinds}
    rows = [
        Row(name, int(batch), step_bytes(models[name, native], int(batch), options.prefix, options.codes), native)
        for batch in options.batches.split(",")
        for name, native in kinds
    ]
    size = {"size": 1 << 24, "width": 256} if options.tiny else {}
    machines = [measure_machine(device, **size)]
    for row in rows:  # captures, allocations, caches
        run_once(models[row.precision, row.native], replace(row, clock=[], cpu=[], whole=[]), options)
    for _ in range(options.rounds):
        for row in rows:
            run_once(models[row.precision, row.native], row, options)
        machines.append(measure_machine(device, **size))
    bandwidth = max(machine.bandwidth for machine in machines)
    figures = [row.figures(bandwidth) for row in rows]
    print(f"{machines[0].device}, {machines[0].threads} threads, {bandwidth / 1e9:.1f} GB/s, {cfg.layers} layers")
    print(
        "| precision | kernels | candidates | step ms | CPU ms | limit ms | ratio | request s |"
        + "\n"
        + "|---" * 8
        + "|"
    )
    for one in figures:
        cells = [f"{one[key]:.3g}" for key in ("step_ms", "cpu_ms", "limit_ms", "ratio", "request_seconds")]
        print(f"| {one['precision']} | {one['kernels']} | {one['batch']} | " + " | ".join(cells) + " |")
    about = {"device": machines[0].device, "threads": machines[0].threads, "bandwidth": bandwidth}
    shape = {"layers": cfg.layers, "codes": options.codes, "prefix": options.prefix, "torch": torch.__version__}
    print(json.dumps({"benchmark": "decode", **about, **shape, "rows": figures}))


if __name__ == "__main__":
    main()
