"""Random requests and frames: no 500, no hang, nothing left over. FUZZ=2000 asks more of each; the usual is quick."""

from __future__ import annotations

import json
import os
import random
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from serving import Running, wait_for
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tutortoietts.server.request import _FIELDS
from tutortoietts.server.wyoming import write_event

COUNT = int(os.environ.get("FUZZ", "200"))
VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 1e300, 2**70, "", "a", "\u0000", "anna", "anna*2+ben", [], {}, {"id": 5}, ["a"], "wav",
    "pcm", "sse", "audio", {"top_p": 0.5}, {"top_p": "x"}, "stream", "diffusion", "\ud800", "[x]", "Hi there.",
]  # fmt: skip
KINDS = ("session.config", "input.text", "input.done", "input.cancel", "session.close", "audio.start", "", None)
EVENTS = ("describe", "ping", "synthesize", "synthesize-start", "synthesize-chunk", "synthesize-stop", "audio-chunk")


def body(dice: random.Random) -> bytes:
    """Return a speech request with some fields of random values, sometimes cut off."""
    value: dict[str, Any] = {"input": "Hi there.", "response_format": "pcm"}
    for field in dice.sample([*_FIELDS, "x"], dice.randint(1, 3)):
        value[field] = dice.choice(VALUES)
    return cut(dice, json.dumps(value).encode())


def cut(dice: random.Random, data: bytes) -> bytes:
    return data[: dice.randint(0, len(data))] if dice.random() < 0.1 else data


def frame(dice: random.Random) -> str | bytes:
    """Return a WebSocket message, mostly a plausible one."""
    message: dict[str, Any] = {"type": dice.choice(KINDS), "text": dice.choice(["Hi there. ", "a", *VALUES])}
    for field in dice.sample([*_FIELDS, "stream_audio", "split_granularity"], dice.randint(0, 3)):
        message[field] = dice.choice(VALUES)
    data = cut(dice, json.dumps(message).encode())
    return data if dice.random() < 0.05 else data.decode()


def event(dice: random.Random) -> bytes:
    """Return a Wyoming event, mostly a plausible one."""
    data: dict[str, Any] = {
        "text": dice.choice(["Hi there. ", *VALUES]),
        "voice": dice.choice([None, {"name": "ben"}, 5]),
    }
    made = write_event(dice.choice(EVENTS), data if dice.random() < 0.8 else None, b"x" * dice.choice((0, 0, 0, 9)))
    if dice.random() < 0.05:
        return bytes(dice.randrange(256) for _ in range(dice.randint(1, 40)))
    return cut(dice, made)


def held(running: Running) -> tuple[int, int]:
    """Return the open files and the tasks of the loop, once no connection is left."""
    import asyncio

    assert running.idle()
    engine = running.server.engine
    assert wait_for(lambda: engine.metrics.websockets._value.get() == engine.metrics.wyoming._value.get() == 0)
    assert wait_for(lambda: len(running.server.server_state.connections) <= 1)  # our own client's
    return len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks(running.loop))


@pytest.fixture(autouse=True)
def nothing_is_left(running: Running):
    running.client.get("/health")
    before, threads = held(running), threading.active_count()
    yield
    assert running.client.get("/health").status_code == 200
    assert wait_for(lambda: all(now <= then for now, then in zip(held(running), before, strict=True)))
    assert threading.active_count() <= threads + running.server.settings.max_rows + 3  # the engine's own pools


def test_bodies(running: Running) -> None:
    dice, codes = random.Random(5), set()
    for _ in range(COUNT):
        content = body(dice)
        answer = running.client.post("/v1/audio/speech", content=content, headers={"content-type": "application/json"})
        codes.add(answer.status_code)
        assert answer.status_code in (200, 400, 404), (content, answer.text)
    assert codes == {200, 400, 404}


def test_paths_methods_and_headers(running: Running) -> None:
    dice = random.Random(6)
    paths = ["/", "/v1", "/v1/models", "/v1/audio/voices", "/v1/audio/speech", "/ui/app.js", "/%00", "//", "/a/../b"]
    headers = {
        "host": ["127.0.0.1", "evil", ""],
        "origin": ["null", "http://a"],
        "content-type": ["application/json", "multipart/form-data; boundary=x", "x" * 5000, ""],
        "content-encoding": ["gzip", "identity"],
        "authorization": ["Bearer", "Basic x", "Bearer \xff"],
        "range": ["bytes=0-1"],
        "transfer-encoding": ["chunked"],
    }
    for _ in range(COUNT):
        chosen = [(name, dice.choice(headers[name])) for name in dice.sample(sorted(headers), dice.randint(0, 3))]
        method = dice.choice(["GET", "POST", "HEAD", "OPTIONS", "DELETE", "PUT", "PATCH", "TRACE", "X"])
        raw = [(name.encode(), value.encode("latin-1")) for name, value in chosen]
        answer = running.client.request(method, dice.choice(paths), headers=raw)
        assert answer.status_code < 500, (method, answer.request.url, chosen, answer.text)


def test_websocket_frames(running: Running) -> None:
    dice = random.Random(7)
    address = running.url.replace("http", "ws") + "/v1/audio/speech/stream"
    sent = 0
    while sent < COUNT:
        with connect(address) as web:
            try:
                web.send(json.dumps({"type": "session.config", "response_format": "pcm", "stream_audio": True}))
                for _ in range(20):
                    web.send(frame(dice))
                    sent += 1
                    if dice.random() < 0.3:
                        web.recv(timeout=0.05)
            except (ConnectionClosed, TimeoutError) as end:
                code = getattr(getattr(end, "rcvd", None), "code", 1000)
                assert code in (1000, 1001, 1008, 1009), end
    assert speaks(running, "websocket", lambda: _ping_websocket(address))


def test_wyoming_events(running: Running) -> None:
    dice = random.Random(8)
    sent = 0
    while sent < COUNT:
        with socket.create_connection(("127.0.0.1", running.server.wyoming.port)) as client:
            client.settimeout(0.05)
            try:
                for _ in range(10):
                    client.sendall(event(dice))
                    sent += 1
                    if dice.random() < 0.3 and not client.recv(65536):
                        break
            except (TimeoutError, ConnectionError):
                pass
    assert speaks(running, "wyoming", lambda: _ping_wyoming(running.server.wyoming.port))


def speaks(running: Running, path: str, ask: Callable[[], bool]) -> bool:
    """Return True if a path still answers once all others have hung up."""
    held(running)
    return ask()


def _ping_websocket(address: str) -> bool:
    with connect(address) as web:
        web.send(json.dumps({"type": "session.config"}))
        web.send(json.dumps({"type": "no such"}))
        return json.loads(web.recv(timeout=10))["code"] == "unknown_type"


def _ping_wyoming(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(write_event("ping", {"text": "x"}))
        return b"pong" in client.recv(4096)
