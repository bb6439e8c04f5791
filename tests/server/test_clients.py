"""The clients that people have: `openai`, and the calls of Open WebUI, SillyTavern, LiveKit and Pipecat."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import wave
from pathlib import Path

import pytest
from serving import TEXT, Running, running_server

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


def test_open_webui(running: Running) -> None:
    assert running.client.get("/v1/audio/models").json()["models"]
    voices = running.client.get("/v1/audio/voices").json()["voices"]
    assert all(isinstance(voice["id"], str) and isinstance(voice["name"], str) for voice in voices)
    body = {"input": TEXT, "voice": voices[0]["id"], "model": "tts-1", "user": {"id": 1}}
    answer = running.post(body, headers={"authorization": "Bearer sk-none"})
    assert answer.headers["content-type"] == "audio/mpeg"


def test_silly_tavern(running: Running) -> None:
    body = {"input": TEXT, "response_format": "mp3", "voice": "alloy", "speed": 1, "model": "tts-1"}
    assert running.post(body).headers["content-type"] == "audio/mpeg"


def test_live_kit(running: Running) -> None:
    assert running.client.get("/v1").status_code == 404
    body = {"input": TEXT, "model": "gpt-4o-mini-tts", "voice": "ash", "response_format": "mp3", "stream_format": "sse"}
    answer = running.post({**body, "voice": "alloy"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    assert json.loads(lines[-1][6:])["type"] == "speech.audio.done"


def test_pipecat(running: Running) -> None:
    body = {"input": TEXT, "model": "gpt-4o-mini-tts", "voice": "alloy", "response_format": "pcm"}
    answer = running.post(body)
    assert answer.status_code == 200 and len(answer.content) % 2 == 0
