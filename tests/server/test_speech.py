"""`/v1/audio/speech`: fields, formats, errors, streams, cancelled clients."""

from __future__ import annotations

import base64
import io
import json
import wave

import httpx
import pytest
import torch
from serving import TEXT, Running, wait_for

from tutortoietts.server.formats import FORMATS
from tutortoietts.server.request import SpeechRequest
from tutortoietts.server.sound import Sound


def error_of(answer: httpx.Response) -> dict[str, str | None]:
    body = answer.json()
    assert set(body) == {"error"} and set(body["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"].startswith("req_")
    return body["error"]


def events_of(text: str) -> list[dict[str, object]]:
    found = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        assert name.startswith("event: ") and data.startswith("data: ")
        found.append(json.loads(data[6:]))
        assert found[-1]["type"] == name[7:]
    return found


def test_pcm_streams_with_its_headers(running: Running) -> None:
    answer = running.post({"input": TEXT, "response_format": "pcm", "seed": 3})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/pcm;rate=24000;channels=1"
    assert answer.headers["x-tutortoietts-seed"] == "3"
    assert answer.headers["x-tutortoietts-voice"] == "anna"
    assert "x-tutortoietts-terms" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers
    assert "content-length" not in answer.headers
    assert len(answer.content) > 1000 and len(answer.content) % 2 == 0


@pytest.mark.parametrize("decoder", ["stream", "diffusion"])
def test_whole_and_streamed_are_the_same_bytes(running: Running, decoder: str) -> None:
    body = {"input": TEXT * 2, "seed": 5, "decoder": decoder}
    streamed = running.post({**body, "response_format": "pcm"})
    whole = running.post({**body, "response_format": "pcm", "stream": False})
    wav = running.post({**body, "response_format": "wav", "stream": False})
    assert whole.headers["content-length"] == str(len(whole.content))
    assert streamed.content == whole.content == wav.content[44:]
    with wave.open(io.BytesIO(wav.content)) as file:
        assert file.getnframes() * 2 == len(whole.content)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("stream", [True, False])
def test_every_format_has_the_length_of_the_sound(running: Running, form: str, stream: bool) -> None:
    av = pytest.importorskip("av")
    samples = len(running.post({"input": TEXT, "response_format": "pcm", "seed": 1}).content) // 2
    answer = running.post({"input": TEXT, "response_format": form, "seed": 1, "stream": stream})
    assert answer.status_code == 200
    layout = {"format": "s16le", "options": {"sample_rate": "24000"}} if form == "pcm" else {}
    with av.open(io.BytesIO(answer.content), **layout) as file:
        frames = list(file.decode(audio=0))
        seconds = sum(frame.samples / frame.sample_rate for frame in frames)
    assert samples / 24000 - 0.001 <= seconds <= samples / 24000 + 0.1


@pytest.mark.parametrize("form", FORMATS)
def test_how_sound_is_cut_into_chunks_changes_no_byte(form: str) -> None:
    pytest.importorskip("av")
    wave = 0.3 * torch.sin(0.05 * torch.arange(60_000))

    def encoded(*cuts: int) -> bytes:
        sound = Sound(SpeechRequest(text="a", voice="b", form=form, speed=1.3, sample_rate=16000), 24000, 0)
        return b"".join(sound.push(chunk)[0] for chunk in wave.tensor_split(cuts)) + sound.finish()[0]

    assert encoded(1272, 10_232, 30_000) == encoded(10_232, 30_000) == encoded(50_001)


def test_the_default_format_is_mp3(running: Running) -> None:
    answer = running.post({"input": TEXT, "model": "tts-1", "voice": "alloy"})
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["x-tutortoietts-decoder"] == "stream"
    assert running.post({"input": TEXT, "model": "tts-1-hd"}).headers["x-tutortoietts-decoder"] == "diffusion"


def test_server_sent_events(running: Running) -> None:
    body = {"input": TEXT, "response_format": "pcm", "seed": 2}
    answer = running.post({**body, "stream_format": "sse", "timestamps": True})
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *deltas, done = events_of(answer.text)
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    sound = b"".join(base64.b64decode(event["audio"]) for event in deltas)
    assert sound == running.post(body).content
    assert done["type"] == "speech.audio.done"
    assert done["usage"]["total_tokens"] == done["usage"]["input_tokens"] + done["usage"]["output_tokens"] > 0
    assert [word["word"] for word in done["words"]][:3] == ["One", "two", "three"]
    assert done["words"][-1]["end"] <= done["seconds"]


def test_json_has_sound_and_words(running: Running) -> None:
    body = {"input": TEXT, "response_format": "pcm", "seed": 2, "speed": 2.0}
    value = running.post({**body, "stream_format": "json", "timestamps": True}).json()
    assert base64.b64decode(value["audio"]) == running.post(body).content
    assert value["words"][-1]["end"] <= value["seconds"] + 0.01
    assert value["seed"] == 2


def test_speed_and_rate_change_the_length_alone(running: Running) -> None:
    body = {"input": TEXT, "response_format": "pcm", "seed": 4}
    usual = len(running.post(body).content) / 2
    fast = len(running.post({**body, "speed": 2.0}).content) / 2
    low = len(running.post({**body, "sample_rate": 8000}).content) / 2
    assert abs(fast - usual / 2) <= 1
    assert abs(low - usual / 3) <= 50


@pytest.mark.parametrize("voice", ["anna", "ben", "anna+ben", "anna*2+ben", "anna(2)+ben(1)", {"id": "ben"}, "random"])
def test_voices_and_mixes(running: Running, voice: object) -> None:
    answer = running.post({"input": "Hello there.", "voice": voice, "response_format": "pcm", "seed": 1})
    assert answer.status_code == 200, answer.text


def test_what_is_ignored_is_told(running: Running) -> None:
    body = {"input": "Hello there.", "instructions": "Be kind.", "user": "x", "voice": None, "response_format": "pcm"}
    assert running.post(body).headers["x-tutortoietts-ignored"] == "instructions, user"
    odd = running.post({"input": "Hello there.", "response_format": "pcm", "é\r\n": 1, "": None})
    assert odd.headers["x-tutortoietts-ignored"] == '%C3%A9%0D%0A, ""'


@pytest.mark.parametrize(
    ("change", "status", "param", "code"),
    [
        ({"input": ""}, 400, "input", "empty_input"),
        ({"input": " \n\t"}, 400, "input", "empty_input"),
        ({"input": "!!! ..."}, 400, "input", None),
        ({"input": None}, 400, "input", "missing_input"),
        ({"input": 5}, 400, "input", "missing_input"),
        ({"input": "a" * 5000}, 400, "input", "string_above_max_length"),
        ({"input": "\ud800"}, 400, "input", None),
        ({"model": "gpt-9"}, 404, "model", "model_not_found"),
        ({"model": 3}, 400, "model", None),
        ({"voice": "bob"}, 400, "voice", "voice_not_found"),
        ({"voice": "+".join(["anna"] * 9)}, 400, "voice", None),
        ({"voice": "anna*0"}, 400, "voice", "voice_not_found"),
        ({"voice": ["anna"]}, 400, "voice", None),
        ({"response_format": "wma"}, 400, "response_format", None),
        ({"speed": 5}, 400, "speed", None),
        ({"speed": "fast"}, 400, "speed", None),
        ({"speed": True}, 400, "speed", None),
        ({"speed": 10**400}, 400, "speed", None),
        ({"stream": "yes"}, 400, "stream", None),
        ({"stream_format": "xml"}, 400, "stream_format", None),
        ({"timestamps": True}, 400, "timestamps", None),
        ({"seed": 1.5}, 400, "seed", None),
        ({"seed": 2**70}, 400, "seed", None),
        ({"preset": "best"}, 400, "preset", None),
        ({"decoder": "magic"}, 400, "decoder", None),
        ({"sample_rate": 4000}, 400, "sample_rate", None),
        ({"sample_rate": 22050, "response_format": "opus"}, 400, "sample_rate", None),
        ({"language": "xx"}, 400, "language", None),
        ({"options": {"top_p": 3}}, 400, "options.top_p", "invalid_option"),
        ({"options": {"topp": 0.3}}, 400, "options.topp", "unknown_option"),
        ({"options": {"num_autoregressive_samples": 999}}, 400, "options.num_autoregressive_samples", "invalid_option"),
        ({"options": {"diffusion_iterations": 9}, "decoder": "stream"}, 400, "options", "invalid_option"),
        ({"options": {"min_mel_tokens": 50, "max_mel_tokens": 20}}, 400, "options", "invalid_option"),
        ({"options": 3}, 400, "options", None),
        ({"speed": 1.0, "options": {"speed": 1.5}}, 400, "speed", None),
    ],
)
def test_what_is_wrong_is_named(running: Running, change: dict, status: int, param: str, code: str | None) -> None:
    body = {"input": TEXT, "response_format": "pcm", **change}
    headers = {"content-type": "application/json"}
    answer = running.client.post("/v1/audio/speech", content=json.dumps(body), headers=headers)
    error = error_of(answer)
    assert (answer.status_code, error["param"]) == (status, param), error
    if code is not None:
        assert error["code"] == code


def test_both_places_of_the_speed_are_one(running: Running) -> None:
    body = {"input": TEXT, "response_format": "pcm", "seed": 2}
    plain = running.post(body).content
    inner, both, outer = (
        running.post({**body, **speed}).content
        for speed in ({"options": {"speed": 2.0}}, {"speed": 2, "options": {"speed": 2.0}}, {"speed": 2.0})
    )
    assert inner == both == outer and len(inner) == pytest.approx(len(plain) / 2, rel=0.01)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"nan", b'{"input": NaN}', b"[" * 100000])
def test_bodies_that_are_no_json_object(running: Running, body: bytes) -> None:
    answer = running.client.post("/v1/audio/speech", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert error_of(answer)["code"] == "invalid_json"


def test_unknown_paths_and_methods(running: Running) -> None:
    assert error_of(running.client.get("/v1/nothing"))["code"] == "not_found"
    answer = running.client.get("/v1/audio/speech")
    assert answer.status_code == 405 and error_of(answer)["type"] == "method_not_allowed"


def test_a_client_that_leaves_ends_the_work(running: Running) -> None:
    for body in ({"response_format": "pcm"}, {"response_format": "wav", "stream": False, "decoder": "diffusion"}):
        text = (TEXT + " ") * 60
        with (
            httpx.Client(base_url=running.url, timeout=5, trust_env=False) as client,
            client.stream("POST", "/v1/audio/speech", json={"input": text[:4000], **body}) as answer,
        ):
            if "stream" not in body:
                next(answer.iter_raw())
        assert running.idle()
    assert running.server.engine._room.running == set()


def test_a_failure_after_the_first_sound_breaks_the_connection(running: Running, monkeypatch) -> None:
    def fail(self: Sound) -> tuple[bytes, float]:
        raise RuntimeError("a secret path: /home/someone")

    monkeypatch.setattr(Sound, "finish", fail)
    with pytest.raises(httpx.RemoteProtocolError):
        running.post({"input": TEXT, "response_format": "pcm"})
    answer = running.post({"input": TEXT, "response_format": "pcm", "stream": False})
    assert answer.status_code == 500
    assert "secret" not in answer.text and error_of(answer)["code"] == "internal_error"


def test_many_clients_at_once_get_what_they_get_alone(running: Running) -> None:
    from concurrent.futures import ThreadPoolExecutor

    bodies = [{"input": TEXT[: 20 + n], "seed": n, "response_format": "pcm", "stream": n % 2 == 0} for n in range(8)]
    alone = [running.post(body).content for body in bodies]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda body: running.post(body).content, bodies))
    assert together == alone
    assert wait_for(running.idle)
