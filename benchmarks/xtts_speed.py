"""Speed of XTTS-v2 at full size with random weights, streamed, beside the package `coqui-tts` if there is one.

python benchmarks/xtts_speed.py [--precision int8] [--device cpu] [--codes 100] [--runs 3] [--threads 2]
    [--rival PYTHON --vocabulary vocab.json]

Random weights never stop, so a number of codes is given: 100 are 4.6 seconds. Both sides get the same sentence and the
same vocabulary, stream in chunks of 20 codes (ours also from its first 8), and take turns, so that other work on the
machine slows both alike. Medians over the runs, the first of which warms up and does not count. PYTHON belongs to an
environment with coqui-tts (see `xtts_rival.py`). `tutortoietts bench --model random-xtts` measures stages and voices.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import torch

from tutortoietts import TextToSpeech
from tutortoietts.bench.random_model import random_xtts

TEXT = "The ship left the harbour at nine in the morning, and nobody waved."
CHUNK = 20  # codes a chunk, the default of coqui-tts


def stream(tts: TextToSpeech, given: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Stream the sentence; return seconds until the first sound and until the last, and the real-time factor."""
    started, first, samples = time.perf_counter(), 0.0, 0
    with closing(tts.tts_stream(TEXT, use_deterministic_seed=seed, **given)) as chunks:
        for chunk in chunks:
            first = first or time.perf_counter() - started
            samples += chunk.shape[-1]
    seconds = time.perf_counter() - started
    return {"first_sound": first, "seconds": seconds, "real_time_factor": seconds * tts.sample_rate / samples}


class Rival:
    """The other side, in a process of its own."""

    def __init__(self, python: Path, vocabulary: Path, threads: int) -> None:
        script = Path(__file__).with_name("xtts_rival.py")
        command = [str(python), str(script), "--vocabulary", str(vocabulary), "--text", TEXT, "--threads", str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self._reply()

    def stream(self, codes: int) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(codes, file=self.process.stdin, flush=True)
        found = self._reply()
        if not found["enough"]:
            raise SystemExit(f"coqui-tts stopped before {codes} codes in every try")
        return {**found, "real_time_factor": found["seconds"] / found["audio_seconds"]}

    def _reply(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the process with coqui-tts ended; its message is above")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


def medians(runs: list[Mapping[str, float]]) -> dict[str, float]:
    names = ("first_sound", "seconds", "real_time_factor")
    return {name: round(statistics.median(run[name] for run in runs), 3) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device")
    parser.add_argument("--codes", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rival", type=Path, metavar="PYTHON", help="Python of an environment with coqui-tts")
    parser.add_argument("--vocabulary", type=Path, help="vocab.json for both sides")
    options = parser.parse_args()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    if options.rival is not None and options.vocabulary is None:
        parser.error("--rival needs --vocabulary: a vocab.json of XTTS, which both sides read the sentence with")
    source = random_xtts(vocabulary=options.vocabulary)
    tts = TextToSpeech(model=source, device=options.device, precision=options.precision)
    given = {"min_mel_tokens": options.codes, "max_mel_tokens": options.codes, "conditioning_latents": source.voice()}
    same = {"stream_chunk_size": CHUNK, "stream_chunk_max": CHUNK}
    sides: dict[str, list[Mapping[str, float]]] = {"ours": [], "ours_in_chunks_of_20": [], "coqui": []}
    with ExitStack() as stack:
        rival = Rival(options.rival, options.vocabulary, torch.get_num_threads()) if options.rival is not None else None
        if rival is not None:
            stack.callback(rival.close)
        for number in range(options.runs + 1):
            found = {"ours": stream(tts, given, number), "ours_in_chunks_of_20": stream(tts, {**given, **same}, number)}
            if rival is not None:
                found["coqui"] = rival.stream(options.codes)
            print(json.dumps({side: medians([values]) for side, values in found.items()}), flush=True)
            for side, values in found.items() if number else ():
                sides[side].append(values)
    report: dict[str, Any] = {side: medians(runs) for side, runs in sides.items() if runs}
    if rival is not None:
        ratios = [
            theirs["seconds"] / ours["seconds"] for ours, theirs in zip(sides["ours"], sides["coqui"], strict=True)
        ]
        report |= {"rival": rival.about, "times_faster": round(statistics.median(ratios), 2)}
    print(
        json.dumps(
            {
                "device": str(tts.device),
                "precision": options.precision,
                "threads": torch.get_num_threads(),
                "codes": options.codes,
                **report,
            }
        )
    )


if __name__ == "__main__":
    main()
