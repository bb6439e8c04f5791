"""Hundreds of requests of mixed lengths: memory stays flat, and two at once give what one after the other gives.

    python benchmarks/soak.py [--model bundled] [--precision auto] [--requests 300] [--threads 2] [--codes N]

Warm-up: some distinct requests (texts of 1 to 24 words, whole and streamed, the default and random voices) one after
the other, then the same several at once, so that every length has been there in either way. Then these again and again
in random order, several at once in one block of requests and alone in the next, each result compared with the first,
bit for bit. Every tenth is a stream that is closed after its first chunk. Memory is noted behind the warm-up and after
each block; its trend (the median slope between all pairs of blocks, Theil and Sen) says what as many requests again
would add.
Models with random weights never stop speaking: --codes says for how long (40 codes are two seconds).
The last line is JSON. Exit code 1 if a result differed or memory grew.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from tutortoietts.api import TextToSpeech
from tutortoietts.bench.memory import resident_bytes
from tutortoietts.bench.random_model import RandomXtts
from tutortoietts.bench.workload import open_model

SENTENCES = Path(__file__).resolve().parent / "sentences_test.txt"
BLOCK = 10  # requests between two looks at memory
MOST_GROWTH = 0.03  # of what is held, over as many requests again


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """One request. kind: "whole", "stream", or "closed", a stream closed after its first chunk."""

    text: str
    kind: str
    seed: int
    voice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes after `requests` requests: of the process, and what torch holds on a GPU."""

    requests: int
    resident: int
    allocated: int


def requests_of(count: int, seed: int) -> list[Spoken]:
    """Distinct requests of mixed lengths."""
    words = [word for line in SENTENCES.read_text(encoding="utf-8").split("\n") for word in line.split()]
    draw = random.Random(seed)
    made = []
    for number in range(count):
        length = (1, 3, 6, 9, 14, 24)[number % 6]
        start = draw.randrange(len(words) - length)
        kind = "closed" if number % 10 == 9 else "stream" if number % 3 == 2 else "whole"
        voice = "random" if number % 4 == 3 else None
        made.append(Spoken(text=" ".join(words[start : start + length]), kind=kind, seed=seed + number, voice=voice))
    return made


def speak(tts: TextToSpeech, request: Spoken, options: dict[str, Any]) -> Tensor:
    """(samples,) of a request."""
    voice = None if "conditioning_latents" in options else request.voice
    common = {"voice_samples": voice, "use_deterministic_seed": request.seed, **options}
    if request.kind == "whole":
        wave: Tensor = tts.tts(request.text, verbose=False, **common)
        return wave.flatten()
    heard = []
    with closing(tts.tts_stream(request.text, **common)) as chunks:
        for chunk in chunks:
            heard.append(chunk)
            if request.kind == "closed":
                break
    return torch.cat(heard)


def difference(expected: Tensor, got: Tensor) -> float:
    """0 where both are the same bits; infinite where their lengths differ."""
    if expected.shape != got.shape:
        return float("inf")
    return 0.0 if torch.equal(expected, got) else max(float((expected - got).abs().max()), 1e-30)


def growth(bytes_held: Sequence[int], requests: Sequence[int]) -> float:
    """What `requests[-1]` requests more would add by the trend (Theil and Sen), as a share of the median held."""
    points = list(zip(requests, bytes_held, strict=True))
    slopes = [(late - early) / (x - before) for (before, early), (x, late) in combinations(points, 2) if x > before]
    held = median(bytes_held)
    return median(slopes) * requests[-1] / held if slopes and held else 0.0


def soak(tts: TextToSpeech, options: argparse.Namespace, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """All requests; what was found. extra: options of `tts` for every request."""
    given = extra or {}
    pool = requests_of(options.distinct, options.seed)
    draw, started = random.Random(options.seed), time.perf_counter()
    expected = [speak(tts, request, given) for request in pool]
    done, at_once, gaps, memory = len(pool), 0, [], []
    with ThreadPoolExecutor(options.threads) as workers:
        while done < options.requests:
            warming = done < 2 * len(pool)
            size = len(pool) if warming else BLOCK
            chosen = range(size) if warming else [draw.randrange(len(pool)) for _ in range(size)]
            chosen = chosen[: options.requests - done]
            together = warming or (done // BLOCK) % 2 == 0
            speaking = workers.map if together else map
            results = speaking(lambda index: speak(tts, pool[index], given), chosen)
            gaps += [difference(expected[index], wave) for index, wave in zip(chosen, results, strict=True)]
            done, at_once = done + len(chosen), at_once + (len(chosen) if together else 0)
            memory.append(_memory(tts, done))
            different = sum(gap > options.tolerance for gap in gaps)
            print(f"{done} of {options.requests}: {memory[-1].resident / 2**20:.0f} MiB, {different} differ")
    return _report(options, memory, at_once, different, max(gaps), time.perf_counter() - started)


def _memory(tts: TextToSpeech, done: int) -> Memory:
    allocated = torch.cuda.memory_allocated(tts.device) if tts.device.type == "cuda" else 0
    return Memory(requests=done, resident=resident_bytes(), allocated=allocated)


def _report(
    options: argparse.Namespace, memory: Sequence[Memory], at_once: int, different: int, worst: float, seconds: float
) -> dict[str, Any]:
    counts = [one.requests for one in memory]
    held = {name: [getattr(one, name) for one in memory] for name in ("resident", "allocated")}
    grown = {name: growth(values, counts) for name, values in held.items()}
    flat = all(value <= MOST_GROWTH for value in grown.values())
    return {
        "benchmark": "soak",
        "model": options.model,
        "requests": options.requests,
        "distinct": options.distinct,
        "at_once": at_once,
        "threads": options.threads,
        "different": different,
        "worst_difference": worst,
        "resident_mib": _mib(held["resident"]),
        "allocated_mib": _mib(held["allocated"]),
        "growth": {name: round(value, 4) for name, value in grown.items()},
        "most_growth": MOST_GROWTH,
        "seconds": round(seconds, 1),
        "passed": flat and different == 0,
    }


def _mib(values: Sequence[int]) -> dict[str, float]:
    shown = {"after_warm_up": values[0], "last": values[-1], "least": min(values), "most": max(values)}
    return {name: round(value / 2**20, 1) for name, value in shown.items()}


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--device")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--codes", type=int, help="force so many codes")
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--distinct", type=int, default=40, help="different ones among them")
    parser.add_argument("--threads", type=int, default=2, help="requests at once, in every second block")
    parser.add_argument("--tolerance", type=float, default=0.0, help="difference of samples that still counts as equal")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(words)
    if not 1 <= 2 * options.distinct < options.requests:
        parser.error(f"--distinct {options.distinct} must be from 1 to below half of --requests {options.requests}")
    return options


def extra_of(tts: TextToSpeech, codes: int | None) -> dict[str, Any]:
    """Return options for every request: the number of codes, and for random weights without voices latents."""
    extra: dict[str, Any] = {} if codes is None else {"min_mel_tokens": codes, "max_mel_tokens": codes}
    source = tts._models.source
    return extra | ({"conditioning_latents": source.voice()} if isinstance(source, RandomXtts) else {})


def main() -> None:
    options = arguments()
    tts = open_model({"model": options.model, "device": options.device, "precision": options.precision})
    report = soak(tts, options, extra_of(tts, options.codes))
    print(json.dumps(report))
    sys.exit(0 if report["passed"] else 1)


if __name__ == "__main__":
    main()
