"""Who is let in, who waits, who is cut: queue, deadlines, backpressure, order of turns."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from serving import TEXT, Running, running_server, wait_for

import tutortoietts
from tutortoietts.core.errors import Cancelled
from tutortoietts.server.engine import SpeechEngine
from tutortoietts.server.errors import ApiError
from tutortoietts.server.job import Job, Piece
from tutortoietts.server.request import SpeechRequest
from tutortoietts.server.settings import ServerSettings
from tutortoietts.server.waiting import WaitingRoom

BUNDLED = Path(tutortoietts.__file__).parent / "bundled"
BODY = {"input": TEXT, "response_format": "pcm", "seed": 1}


@contextmanager
def held(running: Running, *, kept: bool = False) -> Iterator[threading.Event]:
    """Keep all work waiting in its thread until the block ends; `kept`: but answers from the phrase cache."""
    gate = threading.Event()
    real = SpeechEngine._speak

    def speak(self: SpeechEngine, job: Job) -> object:
        while not (kept and job.kept) and not gate.wait(0.01):
            if job.cancelled:
                raise Cancelled("stopped")
        return real(self, job)

    patch = pytest.MonkeyPatch()
    patch.setattr(SpeechEngine, "_speak", speak)
    try:
        yield gate
    finally:
        gate.set()
        patch.undo()


@pytest.fixture(scope="module")
def narrow(streaming_model: Path) -> Iterator[Running]:
    with running_server(
        streaming_model,
        max_rows=1,
        max_queue=2,
        queue_timeout=5.0,
        keys={"a": "a" * 16, "b": "b" * 16},
        key_concurrency=2,
    ) as made:
        made.client.headers["authorization"] = "Bearer " + "a" * 16
        yield made


def test_a_full_queue_answers_503_with_a_time_to_wait(narrow: Running) -> None:
    with ThreadPoolExecutor(3) as pool:
        with held(narrow):
            first = [pool.submit(narrow.post, BODY) for _ in range(2)]
            assert wait_for(lambda: narrow.server.engine.running == 1 and narrow.server.engine.waiting == 1)
            refused = narrow.post(BODY, headers={"authorization": "Bearer " + "b" * 16})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "queue_full")
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            limited = narrow.post(BODY)
            assert (limited.status_code, limited.json()["error"]["code"]) == (429, "concurrency_exceeded")
        assert [answer.result().status_code for answer in first] == [200, 200]
    assert narrow.post(BODY).status_code == 200
    assert 'rejected_total{reason="queue_full"} 1.0' in narrow.client.get("/metrics").text


def test_who_waits_too_long_gets_504(streaming_model: Path) -> None:
    with running_server(streaming_model, max_rows=1, queue_timeout=0.2) as running, ThreadPoolExecutor(2) as pool:
        with held(running):
            first = pool.submit(running.post, BODY)
            assert wait_for(lambda: running.server.engine.running == 1)
            late = running.post(BODY)
            assert (late.status_code, late.json()["error"]["code"]) == (504, "deadline_exceeded")
            assert running.server.engine.waiting == 0
        assert first.result().status_code == 200


def test_no_first_sound_in_time_is_504(streaming_model: Path) -> None:
    with running_server(streaming_model, first_sound_timeout=0.2, request_timeout=0.4) as running:
        with held(running):
            assert running.post(BODY).json()["error"]["code"] == "deadline_exceeded"
            assert running.post({**BODY, "stream": False}).status_code == 504
        assert running.idle()


def test_a_failed_load_is_told(streaming_model: Path) -> None:
    def fail() -> None:
        raise RuntimeError("no such model")

    async def main() -> str:
        engine = SpeechEngine(fail, ServerSettings())
        with pytest.raises(RuntimeError):
            await engine.start()
        with pytest.raises(ApiError, match="could not be loaded"):
            engine.submit(SpeechRequest(text="a", voice="a"))
        await engine.close()
        return engine.state

    assert asyncio.run(main()) == "draining"


def job(*, whole: bool = False, text: str = "Hello.", **settings: float) -> Job:
    request = SpeechRequest(text=text, voice="anna", whole=whole, decoder="stream")
    return Job(request, ServerSettings(**settings), asyncio.get_running_loop())


def test_streams_go_first_and_every_fourth_turn_is_a_whole_clips() -> None:
    async def main() -> list[bool]:
        room = WaitingRoom(ServerSettings(max_rows=1))
        for _ in range(6):
            room.admit(job(whole=True))
        for _ in range(6):
            room.admit(job())
        order = []
        while (one := room.next()) is not None:
            order.append(one.request.whole)
            room.running.discard(one)
        return order

    assert asyncio.run(main()) == [False, False, False, True, False, False, False, True] + [True] * 4


def test_work_that_would_come_too_late_is_refused_at_the_door() -> None:
    async def main() -> None:
        room = WaitingRoom(ServerSettings(max_rows=1, queue_timeout=10.0))
        room.work.learn("stream", 100, 2.0, 1)  # 20 ms a character
        room.admit(job(text="a" * 100))
        assert room.next() is not None
        room.admit(job(text="a" * 600))
        with pytest.raises(ApiError, match="takes about 13 s") as refused:
            room.admit(job())
        assert (refused.value.status, refused.value.headers["retry-after"]) == (503, "3")

    asyncio.run(main())


def test_a_worker_waits_for_its_reader_and_gives_up() -> None:
    async def main() -> None:
        one = job(ahead_seconds=1.0, reader_timeout=0.2)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, one.put, Piece(b"a", 1.5))
        with pytest.raises(ApiError, match="reads nothing"):
            await loop.run_in_executor(None, one.put, Piece(b"b", 1.0))
        pieces = one.pieces()
        assert (await anext(pieces)).data == b"a"
        await loop.run_in_executor(None, one.put, Piece(b"c", 1.0))
        await pieces.aclose()
        with pytest.raises(Cancelled):
            await loop.run_in_executor(None, one.put, Piece(b"d", 1.0))

    asyncio.run(main())


def test_the_promise_holds_beside_strangers_who_leave(running: Running) -> None:
    body = {"input": TEXT * 3, "seed": 11, "response_format": "pcm"}
    alone = running.post(body).content
    done = threading.Event()

    def stranger(number: int) -> None:
        while not done.is_set():
            with running.client.stream("POST", "/v1/audio/speech", json={**BODY, "seed": number}) as answer:
                next(answer.iter_raw())

    with ThreadPoolExecutor(3) as pool:
        strangers = [pool.submit(stranger, number) for number in range(3)]
        try:
            for number in range(6):
                assert running.post({**body, "stream": number % 2 == 0}).content == alone
        finally:
            done.set()
        assert all(one.result() is None for one in strangers)
    assert running.idle()
    assert torch.is_grad_enabled()


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_failure(running: Running, caplog) -> None:
    headers = (
        "POST /v1/audio/speech HTTP/1.1",
        "host: 127.0.0.1",
        "content-type: application/json",
        "content-length: 99",
    )
    before = cancelled(running)
    with socket.create_connection(("127.0.0.1", running.server.port)) as client:
        client.sendall("\r\n".join([*headers, "", '{"input": ']).encode())
    assert wait_for(lambda: cancelled(running) == before + 1)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def cancelled(running: Running) -> float:
    text = running.client.get("/metrics").text
    found = re.search(r'requests_total{outcome="cancelled",route="/v1/audio/speech"} (\S+)', text)
    return float(found[1]) if found else 0.0


def test_what_was_spoken_before_needs_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTORTOIETTS_CACHE", str(tmp_path))
    body = {"input": "The old clock is slow.", "response_format": "pcm", "voice": "clara"}
    with running_server(BUNDLED, max_rows=1, max_queue=1, phrase_cache=True) as server:
        first = server.post(body)
        assert server.idle()
        with ThreadPoolExecutor(1) as threads, held(server, kept=True) as gate:
            slow = threads.submit(server.post, {**body, "input": "Another phrase, which holds the only row."})
            assert wait_for(lambda: server.server.engine.running == 1)
            assert server.post({**body, "input": "A third one."}).status_code == 503
            again = server.post(body)
            assert again.content == first.content and again.headers["x-tutortoietts-seed"] == "0"
            assert server.post({**body, "seed": 5}).status_code == 503
            gate.set()
            assert slow.result().status_code == 200
