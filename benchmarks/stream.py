"""How soon a stream sounds, and whether it keeps up with a player.

    python benchmarks/stream.py [--models bundled random-full] [--precision auto] [--runs 3] [--codes N]

Each model streams a sentence `runs` times after one that does not count, pulled as fast as it comes, as a player's pipe
does. From when the chunks arrive it is computed what a player that starts with the first chunk would do: an underrun is
a moment at which it has nothing to play. `head_start` is the silence to wait after the first chunk that would have
spared all of them. "random-full" has the public sizes with random weights; its length is forced. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import torch

from tutortoietts.bench.workload import Plan, Workload, open_model

RATE = 24000


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One stream: seconds to the first chunk, in all, of sound, of silence while playing; real_time_factor without the
    loading of models."""

    first_seconds: float
    seconds: float
    audio_seconds: float
    real_time_factor: float
    chunks: int
    underruns: int
    silent_seconds: float
    head_start: float


def played(arrivals: Sequence[float], lengths: Sequence[float]) -> Played:
    """What a player does that starts with the first chunk. Seconds: when each chunk came, how long it is."""
    heard_until, underruns, silent, sounded, head_start = arrivals[0], 0, 0.0, 0.0, 0.0
    for arrival, length in zip(arrivals, lengths, strict=True):
        if arrival > heard_until:
            underruns += 1
            silent += arrival - heard_until
            heard_until = arrival
        head_start = max(head_start, arrival - arrivals[0] - sounded)
        heard_until += length
        sounded += length
    return Played(
        first_seconds=arrivals[0],
        seconds=arrivals[-1],
        audio_seconds=sounded,
        real_time_factor=arrivals[-1] / sounded,
        chunks=len(arrivals),
        underruns=underruns,
        silent_seconds=silent,
        head_start=head_start,
    )


def stream_once(work: Workload, **options: Any) -> Played:
    arrivals, lengths = [], []
    started = time.perf_counter()
    chunks = work.tts.tts_stream(
        work.plan.text, use_deterministic_seed=work.plan.seed, **work.voice, **work.given, **options
    )
    with closing(chunks) as chunks:  # type: ignore[type-var]
        for chunk in chunks:
            arrivals.append(time.perf_counter() - started)
            lengths.append(len(chunk) / RATE)
    return played(arrivals, lengths)


def median(runs: Iterable[Played]) -> dict[str, float]:
    rows = [asdict(run) for run in runs]
    return {name: round(statistics.median(row[name] for row in rows), 4) for name in rows[0]}


def measure(model: str, arguments: argparse.Namespace) -> dict[str, Any]:
    plan = Plan(text=arguments.text) if arguments.text else Plan()
    if arguments.codes is not None:
        plan = Plan(text=plan.text, codes=arguments.codes)
    engine = {"model": model, "precision": arguments.precision, "device": arguments.device}
    work = Workload(open_model(engine), plan)
    options = {"decoder": arguments.decoder, "stream_chunk_size": arguments.chunk_size}
    stream_once(work, **options)
    result = median(stream_once(work, **options) for _ in range(arguments.runs))
    report = work.tts.last_report
    stages = {} if report is None else {name: round(value, 4) for name, value in report.stages.items()}
    row = {"model": model, "decoder": "stream" if "decoder" in stages else "diffusion", **result, "stages": stages}
    print(
        f"{model:<12} {row['decoder']:<10} first sound {result['first_seconds'] * 1000:7.1f} ms   "
        f"real-time factor {result['real_time_factor']:6.3f}   underruns {result['underruns']:g} "
        f"({result['silent_seconds']:.3f} s)   of {result['audio_seconds']:.2f} s of sound"
    )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["bundled", "random-full"])
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device")
    parser.add_argument("--decoder", default="auto")
    parser.add_argument("--chunk-size", type=int)
    parser.add_argument("--codes", type=int, help="force so many codes (random-full: 111 by default)")
    parser.add_argument("--text")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    rows = [measure(model, arguments) for model in arguments.models]
    threads = torch.get_num_threads()
    print(json.dumps({"threads": threads, "precision": arguments.precision, "runs": arguments.runs, "models": rows}))


if __name__ == "__main__":
    main()
