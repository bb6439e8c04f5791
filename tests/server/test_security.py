"""One attack for each row of the list of risks: what a stranger, or a stranger's page, may not do."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import soundfile
import torch
from serving import TEXT, Running, clip, running_server, wait_for
from test_lists import add

from tutortoietts.core.errors import OptionError
from tutortoietts.server import guard, run, uploads
from tutortoietts.server.keys import Keyring, Limits, read_keys
from tutortoietts.server.settings import ServerSettings

KEY, OTHER = "first-key-0123456789", "second-key-0123456789"
HEAD = "POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SPEECH = {"input": "Hello there.", "response_format": "pcm"}

NAMES = (
    "../anna", "..\\anna", "%2e%2e%2fanna", "anna\0", "/etc/passwd", "~", "~/voices", "a" * 10_000, "CON", "..", ".",
    "./anna", "anna/", "cafe\u0301", "<script>alert(1)</script>", "anna.safetensors", "C:\\anna", "\u202eanna",
)  # fmt: skip


@pytest.fixture(scope="module")
def locked(streaming_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with two keys, no cloning."""
    with running_server(
        streaming_model,
        keys={"one": KEY, "two": OTHER},
        cloning=False,
        key_concurrency=1,
        cors_origins=("https://a.example",),
    ) as made:
        yield made


# Path traversal.


@pytest.mark.parametrize("name", NAMES)
def test_a_voice_is_a_name_and_never_a_path(running: Running, tmp_path: Path, name: str) -> None:
    answer = running.post({**SPEECH, "voice": name})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "voice"
    assert "passwd" not in answer.text or "/etc/passwd" in name
    assert str(running.server.engine.voices._store.folder) not in answer.text


@pytest.mark.parametrize("name", NAMES)
def test_voices_are_deleted_sampled_and_added_by_name_only(running: Running, name: str) -> None:
    quoted = httpx.QueryParams({"n": name}).__str__()[2:].replace("+", "%20")
    before = sorted(path.name for path in running.server.engine.voices._store.folder.parent.rglob("*"))
    assert running.client.delete(f"/v1/audio/voices/{quoted}").status_code in (404, 405, 400)
    assert running.client.get(f"/v1/audio/voices/{quoted}/sample").status_code in (404, 405, 400)
    if name not in ("CON", "cafe\u0301", "anna.safetensors"):
        assert add(running, name).status_code == 400
        assert sorted(path.name for path in running.server.engine.voices._store.folder.parent.rglob("*")) == before


def test_a_file_named_like_a_voice_is_not_read(running: Running, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "secret.wav").write_bytes(clip())
    monkeypatch.chdir(tmp_path)
    assert running.post({**SPEECH, "voice": "secret.wav"}).status_code == 400


def test_composed_and_decomposed_names_are_one(running: Running) -> None:
    assert add(running, "cafe\u0301").json()["id"] == "caf\u00e9"
    assert running.client.delete("/v1/audio/voices/caf%C3%A9").status_code == 200


# Sizes.


def test_a_large_body_is_refused_by_its_length_and_by_its_bytes(running: Running) -> None:
    large = json.dumps({"input": "a" * 300_000}).encode()
    answer = running.client.post("/v1/audio/speech", content=large, headers={"content-type": "application/json"})
    assert answer.status_code == 413 and answer.headers["connection"] == "close"
    answer = running.client.post(
        "/v1/audio/speech",
        content=iter([large[:200_000], large[200_000:]]),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 413


@pytest.mark.parametrize("length", ["-1", "1e9", "9" * 30, "\u0661"])
def test_odd_lengths(running: Running, length: str) -> None:
    answer = raw(running, f"{HEAD}Content-Length: {length}\r\n\r\n{{}}".encode())
    assert answer.split()[1] in (b"400", b"413")


def test_large_headers_are_refused(running: Running) -> None:
    assert running.client.get("/health", headers={"x-a": "a" * 40_000}).status_code in (400, 431)
    many = {f"x-{n}": "a" * 1000 for n in range(40)}
    assert running.client.get("/health", headers=many).status_code in (400, 431)


def test_uploads_are_bounded_in_number_and_size(running: Running, monkeypatch) -> None:
    files = [("audio_sample", ("a.wav", clip(), "audio/wav"))] * 11
    form = {"name": "erna", "consent": "yes"}
    assert running.client.post("/v1/audio/voices", data=form, files=files).status_code == 400
    monkeypatch.setattr(uploads, "CLIP_BYTES", 1000)
    assert add(running, "erna").status_code == 413
    monkeypatch.setattr(guard, "UPLOAD_LIMIT", 5000)
    assert add(running, "erna").status_code == 413
    many = {f"field{n}": "x" for n in range(30)}
    assert running.client.post("/v1/audio/voices", data={**form, **many}, files=files[:1]).status_code in (400, 413)


# Types and bombs.


def encoded(samples: torch.Tensor, rate: int, form: str, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples.numpy(), rate, format=form, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"RIFF" + b"\0" * 100,
        b"fLaC" + b"\xff" * 500,
        b"OggS" + b"\x00" * 500,
        b"ID3" + b"\x04" * 500,
        b"\xff\xfb" * 200,
        clip()[:60],
        clip(0.1),
        clip(61),
        clip()[:44] + b"\0" * 90_000,
        b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        b"<svg onload=alert(1)>",
    ],
    ids=range(13),
)
def test_what_is_no_clip_is_refused(running: Running, data: bytes) -> None:
    answer = add(running, "erna", data)
    assert answer.status_code == 400 and "erna" not in running.client.get("/v1/audio/voices").text
    assert not list(Path(tempfile.gettempdir()).glob("tutortoietts-*"))


def test_a_minute_of_silence_in_a_small_file_is_not_unpacked(running: Running) -> None:
    bomb = encoded(torch.zeros(3600 * 8000, dtype=torch.int16), 8000, "FLAC", "PCM_16")
    assert len(bomb) < uploads.CLIP_BYTES
    assert "lasts" in add(running, "erna", bomb).json()["error"]["message"]
    channels = encoded(torch.zeros(8000, 16), 8000, "WAV", "PCM_16")
    assert "channels" in add(running, "erna", channels).json()["error"]["message"]


# Cloning.


def test_cloning_is_off_unless_allowed(locked: Running) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    files = [("audio_sample", ("a.wav", clip(), "audio/wav"))]
    form = {"name": "erna", "consent": "yes"}
    answer = locked.client.post("/v1/audio/voices", data=form, files=files, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "cloning_off")
    assert locked.client.delete("/v1/audio/voices/anna", headers=headers).status_code == 403
    assert ServerSettings(host="127.0.0.1").clones
    assert not ServerSettings(host="0.0.0.0", insecure=True).clones


# Keys.


def test_an_open_address_needs_a_key() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(OptionError, match="--insecure"):
            ServerSettings(host=host)
        assert ServerSettings(host=host, insecure=True) and ServerSettings(host=host, keys={"a": KEY})
    with pytest.raises(OptionError, match="Wyoming"):
        ServerSettings(host="0.0.0.0", keys={"a": KEY}, wyoming=10200)
    assert ServerSettings(host="0.0.0.0", keys={"a": KEY}, wyoming=10200, wyoming_host="127.0.0.1")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": f"Bearer {KEY[:-1]}"}, 401),
        ({"authorization": f"Bearer {KEY}x"}, 401),
        ({"authorization": f"Basic {KEY}"}, 401),
        ({"authorization": "Bearer \xff\xfe"}, 401),
        ({"authorization": f"bearer {KEY}"}, 200),
        ({"xi-api-key": OTHER}, 200),
    ],
)
def test_keys(locked: Running, headers: dict[str, str], status: int) -> None:
    raw_headers = [(name, value.encode("latin-1")) for name, value in headers.items()]
    answer = locked.client.post("/v1/audio/speech", json=SPEECH, headers=raw_headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "invalid_api_key"
    assert locked.client.post(f"/v1/audio/speech?key={KEY}&api_key={KEY}", json=SPEECH).status_code == 401


def test_what_is_open_without_a_key(locked: Running) -> None:
    for path in ("/health", "/v1/models", "/v1/audio/models", "/v1/audio/voices", "/", "/ui/app.js", "/openapi.json"):
        assert locked.client.get(path).status_code == 200, path
    for path in ("/metrics", "/v1/audio/voices/anna/sample", "/nothing", "/ui/../metrics"):
        assert locked.client.get(path).status_code in (401, 404), path


def test_an_empty_key_passes_only_where_none_is_set(running: Running, locked: Running) -> None:
    body = json.dumps(SPEECH)
    head = f"{HEAD}Authorization: Bearer \r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    assert raw(running, (head + body).encode()).startswith(b"HTTP/1.1 200")
    assert raw(locked, (head + body).encode()).startswith(b"HTTP/1.1 401")


def test_keys_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# ours\nlaptop:{KEY}\n\n{OTHER}\n")
    assert read_keys(file, None) == {"laptop": KEY, "key2": OTHER}
    assert read_keys(None, KEY) == {"key1": KEY}
    for bad in ("", "short", "a b:0123456789abcdef", "x:\u00e40123456789abcdef"):
        file.write_text(bad)
        with pytest.raises(OptionError):
            read_keys(file, None)
    with pytest.raises(OptionError):
        read_keys(tmp_path / "none", None)


def test_every_key_is_compared(monkeypatch) -> None:
    import hmac

    seen = []
    real = hmac.compare_digest
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: seen.append(1) or real(a, b))
    assert Keyring({"a": KEY, "b": OTHER}).name_of(KEY) == "a"
    assert len(seen) == 2


def test_the_log_has_neither_text_nor_key(locked: Running, caplog) -> None:
    with caplog.at_level(logging.DEBUG, "tutortoietts.server"):
        locked.client.post("/v1/audio/speech", json=SPEECH, headers={"authorization": f"Bearer {KEY}"})
        assert wait_for(lambda: "key=one" in caplog.text)
    assert "characters=12" in caplog.text
    lines = "".join(record.getMessage() for record in caplog.records if record.name.startswith("tutortoietts.server"))
    assert KEY not in lines and "Hello" not in lines


# Limits of a key.


def test_a_key_has_its_limits() -> None:
    now = [0.0]
    limits = Limits(ServerSettings(key_concurrency=2, key_rate=60.0), lambda: now[0])
    limits.enter("a")
    limits.enter("a")
    with pytest.raises(Exception, match="2 requests running") as refused:
        limits.enter("a")
    assert refused.value.status == 429 and refused.value.code == "concurrency_exceeded"
    limits.enter("b")
    for _ in range(8):
        limits.leave("a")
        limits.enter("a")
    limits.leave("a")
    with pytest.raises(Exception, match="60 requests a minute") as refused:
        limits.enter("a")
    assert refused.value.headers["retry-after"] == "1"
    now[0] += 1.0
    limits.enter("a")
    for _ in range(100):
        limits.enter("")


# Browsers.


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "127.0.0.1.evil.example"]
)
def test_other_names_are_refused(running: Running, host: str) -> None:
    answer = running.client.get("/v1/models", headers={"host": host})
    assert answer.status_code in (400, 403)


@pytest.mark.parametrize("host", ["localhost:1234", "127.0.0.1", "[::1]:8880", "192.168.1.7:8880", "LOCALHOST"])
def test_own_names_are_not(running: Running, host: str) -> None:
    assert running.client.get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:1", "file://", "http://127.0.0.1.evil.example"]
)
def test_other_pages_cannot_speak_or_add_voices(running: Running, origin: str) -> None:
    answer = running.post(SPEECH, headers={"origin": origin})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_refused")
    assert "access-control-allow-origin" not in answer.headers
    files = [("audio_sample", ("a.wav", clip(), "audio/wav"))]
    form = {"name": "erna", "consent": "yes"}
    answer = running.client.post("/v1/audio/voices", data=form, files=files, headers={"origin": origin})
    assert answer.status_code == 403
    answer = running.client.delete("/v1/audio/voices/anna", headers={"origin": origin})
    assert answer.json()["error"]["code"] == "origin_refused"


def test_no_get_of_another_page_costs_work(running: Running) -> None:
    path = "/v1/audio/voices/anna/sample?format=flac"
    assert running.client.get(path, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert running.client.get(path, headers={"sec-fetch-site": "same-origin"}).status_code == 200


def test_the_own_page_may(running: Running) -> None:
    assert running.post(SPEECH, headers={"origin": running.url}).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
def test_only_json_needs_no_preflight_to_be_refused(running: Running, kind: str) -> None:
    answer = running.client.post("/v1/audio/speech", content=b'{"input": "Hi"}', headers={"content-type": kind})
    assert answer.status_code == 415


def test_compressed_bodies_are_refused(running: Running) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert running.client.post("/v1/audio/speech", content=b"x", headers=headers).status_code == 415


def test_cors_is_off_but_for_named_origins(locked: Running, running: Running) -> None:
    ask = {"origin": "https://a.example", "access-control-request-method": "POST"}
    assert running.client.options("/v1/audio/speech", headers=ask).status_code == 403
    allowed = locked.client.options("/v1/audio/speech", headers=ask)
    assert allowed.status_code == 204 and allowed.headers["access-control-allow-origin"] == "https://a.example"
    assert "access-control-allow-credentials" not in allowed.headers
    answer = locked.post(SPEECH, headers={"origin": "https://a.example", "authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == "https://a.example"
    for origin in ("https://a.example.evil", "http://a.example"):
        ask = {"origin": origin, "access-control-request-method": "POST"}
        assert locked.client.options("/v1/audio/speech", headers=ask).status_code == 403
    with pytest.raises(OptionError):
        ServerSettings(cors_origins=("*",))


# No addresses in fields.


@pytest.mark.parametrize("field", ["voice", "ref_audio", "voice_url", "model"])
def test_no_field_takes_an_address(running: Running, field: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.0)
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/x.wav"
        answer = running.post({**SPEECH, field: url})
        assert answer.status_code in (200, 400, 404)
        with pytest.raises(BlockingIOError):
            trap.accept()


# Slow clients.


def raw(running: Running, data: bytes, seconds: float = 20.0) -> bytes:
    with socket.create_connection(("127.0.0.1", running.server.port), timeout=seconds) as made:
        made.sendall(data)
        received = b""
        try:
            while not received.endswith(b"}") and (more := made.recv(65536)):
                received += more
        except ConnectionResetError:
            pass
        return received


def test_half_a_header_and_half_a_body_are_not_waited_for(streaming_model: Path, monkeypatch) -> None:
    monkeypatch.setattr(run, "HEADER_SECONDS", 0.2)
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.2)
    with running_server(streaming_model) as running:
        assert raw(running, b"POST /v1/audio/speech HTTP/1.1\r\nHost: local") == b""
        assert raw(running, f'{HEAD}Content-Length: 50\r\n\r\n{{"in'.encode()).startswith(b"HTTP/1.1 408")
        assert running.client.get("/health").status_code == 200


def test_a_client_that_reads_nothing_is_left(streaming_model: Path) -> None:
    with running_server(streaming_model, reader_timeout=0.3, ahead_seconds=0.5) as running:
        body = json.dumps({"input": (TEXT + " ") * 80, "response_format": "wav", "sample_rate": 48000}).encode()
        head = f"{HEAD}Content-Length: {len(body)}\r\n\r\n"
        with socket.socket() as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            made.connect(("127.0.0.1", running.server.port))
            made.sendall(head.encode() + body)
            assert wait_for(lambda: running.server.engine.running > 0)
            assert running.idle()


def test_too_many_connections_are_refused(streaming_model: Path) -> None:
    with running_server(streaming_model, connections=3) as running:
        held = [socket.create_connection(("127.0.0.1", running.server.port)) for _ in range(4)]
        try:
            assert running.client.get("/health").status_code == 503
        finally:
            for made in held:
                made.close()
        assert wait_for(lambda: running.client.get("/health").status_code == 200)


# Proxies, output.


def test_proxy_headers_are_not_believed(running: Running) -> None:
    assert running.server.config.proxy_headers is False
    config = run._config(ServerSettings(forwarded_allow_ips="10.0.0.1"), running.server.engine)
    assert config.proxy_headers is True and config.forwarded_allow_ips == "10.0.0.1"


def test_every_answer_is_dressed(running: Running) -> None:
    answers = [running.client.get(path) for path in ("/", "/ui/app.js", "/health", "/nothing", "/v1/models")]
    answers.append(running.post(SPEECH))
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers


def test_text_of_users_cannot_make_headers(running: Running) -> None:
    answer = running.post({**SPEECH, "x\r\nset-cookie: a=b": 1, "\u00e9": 2})
    assert answer.status_code == 200 and "set-cookie" not in answer.headers
    assert answer.headers["x-tutortoietts-ignored"] == "x%0D%0Aset-cookie%3A%20a%3Db, %C3%A9"


# Work.


@pytest.mark.parametrize(
    "text",
    ["[" * 4000, "1" * 4000, "(" * 2000 + ")" * 2000, "a-" * 2000, "\u0301" * 4000, "$1," * 1300, "." * 4000 + "a"],
)
def test_text_that_is_hard_to_read_takes_no_time(running: Running, text: str) -> None:
    async def ask() -> int:
        async with httpx.AsyncClient(base_url=running.url, timeout=60, trust_env=False) as client:
            body = {"input": text, "response_format": "pcm"}
            async with client.stream("POST", "/v1/audio/speech", json=body) as answer:
                return answer.status_code

    began = time.monotonic()
    assert asyncio.run(ask()) in (200, 400)
    assert running.idle()
    assert time.monotonic() - began < 60
