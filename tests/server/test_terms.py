"""A model whose sound comes under a licence: its address goes with every answer that has a place for it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
import soundfile
from serving import Running, running_server
from websockets.sync.client import connect

from tiny_xtts import make_tiny_release
from tutortoietts.engine.families.xtts import XTTS_FAMILY

TEXT = "one two."
ADDRESS = XTTS_FAMILY.terms.rpartition(" ")[2]


@pytest.fixture(scope="module")
def licensed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_server(make_tiny_release(tmp_path_factory.mktemp("xtts") / "tiny")) as made:
        yield made


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("form", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
def test_answers_carry_the_terms(licensed: Running, form: str, stream: bool) -> None:
    av = pytest.importorskip("av")
    answer = licensed.post({"input": TEXT, "response_format": form, "stream": stream, "seed": 1})
    assert answer.status_code == 200 and answer.headers["x-tutortoietts-terms"] == XTTS_FAMILY.terms
    if form == "pcm":
        return
    with av.open(io.BytesIO(answer.content)) as file:
        said = {**file.metadata, **file.streams[0].metadata}
        assert sum(frame.samples for frame in file.decode(audio=0)) > 1000
    assert (ADDRESS in " ".join(said.values())) == (form != "aac")


def test_wav_with_terms_holds_the_samples_of_pcm(licensed: Running) -> None:
    body = {"input": TEXT, "seed": 1, "stream": False}
    pcm, wav = (licensed.post({**body, "response_format": form}).content for form in ("pcm", "wav"))
    with soundfile.SoundFile(io.BytesIO(wav)) as file:
        assert file.comment == XTTS_FAMILY.terms
        assert file.read(dtype="int16").tobytes() == pcm


def test_the_websocket_says_them_before_the_sound(licensed: Running) -> None:
    with connect(licensed.url.replace("http", "ws") + "/v1/audio/speech/stream") as socket:
        socket.send(json.dumps({"type": "session.config", "response_format": "pcm", "seed": 1}))
        socket.send(json.dumps({"type": "input.text", "text": TEXT}))
        socket.send(json.dumps({"type": "input.done"}))
        assert json.loads(socket.recv(timeout=60))["terms"] == XTTS_FAMILY.terms


def test_the_rule_of_latents_takes_the_speed_of_either_place(licensed: Running) -> None:
    body = {"input": TEXT, "response_format": "pcm", "seed": 1}
    rule = {"speed_rule": "latents"}
    one = licensed.post({**body, "speed": 1.5, "options": rule})
    other = licensed.post({**body, "options": {**rule, "speed": 1.5}})
    assert one.status_code == 200 and one.content == other.content
    refused = licensed.post({**body, "speed": 3.0, "options": rule})
    assert refused.status_code == 400 and "speed" in refused.text


def test_the_description_names_the_header(licensed: Running) -> None:
    answers = licensed.client.get("/openapi.json").json()["paths"]["/v1/audio/speech"]["post"]["responses"]
    assert "x-tutortoietts-terms" in answers["200"]["headers"]
