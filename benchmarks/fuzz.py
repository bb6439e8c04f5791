"""Try to break the product: hostile texts, damaged files, signals at random moments.

python benchmarks/fuzz.py [--seed 0] [--texts 6000] [--sounds 500] [--files 1000] [--signals 200]

Right are the errors of `core/errors.py` alone, under ten seconds a case, less than 200 MB more for a sound file, and
for a signal exit code 130 or 143 with one line, death by the signal itself, or a whole file if it came too late.
A case that ends its process or hangs is counted, and the next ones are tried in a new process.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import soundfile

LIMIT_SECONDS = 10.0
_START_SECONDS = 120.0  # of a process: imports, and models that are made
_LATEST_SIGNAL = 3.0  # seconds after the start


def run_kind(kind: str, seed: int, count: int) -> dict[str, float]:
    """Try all cases of a kind in a process of their own; return how many were wrong, and the seconds it took."""
    begun, slowest, wrong, number = time.perf_counter(), 0.0, 0, 0
    while number < count:
        command = [sys.executable, __file__, "--worker", kind, "--first", str(number), "--seed", str(seed)]
        with subprocess.Popen([*command, f"--{kind}", str(count)], stdout=subprocess.PIPE, bufsize=0) as worker:
            limit = _START_SECONDS
            while number < count:
                before = time.perf_counter()
                line = _line(worker, limit)
                if line == "ready":
                    limit = LIMIT_SECONDS
                    continue
                fault = json.loads(line) if line else "hung" if line is None else "its process ended"
                slowest = max(slowest, time.perf_counter() - before)
                if fault:
                    wrong += 1
                    print(f"{kind} {number}: {fault}", file=sys.stderr, flush=True)
                number += 1
                if not line:
                    break
            worker.kill()
    seconds = round(time.perf_counter() - begun, 1)
    return {"cases": count, "wrong": wrong, "seconds": seconds, "slowest": round(slowest, 2)}


def _line(worker: subprocess.Popen[bytes], limit: float) -> str | None:
    """Return the next line of a worker, "" if it has ended, None if none came in time."""
    assert worker.stdout is not None
    if not select.select([worker.stdout], [], [], limit)[0]:
        return None
    return worker.stdout.readline().decode().strip()


def work(kind: str, seed: int, count: int, first: int) -> None:
    """Try the cases from `first` on, and print what was wrong with each, as JSON, null for nothing."""
    import logging

    from fuzz_cases import KINDS

    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TUTORTOIETTS_VOICES"] = f"{folder}/voices"
        try_case = KINDS[kind](seed, count, Path(folder))
        os.write(1, b"ready\n")
        for number in range(first, count):
            os.write(1, json.dumps(try_case(number)).encode() + b"\n")


def run_signals(seed: int, count: int) -> dict[str, float]:
    """Send signals to `generate` at random moments; two processes at a time."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        faults = list(pool.map(lambda number: _signalled(seed, number, Path(folder)), range(count)))
        left = [path.name for path in Path(folder).iterdir() if path.name.endswith(".part")]
    for number, fault in enumerate(faults):
        if fault:
            print(f"signals {number}: {fault}", file=sys.stderr)
    for name in left:
        print(f"left behind: {name}", file=sys.stderr)
    wrong = len(left) + sum(fault is not None for fault in faults)
    return {"cases": count, "wrong": wrong, "seconds": round(time.perf_counter() - begun, 1)}


def _signalled(seed: int, number: int, folder: Path) -> str | None:
    draw = random.Random(seed * 1_000_003 + number)
    which, moment = draw.choice((signal.SIGINT, signal.SIGTERM)), draw.uniform(0.1, _LATEST_SIGNAL)
    output = folder / f"{number}.wav"
    command = [sys.executable, "-m", "tutortoietts", "generate", "Hello there, how are you?", "-q", "-o", str(output)]
    heeded = "import os,signal,sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    starter = [sys.executable, "-S", "-c", heeded] if signal.getsignal(signal.SIGINT) == signal.SIG_IGN else []
    with subprocess.Popen([*starter, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        time.sleep(moment)
        process.send_signal(which)
        try:
            said = process.communicate(timeout=LIMIT_SECONDS)[1].decode(errors="replace")
        except subprocess.TimeoutExpired:
            process.kill()
            return f"{which.name} after {moment:.2f} s: hung"
    code = process.returncode
    if code == -which or (code == 128 + which and said.startswith("error: ") and said.count("\n") == 1):
        return None
    if code == 0 and not said and soundfile.info(output).frames:
        return None
    return f"{which.name} after {moment:.2f} s: exit {code}, {said[-300:]!r}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    counts = {"texts": 6000, "sounds": 500, "files": 1000, "signals": 200}
    for kind, count in counts.items():
        parser.add_argument(f"--{kind}", type=int, default=count)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.seed, getattr(options, options.worker), options.first)
        return
    results = {kind: run_kind(kind, options.seed, getattr(options, kind)) for kind in ("texts", "sounds", "files")}
    results["signals"] = run_signals(options.seed, options.signals)
    print(json.dumps(results, indent=2))
    raise SystemExit(any(result["wrong"] for result in results.values()))


if __name__ == "__main__":
    main()
