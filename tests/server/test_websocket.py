"""The WebSocket: text as it is written, sound as it is made, cancel, limits. A real client over a real socket."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from serving import TEXT, Running, running_server
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tutortoietts.server.clauses import Clauses

PATH = "/v1/audio/speech/stream"
CONFIG = {"type": "session.config", "voice": "anna", "response_format": "pcm", "stream_audio": True, "seed": 3}


def opened(running: Running, **rest: Any) -> ClientConnection:
    return connect(running.url.replace("http", "ws") + PATH, **rest)


def send(socket: ClientConnection, *messages: dict[str, Any]) -> None:
    for message in messages:
        socket.send(json.dumps(message))


def receive(socket: ClientConnection, until: str = "session.done") -> list[Any]:
    found: list[Any] = []
    while True:
        message = socket.recv(timeout=30)
        found.append(message if isinstance(message, bytes) else json.loads(message))
        if isinstance(message, str) and found[-1]["type"] in (until, "error"):
            return found


def test_sentences_come_in_order_and_are_those_of_http(running: Running) -> None:
    with opened(running) as socket:
        assert socket.protocol.extensions == []
        send(socket, {**CONFIG, "split_granularity": "sentence"})
        for piece in ("One two three", " four. Five six ", "seven eight."):
            send(socket, {"type": "input.text", "text": piece})
        send(socket, {"type": "input.done"})
        messages = receive(socket)
    words = [message for message in messages if isinstance(message, dict)]
    assert [word["type"] for word in words] == ["audio.start", "audio.done"] * 2 + ["session.done"]
    assert [word["sentence_text"].strip() for word in words[0:4:2]] == ["One two three four.", "Five six seven eight."]
    assert words[0]["sample_rate"] == 24000 and words[0]["channels"] == 1 and words[0]["format"] == "pcm"
    assert words[-1] == {"type": "session.done", "utterance_index": 0, "total_sentences": 2}
    sounds = [b""]
    for message in messages[1:-1]:
        if isinstance(message, bytes):
            sounds[-1] += message
        elif message["type"] == "audio.start":
            sounds.append(b"")
    assert [len(sound) for sound in sounds] == [word["total_bytes"] for word in words[1:4:2]]
    http = running.post({"input": "One two three four.", "voice": "anna", "response_format": "pcm", "seed": 3})
    assert sounds[0] == http.content


def test_a_whole_file_a_sentence_and_several_utterances(running: Running) -> None:
    with opened(running) as socket:
        send(socket, {"type": "session.config"})
        for number in range(2):
            send(socket, {"type": "input.text", "text": TEXT}, {"type": "input.done"})
            messages = receive(socket)
            files = [message for message in messages if isinstance(message, bytes)]
            assert all(file.startswith(b"RIFF") for file in files)
            assert len(files) == messages[-1]["total_sentences"] and messages[-1]["utterance_index"] == number
        send(socket, {"type": "session.close"})
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
        assert closed.value.rcvd.code == 1000


def test_cancel_ends_the_work_and_the_session_goes_on(running: Running) -> None:
    with opened(running) as socket:
        send(socket, CONFIG, {"type": "input.text", "text": (TEXT + " ") * 30})
        while not isinstance(socket.recv(timeout=30), bytes):
            pass
        send(socket, {"type": "input.cancel"})
        messages = [message for message in receive(socket) if isinstance(message, dict)]
        assert [message["type"] for message in messages][-2:] == ["audio.done", "session.done"]
        assert messages[-1]["cancelled"] is True
        assert running.idle()
        send(socket, {"type": "input.text", "text": "Again."}, {"type": "input.done"})
        assert receive(socket)[-1]["total_sentences"] == 1


def test_a_closed_socket_ends_the_work(running: Running) -> None:
    with opened(running) as socket:
        send(socket, CONFIG, {"type": "input.text", "text": (TEXT + " ") * 30})
        while not isinstance(socket.recv(timeout=30), bytes):
            pass
    assert running.idle()


def test_an_utterance_without_words_is_done_at_once(running: Running) -> None:
    with opened(running) as socket:
        send(socket, CONFIG, {"type": "input.text", "text": " ... "}, {"type": "input.done"})
        assert receive(socket) == [{"type": "session.done", "utterance_index": 0, "total_sentences": 0}]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "what"}, "unknown_type"),
        ({"type": "input.text", "text": 5}, "invalid_request_error"),
        ({"type": "input.text", "text": "a" * 20000}, "invalid_request_error"),
        ({"type": "session.config", "voice": "zoe"}, "voice_not_found"),
        ({"type": "session.config", "speed": 99}, "invalid_request_error"),
        ({"type": "session.config", "split_granularity": "word"}, "invalid_request_error"),
    ],
)
def test_errors_are_told_and_do_not_end_the_session(running: Running, message: dict[str, Any], code: str) -> None:
    with opened(running) as socket:
        send(socket, CONFIG, message)
        error = receive(socket)[-1]
        assert (error["type"], error["code"]) == ("error", code)
        send(socket, {"type": "input.text", "text": "Hello there."}, {"type": "input.done"})
        assert receive(socket)[-1]["type"] == "session.done"


def test_frames_that_are_no_messages(running: Running) -> None:
    with opened(running) as socket:
        send(socket, CONFIG)
        socket.send(b"\x00\x01")
        assert receive(socket)[-1]["code"] == "invalid_message"
        socket.send("{")
        assert receive(socket)[-1]["code"] == "invalid_json"


def test_the_first_message_must_be_a_good_config(running: Running) -> None:
    for message in ({"type": "input.text", "text": "Hello"}, {"type": "session.config", "voice": "zoe"}):
        with opened(running) as socket:
            send(socket, message)
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    socket.recv(timeout=10)
            assert closed.value.rcvd.code == 1008


def test_too_large_a_frame_and_too_long_an_utterance(running: Running) -> None:
    with opened(running) as socket:
        send(socket, CONFIG)
        with pytest.raises(ConnectionClosed) as closed:
            send(socket, {"type": "input.text", "text": "a" * 70000})
            while True:
                socket.recv(timeout=10)
        assert closed.value.rcvd.code == 1009
    with opened(running) as socket:
        send(socket, {**CONFIG, "split_granularity": "none"}, {"type": "input.text", "text": "a" * 4096})
        send(socket, {"type": "input.text", "text": "a"})
        assert receive(socket)[-1]["code"] == "string_above_max_length"


def test_keys_of_browsers_and_foreign_pages(streaming_model, tmp_path) -> None:
    key = "0123456789abcdef"
    with running_server(streaming_model, keys={"me": key}) as running:
        coded = base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
        with opened(running, subprotocols=["tutortoietts", f"key.{coded}"]) as socket:
            assert socket.subprotocol == "tutortoietts"
        with opened(running, additional_headers={"Authorization": f"Bearer {key}"}):
            pass
        for headers in ({}, {"Authorization": "Bearer wrong-wrong-wrong"}):
            with pytest.raises(InvalidStatus) as refused, opened(running, additional_headers=headers):
                pass
            assert refused.value.response.status_code == 401
        with pytest.raises(InvalidStatus) as refused, opened(running, origin="https://evil.example"):
            pass
        assert refused.value.response.status_code == 403


@pytest.mark.parametrize("granularity", ["none", "sentence", "clause"])
@pytest.mark.parametrize("size", [1, 3, 50])
def test_cutting_loses_nothing(granularity: str, size: int) -> None:
    text = 'Dr. Smith paid $3.14, e.g. "today." Then, after a long while and many more words, he left! ' + "word " * 120
    clauses = Clauses(granularity)
    pieces = [piece for at in range(0, len(text), size) for piece in clauses.push(text[at : at + size])]
    pieces += clauses.flush()
    assert "".join(pieces) == text
    if granularity == "none":
        assert len(pieces) == 1
    if granularity == "sentence":
        assert pieces[0].startswith("Dr. Smith paid $3.14, e.g.") and pieces[1].lstrip().startswith("Then")
    if granularity == "clause":
        assert len(pieces[0]) < len(text) / 4
