"""`tutortoietts serve` as typed: what it refuses, before any model is loaded."""

from __future__ import annotations

import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from serving import wait_for
from typer.testing import CliRunner

from tutortoietts.cli.main import app
from tutortoietts.cli.serve import PREFIX, until_signal
from tutortoietts.server.settings import OPENAI_VOICES, voice_aliases

CASES = [
    (["--host", "0.0.0.0"], "--insecure", 2),
    (["--host", "no.such.name.invalid"], "--insecure", 2),
    (["--port", "99999"], "99999", 2),
    (["--max-rows", "0"], "max_rows", 2),
    (["--queue-timeout", "nan"], "queue_timeout", 2),
    (["--wyoming", "yes"], "--wyoming", 2),
    (["--voice-alias", "alloy"], "NAME=VOICE", 2),
    (["--cors-origin", "*"], "cors_origin", 2),
    (["--api-key-file", "/nowhere/keys"], "/nowhere/keys", 2),
    (["--ssl-certfile", "a.pem"], "belong together", 2),
    (["--root-path", "tts"], "root_path", 2),
]


@pytest.mark.parametrize(("words", "told", "code"), CASES, ids=[" ".join(words) for words, _, _ in CASES])
def test_what_is_wrong_is_told_in_one_line(words: list[str], told: str, code: int) -> None:
    result = CliRunner().invoke(app, ["serve", *words])
    assert result.exit_code == code, result.output
    assert told in result.stderr.splitlines()[-1] and "Traceback" not in result.output


def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = CliRunner().invoke(app, ["serve", "--port", str(taken.getsockname()[1])])
    assert result.exit_code == 1 and "give another --port" in result.stderr


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "HOST", "0.0.0.0")
    monkeypatch.setenv(PREFIX + "API_KEY", "short")
    result = CliRunner().invoke(app, ["serve"])
    assert result.exit_code == 2 and "16 or more" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cluster_is_served_until_a_signal_comes(number: signal.Signals) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with ThreadPoolExecutor(1) as pool:
        try:
            signal.signal(number, signal.SIG_IGN)  # as somebody else's
            pool.submit(lambda: wait_for(lambda: callable(signal.getsignal(number))) and os.kill(os.getpid(), number))
            until_signal()
            assert signal.getsignal(number) == signal.SIG_DFL  # a second one ends the process
        finally:
            for one, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
                signal.signal(one, handler)


def test_ray_has_no_use_for_what_belongs_to_one_server() -> None:
    result = CliRunner().invoke(app, ["serve", "--ray", "local", "--wyoming", "10200"])
    assert result.exit_code == 2 and "wyoming belongs to a server of its own" in result.stderr


def test_the_names_of_openai_are_voices_of_the_bundled_model() -> None:
    aliases = voice_aliases(["Alloy=owen", "me=clara"], "bundled")
    assert set(OPENAI_VOICES) < set(aliases)
    assert (aliases["alloy"], aliases["me"], aliases["onyx"]) == ("owen", "clara", "joe")
    assert voice_aliases([], "tortoise-v2") == {}
