"""Wyoming with the protocol's own client, in the order in which Home Assistant speaks."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from serving import TEXT, Running

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports audioop
    wyoming_client = pytest.importorskip("wyoming.client")
    from wyoming.event import Event
    from wyoming.info import Describe, Info
    from wyoming.ping import Ping
    from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeVoice


def talk(running: Running, script: Callable[[Any], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with wyoming_client.AsyncTcpClient("127.0.0.1", running.server.wyoming.port) as client:
            return await asyncio.wait_for(script(client), 60)

    return asyncio.run(run())


async def until(client: Any, kind: str) -> list[Event]:
    events = []
    while (event := await client.read_event()) is not None:
        events.append(event)
        if event.type in (kind, "error"):
            break
    return events


def sound(events: list[Event]) -> bytes:
    return b"".join(event.payload for event in events if event.type == "audio-chunk")


def test_describe(running: Running) -> None:
    async def script(client: Any) -> Info:
        await client.write_event(Describe().event())
        return Info.from_event((await until(client, "info"))[-1])

    info = talk(running, script)
    (program,) = info.tts
    assert program.supports_synthesize_streaming and program.installed
    assert {voice.name for voice in program.voices} == {"anna", "ben"}
    assert all(voice.languages == ["en"] and voice.installed for voice in program.voices)


@pytest.mark.parametrize("voice", [None, SynthesizeVoice(name="ben"), SynthesizeVoice(language="en")])
def test_synthesize(running: Running, voice: SynthesizeVoice | None) -> None:
    async def script(client: Any) -> list[Event]:
        await client.write_event(Synthesize(text=TEXT, voice=voice).event())
        return await until(client, "audio-stop")

    events = talk(running, script)
    kinds = [event.type for event in events]
    assert kinds[0] == "audio-start" and kinds[-1] == "audio-stop" and set(kinds[1:-1]) == {"audio-chunk"}
    assert events[0].data == {"rate": 24000, "width": 2, "channels": 1}
    assert all(event.data["rate"] == 24000 and 0 < len(event.payload) <= 4096 for event in events[1:-1])
    assert len(sound(events)) > 2000


def test_streaming_in_the_order_of_home_assistant(running: Running) -> None:
    async def script(client: Any) -> list[Event]:
        await client.write_event(SynthesizeStart(voice=SynthesizeVoice(name="anna")).event())
        for word in TEXT.split():
            await client.write_event(SynthesizeChunk(text=word + " ").event())
        await client.write_event(Synthesize(text=TEXT, voice=SynthesizeVoice(name="anna")).event())
        await client.write_event(SynthesizeStop().event())
        return await until(client, "synthesize-stopped")

    events = talk(running, script)
    kinds = [event.type for event in events]
    assert kinds.count("audio-start") == kinds.count("audio-stop") == 1
    assert kinds[-2:] == ["audio-stop", "synthesize-stopped"]
    assert len(sound(events)) > 2000


def test_empty_text_ends_too(running: Running) -> None:
    async def script(client: Any) -> list[str]:
        await client.write_event(SynthesizeStart().event())
        await client.write_event(SynthesizeStop().event())
        return [event.type for event in await until(client, "synthesize-stopped")]

    assert talk(running, script) == ["audio-start", "audio-stop", "synthesize-stopped"]


def test_a_text_that_was_never_ended_gives_way_to_the_next(running: Running) -> None:
    async def script(client: Any) -> list[str]:
        await client.write_event(SynthesizeStart().event())
        for event in (SynthesizeStart(), SynthesizeChunk(text=TEXT), SynthesizeStop()):
            await client.write_event(event.event())
        return [event.type for event in await until(client, "synthesize-stopped")]

    kinds = talk(running, script)
    assert kinds[0] == "audio-start" and kinds[-2:] == ["audio-stop", "synthesize-stopped"]


def test_ping_and_unknown_events_and_errors(running: Running) -> None:
    async def script(client: Any) -> tuple[Event, Event]:
        await client.write_event(Event(type="select-program", data={"name": "x"}))
        await client.write_event(Ping(text="hello").event())
        pong = (await until(client, "pong"))[-1]
        await client.write_event(Synthesize(text="Hi there.", voice=SynthesizeVoice(name="../../etc/passwd")).event())
        return pong, (await until(client, "error"))[-1]

    pong, error = talk(running, script)
    assert pong.data["text"] == "hello"
    assert error.type == "error" and error.data["code"] == "voice_not_found"


@pytest.mark.parametrize(
    "frame",
    [
        b"x" * 100_000 + b"\n",
        b"not json\n",
        b"[]\n",
        b'{"type": 5}\n',
        json.dumps({"type": "synthesize", "data_length": 10**12}).encode() + b"\n",
        json.dumps({"type": "synthesize", "payload_length": 5}).encode() + b"\nhello",
        json.dumps({"type": "synthesize", "data_length": -1}).encode() + b"\n",
        json.dumps({"type": "synthesize", "data": {"text": 5}}).encode() + b"\n",
        json.dumps({"type": "synthesize", "data": {"text": "a" * 5000}}).encode() + b"\n",
        b"[" * 60_000 + b"\n",
    ],
    ids=range(10),
)
def test_frames_of_strangers(running: Running, frame: bytes) -> None:
    async def run() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.server.wyoming.port)
        writer.write(frame)
        data = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        return data

    header = json.loads(asyncio.run(run()).split(b"\n")[0])
    assert header["type"] == "error"


def test_a_closed_socket_ends_the_work(running: Running) -> None:
    async def script(client: Any) -> None:
        await client.write_event(Synthesize(text=(TEXT + " ") * 60).event())
        await until(client, "audio-chunk")

    talk(running, script)
    assert running.idle()
