"""How much memory of a CUDA GPU one request holds, with cpu_offload and without, and what the moving costs.

    python benchmarks/offload.py [--model random-full] [--preset fast_optimized] [--precision fp16] [--room 4]

--room: gigabytes that torch may use, as if the GPU had no more. Without a CUDA GPU it says so and measures nothing.
A table goes to standard output; JSON is its last line.
"""

from __future__ import annotations

import argparse
import gc
import json
from typing import Any

import torch

from tutortoietts.bench.memory import peak_memory
from tutortoietts.bench.workload import Plan, Workload, open_model

GB = 1e9


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="random-full", help="also bundled, tortoise-v2 or a directory")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--preset", default="fast_optimized")
    parser.add_argument("--precision", default="fp16")
    parser.add_argument("--candidates", type=int, help="the default is the preset's")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--room", type=float, help="gigabytes that torch may use")
    return parser


def measure(chosen: argparse.Namespace, offload: bool) -> dict[str, Any]:
    """Bytes at the peak and between requests, and seconds of the fastest run."""
    device = torch.device(chosen.device)
    options = {} if chosen.candidates is None else {"num_autoregressive_samples": chosen.candidates}
    engine = {"model": chosen.model, "device": chosen.device, "precision": chosen.precision, "cpu_offload": offload}
    work = Workload(open_model(engine), Plan(preset=chosen.preset, options=options))
    work.run()
    with peak_memory(device) as peak:
        runs = [work.run() for _ in range(chosen.runs)]
    idle = torch.cuda.memory_allocated(device) if device.type == "cuda" else None
    fastest = min(runs, key=lambda run: run.seconds)
    return {"peak": peak.bytes, "kind": peak.kind, "idle": idle, "seconds": fastest.seconds, "stages": fastest.stages}


def table(rows: dict[str, dict[str, Any]]) -> str:
    lines = ["| cpu_offload | peak GB | between requests GB | seconds |", "|---|---|---|---|"]
    for name, row in rows.items():
        idle = "" if row["idle"] is None else f"{row['idle'] / GB:.2f}"
        lines.append(f"| {name} | {row['peak'] / GB:.2f} | {idle} | {row['seconds']:.3f} |")
    return "\n".join(lines)


def main() -> None:
    chosen = arguments().parse_args()
    if torch.device(chosen.device).type == "cuda":
        if not torch.cuda.is_available():
            print("There is no CUDA GPU here, so there is nothing to measure: offloading is for its memory.")
            print(json.dumps({"cuda": False, "rows": {}}))
            return
        if chosen.room:
            whole = torch.cuda.get_device_properties(chosen.device).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, chosen.room * GB / whole), chosen.device)
    rows = {}
    for name, offload in (("False", False), ("True", True)):
        rows[name] = measure(chosen, offload)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    print(table(rows))
    about = {"model": chosen.model, "preset": chosen.preset, "precision": chosen.precision, "room": chosen.room}
    device = torch.cuda.get_device_name(chosen.device) if torch.cuda.is_available() else chosen.device
    print(json.dumps({"cuda": torch.cuda.is_available(), "device": device, **about, "rows": rows}))


if __name__ == "__main__":
    main()
