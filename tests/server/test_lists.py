"""Models, voices, health, metrics, OpenAPI: what clients ask before they speak."""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path

import pytest
from serving import TEXT, Running, clip, running_server, wait_for

from tutortoietts.core.presets import known_names
from tutortoietts.server.request import _FIELDS


def add(running: Running, name: str, data: bytes | None = None, **fields: str):
    files = [("audio_sample", ("a.wav", clip() if data is None else data, "audio/wav"))]
    form = {"name": name, "consent": "I am the speaker", **fields}
    return running.client.post("/v1/audio/voices", data=form, files=files)


def test_models(running: Running) -> None:
    models = running.client.get("/v1/models").json()
    assert models["object"] == "list"
    ids = [model["id"] for model in models["data"]]
    assert {"tts-1", "tts-1-hd", "gpt-4o-mini-tts"} < set(ids)
    assert running.client.get(f"/v1/models/{ids[0]}").json()["id"] == ids[0]
    missing = running.client.get("/v1/models/nothing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
    audio = running.client.get("/v1/audio/models").json()
    assert audio["models"] == audio["data"] == models["data"]


def test_voices_as_open_webui_reads_them(running: Running) -> None:
    listed = running.client.get("/v1/audio/voices").json()
    assert listed["voices"] == listed["data"]
    assert {("anna", "anna"), ("ben", "ben")} <= {(voice["id"], voice["name"]) for voice in listed["voices"]}


def test_health_and_metrics(running: Running) -> None:
    running.post({"input": TEXT, "response_format": "pcm"})
    for path in ("/health", "/health/live"):
        assert running.client.get(path).json() == {"status": "ok"}
    ready = running.client.get("/health/ready").json()
    assert ready["status"] == "ready" and ready["queue"] == 0 and ready["max_input"] == 4096
    text = running.client.get("/metrics").text
    for name in (
        "requests_running",
        "time_to_first_audio_seconds_bucket",
        "audio_underrun_seconds_count",
        "voices 2.0",
    ):
        assert f"tutortoietts_{name}" in text
    assert 'tutortoietts_requests_total{outcome="ok",route="/v1/audio/speech"}' in text
    assert "anna" not in text


def test_openapi_has_every_route_and_field(running: Running) -> None:
    document = running.client.get("/openapi.json").json()
    routes = {route.path for route in running.server.config.app._app.routes if getattr(route, "methods", None)}
    documented = {path for path in document["paths"]}
    assert {path for path in routes if not path.startswith("/ui/") and path != "/"} == documented
    properties = document["components"]["schemas"]["SpeechRequest"]["properties"]
    assert set(properties) == set(_FIELDS)
    assert set(properties["options"]["properties"]) == set(known_names())
    json.dumps(document)


def test_a_voice_is_added_heard_and_deleted(running: Running) -> None:
    answer = add(running, "carla")
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] == "carla" and answer.json()["object"] == "audio.voice"
    assert running.post({"input": TEXT, "voice": "carla", "response_format": "pcm"}).status_code == 200
    folder = running.server.engine.voices._store.folder / "carla"
    assert json.loads((folder / "consent.json").read_text())["consent"] == "I am the speaker"
    taken = add(running, "carla")
    assert (taken.status_code, taken.headers["x-should-retry"]) == (409, "false")
    assert add(running, "carla", replace="true").status_code == 200
    assert running.client.delete("/v1/audio/voices/carla").json()["deleted"] is True
    assert running.client.delete("/v1/audio/voices/carla").status_code == 404
    assert running.client.delete("/v1/audio/voices/anna").status_code == 403
    assert not folder.exists()


def test_consent_is_needed(running: Running) -> None:
    answer = add(running, "dora", consent=" ")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "consent")


def test_a_sample_is_a_whole_wav_and_is_kept(running: Running) -> None:
    first = running.client.get("/v1/audio/voices/ben/sample")
    with wave.open(io.BytesIO(first.content)) as file:
        assert file.getnframes() * 2 + 44 == len(first.content)
    spoken = running.server.engine.metrics.queue_wait._sum.get()
    assert running.client.get("/v1/audio/voices/ben/sample").content == first.content
    assert running.server.engine.metrics.queue_wait._sum.get() == spoken
    assert running.client.get("/v1/audio/voices/zoe/sample").status_code == 404
    assert running.client.get("/v1/audio/voices/ben/sample?format=exe").status_code == 400


def test_loading_and_draining_are_told(streaming_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_server(streaming_model) as running:
        running.server.engine.state = "loading"
        for path in ("/health", "/health/ready"):
            assert running.client.get(path).status_code == 503
        assert running.client.get("/health/live").status_code == 200
        answer = running.post({"input": TEXT})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "loading")
        running.server.engine.drain()
        answer = running.post({"input": TEXT})
        assert (answer.status_code, answer.json()["error"]["code"], answer.headers["retry-after"]) == (
            503,
            "draining",
            "5",
        )


def test_a_running_request_is_finished_before_the_end(streaming_model: Path) -> None:
    with running_server(streaming_model) as running:
        text = (TEXT + " ") * 20
        with running.client.stream(
            "POST", "/v1/audio/speech", json={"input": text, "response_format": "pcm", "seed": 1}
        ) as answer:
            pieces = answer.iter_raw()
            data = next(pieces)
            running.loop.call_soon_threadsafe(running.server.stop)
            assert wait_for(lambda: running.server.engine.state == "draining")
            data += b"".join(pieces)
        assert len(data) > 24000
