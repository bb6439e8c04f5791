"""The clients that people have: `openai`, and the calls of Open WebUI, SillyTavern, LiveKit and Pipecat."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from serving import TEXT, Running, clip, running_server

from tutortoietts.server.settings import OPENAI_VOICES
from tutortoietts.server.sound import Sound

openai = pytest.importorskip("openai")


@pytest.fixture()
def client(running: Running):
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def test_create_and_formats(client, running: Running) -> None:
    answer = client.audio.speech.create(
        model="tts-1", voice="alloy", input=TEXT, response_format="wav", extra_body={"seed": 1, "stream": False}
    )
    with wave.open(io.BytesIO(answer.content)) as file:
        assert file.getnframes() * 2 + 44 == len(answer.content)
    assert client.audio.speech.create(model="gpt-4o-mini-tts", voice={"id": "ben"}, input=TEXT).content[:1] == b"\xff"


def test_streaming_and_events(client, running: Running) -> None:
    options = {"model": "tts-1", "voice": "anna", "input": TEXT, "response_format": "pcm", "extra_body": {"seed": 1}}
    with client.audio.speech.with_streaming_response.create(**options) as answer:
        pieces = list(answer.iter_bytes(1024))
    assert len(pieces) > 5
    with client.audio.speech.with_streaming_response.create(**options, stream_format="sse") as answer:
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    sound = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    assert sound == b"".join(pieces) and events[-1]["type"] == "speech.audio.done"


def test_errors_have_their_classes(client) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.audio.speech.create(model="none", voice="anna", input=TEXT)
    assert missing.value.code == "model_not_found" and missing.value.request_id.startswith("req_")
    with pytest.raises(openai.BadRequestError) as bad:
        client.audio.speech.create(model="tts-1", voice="anna", input=TEXT, speed=9)
    assert (bad.value.param, bad.value.type) == ("speed", "invalid_request_error")
    with pytest.raises(openai.BadRequestError) as bad:
        client.audio.speech.create(model="tts-1", voice="bob", input=TEXT)
    assert bad.value.code == "voice_not_found"


def test_wrong_key_and_retries(streaming_model: Path) -> None:
    with running_server(streaming_model, keys={"a": "a" * 16}) as running:
        with (
            openai.OpenAI(base_url=f"{running.url}/v1", api_key="wrong", max_retries=0) as client,
            pytest.raises(openai.AuthenticationError),
        ):
            client.audio.speech.create(model="tts-1", voice="anna", input=TEXT)
        running.server.engine.state = "loading"
        with (
            openai.OpenAI(base_url=f"{running.url}/v1", api_key="a" * 16, max_retries=1) as client,
            pytest.raises(openai.InternalServerError) as refused,
        ):
            client.audio.speech.create(model="tts-1", voice="anna", input=TEXT)
        assert refused.value.code == "loading"
        count = 'requests_total{outcome="rejected",route="/v1/audio/speech"} 2.0'
        assert count in running.client.get("/metrics", headers={"authorization": "Bearer " + "a" * 16}).text


def test_limits_and_permissions_have_their_classes(streaming_model: Path) -> None:
    key = "a" * 16
    with running_server(streaming_model, keys={"a": key}, key_rate=1.0, cloning=False) as running:
        with openai.OpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0) as client:
            options = {"model": "tts-1", "voice": "anna", "input": TEXT}
            assert client.audio.speech.create(**options).content
            with pytest.raises(openai.RateLimitError) as limited:
                client.audio.speech.create(**options)
            assert limited.value.code == "rate_exceeded" and int(limited.value.response.headers["retry-after"]) >= 1
            with pytest.raises(openai.PermissionDeniedError) as refused:
                client.audio.speech.create(**options, extra_headers={"origin": "https://elsewhere.example"})
            assert refused.value.code == "origin_refused"
            with pytest.raises(openai.PermissionDeniedError) as off:
                add_voice(client, "carla")
            assert off.value.code == "cloning_off"
            with pytest.raises(openai.APIStatusError) as large:
                client.audio.speech.create(**{**options, "input": "a" * 300_000})
            assert large.value.status_code == 413


def add_voice(client, name: str) -> object:
    files = [("audio_sample", ("a.wav", clip(), "audio/wav"))]
    headers = {"content-type": "multipart/form-data"}
    form = {"name": name, "consent": "I am the speaker"}
    return client.post("/audio/voices", cast_to=object, body=form, files=files, options={"headers": headers})


def test_a_name_that_is_taken_is_a_conflict_and_not_retried(running: Running) -> None:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=2) as client:
        assert add_voice(client, "erna")["id"] == "erna"
        with pytest.raises(openai.ConflictError) as taken:
            add_voice(client, "erna")
        assert taken.value.code == "voice_exists"
    count = 'requests_total{outcome="invalid",route="/v1/audio/voices"} 1.0'
    assert count in running.client.get("/metrics").text


def test_no_answer_and_no_server(client, running: Running) -> None:
    options = {"model": "tts-1", "voice": "anna", "input": TEXT * 80}
    with pytest.raises(openai.APITimeoutError):
        client.audio.speech.create(**options, timeout=0.001)
    assert running.idle()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    nobody = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
    with nobody, pytest.raises(openai.APIConnectionError):
        nobody.audio.speech.create(**options)


def test_a_failure_is_an_error_and_a_broken_stream_too(client, monkeypatch) -> None:
    def fail(self: Sound) -> tuple[bytes, float]:
        raise RuntimeError("broken")

    monkeypatch.setattr(Sound, "finish", fail)
    options = {"model": "tts-1", "voice": "anna", "input": TEXT, "response_format": "pcm"}
    with pytest.raises(openai.InternalServerError) as failed:
        client.audio.speech.create(**options, extra_body={"stream": False})
    assert failed.value.code == "internal_error"
    with client.audio.speech.with_streaming_response.create(**options) as answer:
        pieces = answer.iter_bytes()
        assert next(pieces)
        with pytest.raises(Exception, match="closed"):
            list(pieces)


def test_models(client) -> None:
    assert "tts-1" in [model.id for model in client.models.list()]
    assert client.models.retrieve("tts-1").owned_by == "tutortoietts"


def test_many_at_once_half_of_which_leave(running: Running) -> None:
    async def main() -> list[int]:
        async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="x", max_retries=3) as client:

            async def one(number: int) -> int:
                options = {"model": "tts-1", "voice": "anna", "input": TEXT, "response_format": "pcm"}
                async with client.audio.speech.with_streaming_response.create(**options) as answer:
                    if number % 2:
                        return -1
                    return len(b"".join([piece async for piece in answer.iter_bytes()]))

            return await asyncio.gather(*map(one, range(16)))

    sizes = asyncio.run(main())
    assert all(size > 0 for size in sizes[::2])
    assert running.idle()


def test_open_webui(streaming_model: Path) -> None:
    """Lists without a key, then a whole answer with one, at several sentences at once."""
    key = {"authorization": "Bearer " + "a" * 16}
    with running_server(streaming_model, keys={"a": "a" * 16}) as running:
        assert running.client.get("/v1/audio/models").json()["models"]
        voices = running.client.get("/v1/audio/voices").json()["voices"]
        assert all(isinstance(voice["id"], str) and isinstance(voice["name"], str) for voice in voices)
        body = {"input": TEXT, "voice": voices[0]["id"], "model": "tts-1", "user": {"id": 1}}
        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(lambda _: running.post(body, headers=key), range(3)))
        assert {answer.headers["content-type"] for answer in answers} == {"audio/mpeg"}
        assert running.post(body).json()["error"]["message"]


def test_silly_tavern(running: Running) -> None:
    """It passes on what comes as mp3, whatever it is; the empty key that it sends is in test_security."""
    body = {"input": TEXT, "response_format": "mp3", "voice": "alloy", "speed": 1, "model": "tts-1"}
    answer = running.post(body)
    assert answer.headers["content-type"] == "audio/mpeg" and answer.content[0] == 0xFF


def test_live_kit(running: Running) -> None:
    """It warms the connection by a GET, asks for events unless the model is tts-1, and looks at the Content-Type."""
    assert running.client.get("/v1").status_code == 404
    body = {"input": TEXT, "voice": "alloy", "response_format": "mp3", "speed": 1.0}
    answer = running.post({**body, "model": "gpt-4o-mini-tts", "stream_format": "sse"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    sound = b"".join(base64.b64decode(event.get("delta") or event.get("audio") or "") for event in events)
    assert sound[0] == 0xFF and events[-1]["type"] == "speech.audio.done"
    assert running.post({**body, "model": "tts-1"}).headers["content-type"] == "audio/mpeg"


def test_pipecat(streaming_model: Path) -> None:
    """It knows the names of OpenAI's voices only, reads samples as they come, and shows the text of a refusal."""
    aliases = dict.fromkeys(OPENAI_VOICES, "anna")
    with running_server(streaming_model, aliases=aliases) as running:
        body = {"input": TEXT, "model": "gpt-4o-mini-tts", "response_format": "pcm"}
        for voice in OPENAI_VOICES:
            with running.client.stream("POST", "/v1/audio/speech", json={**body, "voice": voice}) as answer:
                assert answer.status_code == 200 and sum(map(len, answer.iter_bytes())) % 2 == 0
        refused = running.post({**body, "voice": "alloy", "speed": 9})
        assert refused.status_code == 400 and "speed" in refused.text
