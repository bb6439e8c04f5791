"""Speed of XTTS-v2 at full size with random weights: voice, stages, real-time factor, first sound of a stream.

python benchmarks/xtts_speed.py [--precision int8] [--device cpu] [--codes 107] [--runs 3] [--threads 2]

Random weights never stop, so a number of codes is given: 107 are five seconds. Medians over the runs, the first of
which warms up and does not count. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from contextlib import closing

import torch

from tutortoietts import TextToSpeech
from tutortoietts.bench.random_model import random_xtts

TEXT = "The ship left the harbour at nine in the morning, and nobody waved."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device")
    parser.add_argument("--codes", type=int, default=107)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    started = time.perf_counter()
    source = random_xtts()
    tts = TextToSpeech(model=source, device=options.device, precision=options.precision)
    given = {"min_mel_tokens": options.codes, "max_mel_tokens": options.codes, "conditioning_latents": source.voice()}
    report = {"device": str(tts.device), "precision": options.precision, "threads": torch.get_num_threads()}
    runs: dict[str, list[float]] = {}
    for number in range(options.runs + 1):
        begun = time.perf_counter()
        tts.tts(TEXT, verbose=False, use_deterministic_seed=number, **given)
        if number == 0:
            report["loaded_and_warm"] = round(time.perf_counter() - started, 1)
        last = tts.last_report
        assert last is not None
        found = {"total": time.perf_counter() - begun, **last.stages}
        found["real_time_factor"] = found["total"] / last.audio_seconds
        begun = time.perf_counter()
        with closing(tts.tts_stream(TEXT, use_deterministic_seed=number, **given)) as chunks:
            found["first_sound"] = next(iter(chunks)).shape[-1] and time.perf_counter() - begun
            for _ in chunks:
                pass
        found["stream"] = time.perf_counter() - begun
        print(json.dumps({name: round(seconds, 3) for name, seconds in found.items()}), flush=True)
        if number:
            for name, seconds in found.items():
                runs.setdefault(name, []).append(seconds)
    print(json.dumps(report | {name: round(statistics.median(values), 3) for name, values in runs.items()}))


if __name__ == "__main__":
    main()
