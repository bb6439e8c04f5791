"""What comes over each path is heard as the sentence asked for: the bundled model and a recogniser of ten sentences."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import Running, running_server
from websockets.sync.client import connect

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import recognise

av = pytest.importorskip("av")
SENTENCES = recognise.load_sentences(Path(recognise.__file__).with_name("sentences_test.txt"))[:10]


@pytest.fixture(scope="module")
def speaking() -> Iterator[Running]:
    with running_server("bundled") as made:
        yield made


@pytest.fixture(scope="module")
def recogniser() -> recognise.Recogniser:
    pytest.importorskip("pocketsphinx")
    return recognise.Recogniser(SENTENCES)


def over_http(form: str) -> Callable[[Running, str], bytes]:
    return lambda running, text: running.post({"input": text, "response_format": form, "seed": 1}).content


def over_events(running: Running, text: str) -> bytes:
    answer = running.post({"input": text, "response_format": "wav", "stream_format": "sse", "seed": 1})
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    return b"".join(base64.b64decode(event.get("audio", "")) for event in events)


def over_websocket(running: Running, text: str) -> bytes:
    config = {"type": "session.config", "response_format": "flac", "stream_audio": False, "seed": 1}
    with connect(running.url.replace("http", "ws") + "/v1/audio/speech/stream") as socket:
        for message in (config, {"type": "input.text", "text": text}, {"type": "input.done"}):
            socket.send(json.dumps({**message, **({"split_granularity": "none"} if message is config else {})}))
        found = b""
        while True:
            message = socket.recv(timeout=60)
            if isinstance(message, bytes):
                found += message
            elif json.loads(message)["type"] == "session.done":
                return found


def over_wyoming(running: Running, text: str) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports audioop
        client = pytest.importorskip("wyoming.client")
        from wyoming.tts import SynthesizeChunk, SynthesizeStart, SynthesizeStop

    async def talk() -> bytes:
        async with client.AsyncTcpClient("127.0.0.1", running.server.wyoming.port) as connection:
            for event in (SynthesizeStart(), SynthesizeChunk(text=text), SynthesizeStop()):
                await connection.write_event(event.event())
            found = b""
            while (event := await asyncio.wait_for(connection.read_event(), 60)).type != "synthesize-stopped":
                found += event.payload or b""
            return found

    return asyncio.run(talk())


PATHS: dict[str, Callable[[Running, str], bytes]] = {
    **{form: over_http(form) for form in ("mp3", "opus", "aac", "flac", "wav", "pcm")},
    "sse": over_events,
    "websocket": over_websocket,
    "wyoming": over_wyoming,
}


def decoded(data: bytes) -> Any:
    """Samples at the recogniser's rate, of a file or of raw samples at 24 kHz."""
    raw = data[:4] not in (b"RIFF", b"fLaC", b"OggS") and data[0] != 0xFF
    layout = {"format": "s16le", "options": {"sample_rate": "24000"}} if raw else {}
    resampler = av.AudioResampler("s16", "mono", recognise.RATE)
    with av.open(io.BytesIO(data), **layout) as file:
        frames = [one for frame in [*file.decode(audio=0), None] for one in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray().flatten() for frame in frames])


@pytest.mark.parametrize(("number", "path"), [*enumerate(PATHS)], ids=list(PATHS))
def test_the_sentence_is_heard(number: int, path: str, speaking: Running, recogniser: recognise.Recogniser) -> None:
    sound = decoded(PATHS[path](speaking, SENTENCES[number]))
    assert recogniser.hear(sound, number, dictation=False)["chosen"] == number
