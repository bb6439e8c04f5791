"""A GPT-2 of the decoder's size under DeepSpeed's kernel injection beside our own step, on a CUDA GPU.

    python benchmarks/deepspeed.py [--layers 30] [--codes 118] [--batches 1,16]

Needs the packages deepspeed and transformers and a CUDA GPU; elsewhere it says in one line what is lacking. Both are in
float16, take turns, and are timed by step: theirs a forward with its cache and the likeliest code, ours the whole step
with filters and draw. The last line is JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:] = [place for place in sys.path if Path(place).resolve() != HERE]  # or this file would be `deepspeed`

import torch  # noqa: E402


def lacking() -> str | None:
    """What this machine needs first, or None."""
    for package in ("deepspeed", "transformers"):
        if importlib.util.find_spec(package) is None:
            return f"the package {package} is not installed"
    return None if torch.cuda.is_available() else "there is no CUDA GPU"


class Theirs:
    """transformers' GPT-2 with DeepSpeed's kernels, random weights."""

    def __init__(self, layers: int, positions: int) -> None:
        from transformers import GPT2Config, GPT2LMHeadModel

        import deepspeed

        config = GPT2Config(vocab_size=8194, n_positions=positions, n_embd=1024, n_layer=layers, n_head=16)
        model = GPT2LMHeadModel(config).half().eval()
        engine = deepspeed.init_inference(
            model, dtype=torch.half, replace_with_kernel_inject=True, max_out_tokens=positions
        )
        self.model = engine.module

    @torch.inference_mode()
    def steps(self, batch: int, prefix: int, codes: int) -> list[float]:
        ids = torch.ones(batch, prefix, dtype=torch.int64, device="cuda")
        past, times = None, []
        for _ in range(codes):
            torch.cuda.synchronize()
            began = time.perf_counter()
            output = self.model(ids, past_key_values=past, use_cache=True)
            past, ids = output.past_key_values, output.logits[:, -1:].argmax(dim=-1)
            torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
        return times[1:]


def ours(model: Any, batch: int, prefix: int, codes: int) -> list[float]:
    import decode

    row = decode.Row("fp16", batch, 0.0)
    decode.run_once(model, row, argparse.Namespace(prefix=prefix, codes=codes))
    return row.clock


def compare(options: argparse.Namespace) -> list[dict[str, Any]]:
    theirs = Theirs(options.layers, options.prefix + options.codes + 1)
    sys.path.append(str(HERE))
    import decode

    cfg = decode.AutoregressiveConfig(layers=options.layers)
    model = decode.make_model(cfg, "fp16", torch.device("cuda"))
    rows = []
    for batch in map(int, options.batches.split(",")):
        times: dict[str, list[float]] = {"ours": [], "deepspeed": []}
        for turn in range(options.rounds + 1):
            both = ours(model, batch, options.prefix, options.codes), theirs.steps(batch, options.prefix, options.codes)
            for name, taken in zip(times, both, strict=True):
                times[name] += taken if turn else []
        rows.append({"batch": batch, **{f"{name}_ms": 1e3 * median(taken) for name, taken in times.items()}})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--codes", type=int, default=118)
    parser.add_argument("--prefix", type=int, default=75)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batches", default="1,16")
    options = parser.parse_args()
    reason = lacking()
    if reason is not None:
        print(f"DeepSpeed cannot be measured here: {reason}")
        print(json.dumps({"benchmark": "deepspeed", "available": False, "reason": reason}))
        return
    rows = compare(options)
    for row in rows:
        print(f"{row['batch']} candidates: ours {row['ours_ms']:.2f} ms a step, deepspeed {row['deepspeed_ms']:.2f} ms")
    print(json.dumps({"benchmark": "deepspeed", "available": True, "rows": rows}))


if __name__ == "__main__":
    main()
