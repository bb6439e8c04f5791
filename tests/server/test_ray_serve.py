"""Ray Serve: the same routes in replicas; one that is killed breaks its own streams only and is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from serving import TEXT, wait_for

from tutortoietts.api import SpeechStream, TextToSpeech
from tutortoietts.core.errors import OptionError
from tutortoietts.engine.progress import Report
from tutortoietts.server.ray import Replicas, SpeechApp, app, application, serve_on_ray
from tutortoietts.server.settings import ServerSettings

CHUNKS, CHUNK = 8, 2400


def open_tts(model: str, **options: Any) -> TextToSpeech:
    return TextToSpeech(model, device="cpu", enable_redaction=False, **options)


def open_gated(model: str, folder: Path) -> TextToSpeech:
    """An engine that notes its process in a folder, and whose streams wait behind the first chunk for a file "go"."""
    tts = open_tts(model)
    tts.stream = partial(gated, folder)  # type: ignore[method-assign]
    (folder / f"{os.getpid()}.pid").touch()
    return tts


def gated(folder: Path, text: str, **_: Any) -> SpeechStream:
    def chunks() -> Iterator[torch.Tensor]:
        for number in range(CHUNKS):
            assert number == 0 or wait_for((folder / "go").exists, 300)
            yield torch.zeros(CHUNK)

    report = Report(stages={}, audio_seconds=1.0, passages=1, candidates=1, seed=0)
    return SpeechStream(chunks(), 24000, os.getpid(), threading.Event(), lambda: report, lambda: ())


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"max_rowz": "4"}, "unknown arguments max_rowz"),
        ({"max_rows": "four"}, "max_rows is 'four'"),
        ({"max_rows": "0"}, "max_rows"),
        ({"page": "maybe"}, "page is 'maybe'"),
        ({"min_replicas": 3, "max_replicas": 2}, "must rise"),
        ({"cpus_per_replica": "nan"}, "cpus_per_replica"),
        ({"wyoming": 10200}, "wyoming belongs to a server of its own"),
        ({"root_path": "/tts"}, "root_path belongs"),
        ({"host": "0.0.0.0"}, "no API key"),
        ({"api_key_file": "/nowhere/keys"}, "/nowhere/keys"),
    ],
)
def test_arguments_are_checked_before_anything_starts(args: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        app(args)


def test_without_ray_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.serve", None)
    with pytest.raises(OptionError, match=r"tutortoietts\[ray,serve\]"):
        application(ServerSettings(), open_tts, Replicas())


def test_the_application_lives_by_its_lifespan(streaming_model: Path) -> None:
    made = SpeechApp(ServerSettings(warmup=False), partial(open_tts, str(streaming_model)))
    sent = pickle.loads(pickle.dumps(made))

    async def main() -> None:
        incoming: asyncio.Queue[Any] = asyncio.Queue()
        outgoing: asyncio.Queue[Any] = asyncio.Queue()
        life = asyncio.ensure_future(sent({"type": "lifespan"}, incoming.get, outgoing.put))
        await incoming.put({"type": "lifespan.startup"})
        assert (await outgoing.get())["type"] == "lifespan.startup.complete"
        for host, status in (("127.0.0.1", 200), ("192.0.2.7", 403)):
            url = f"http://{host}:8000"
            async with httpx.AsyncClient(transport=httpx.ASGITransport(sent), base_url=url) as client:
                body = {"input": TEXT, "response_format": "pcm"}
                assert (await client.post("/v1/audio/speech", json=body)).status_code == status
        await incoming.put({"type": "lifespan.shutdown"})
        assert (await outgoing.get())["type"] == "lifespan.shutdown.complete"
        await life

    asyncio.run(main())


def test_a_model_that_does_not_load_fails_the_start() -> None:
    sent = []

    async def main() -> None:
        async def receive() -> dict[str, str]:
            return {"type": "lifespan.startup"}

        async def send(message: Any) -> None:
            sent.append(message)

        await SpeechApp(ServerSettings(), partial(open_tts, "/nowhere"))({"type": "lifespan"}, receive, send)

    asyncio.run(main())
    assert [message["type"] for message in sent] == ["lifespan.startup.failed"] and "/nowhere" in sent[0]["message"]


@pytest.fixture
def cluster(streaming_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """Two replicas with gated streams."""
    pytest.importorskip("ray.serve")
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    for what in ("READY", "HEALTH"):
        monkeypatch.setenv(f"RAY_SERVE_PROXY_{what}_CHECK_TIMEOUT_S", "120")  # a busy machine starts slowly
    with socket.create_server(("127.0.0.1", 0)) as free:
        settings = ServerSettings(port=free.getsockname()[1], warmup=False, keys={"a": "a" * 16}, key_concurrency=16)
    replicas = Replicas(min_replicas=2, max_replicas=2, streams_per_replica=16)
    opener = partial(open_gated, str(streaming_model), tmp_path)
    key = {"authorization": "Bearer " + "a" * 16}
    url = f"http://127.0.0.1:{settings.port}"
    with (
        serve_on_ray("local", settings, opener, replicas),
        httpx.Client(base_url=url, headers=key, timeout=120, trust_env=False) as client,
    ):
        yield client


@pytest.mark.filterwarnings("ignore")
def test_a_killed_replica_breaks_its_own_streams_and_is_replaced(cluster: httpx.Client, tmp_path: Path) -> None:
    assert cluster.get("/health/ready").json()["status"] == "ready"
    assert cluster.get("/v1/audio/voices").json()["voices"]
    refused = cluster.post("/v1/audio/speech", json={"input": TEXT}, headers={"authorization": "Bearer wrong"})
    assert refused.status_code == 401 and refused.json()["error"]["code"] == "invalid_api_key"

    before = {int(file.stem) for file in tmp_path.glob("*.pid")}
    with contextlib.ExitStack() as stack:
        streams: list[tuple[int, Iterator[bytes]]] = []
        while {pid for pid, _ in streams} != before:
            assert len(streams) < 30
            body = {"input": TEXT, "response_format": "pcm"}
            answer = stack.enter_context(cluster.stream("POST", "/v1/audio/speech", json=body))
            blocks = answer.iter_raw()
            assert answer.status_code == 200 and len(next(blocks)) == 2 * CHUNK  # while the rest is not made yet
            streams.append((int(answer.headers["x-tutortoietts-seed"]), blocks))
        victim = streams[0][0]
        os.kill(victim, signal.SIGKILL)
        (tmp_path / "go").touch()
        for pid, blocks in streams:
            if pid == victim:
                with pytest.raises(httpx.RemoteProtocolError):
                    b"".join(blocks)
            else:
                assert len(b"".join(blocks)) == 2 * CHUNK * (CHUNKS - 1)
    assert wait_for(lambda: len(list(tmp_path.glob("*.pid"))) == 3, 120)
    answer = cluster.post("/v1/audio/speech", json={"input": TEXT, "response_format": "pcm"})
    assert answer.status_code == 200 and len(answer.content) == 2 * CHUNK * CHUNKS
