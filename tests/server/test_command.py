"""`tutortoietts serve` as typed: what it refuses, before any model is loaded."""

from __future__ import annotations

import socket

import pytest
from typer.testing import CliRunner

from tutortoietts.cli.main import app
from tutortoietts.cli.serve import PREFIX
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


def test_the_names_of_openai_are_voices_of_the_bundled_model() -> None:
    aliases = voice_aliases(["Alloy=kal16", "me=slt"], "bundled")
    assert set(OPENAI_VOICES) < set(aliases)
    assert (aliases["alloy"], aliases["me"], aliases["onyx"]) == ("kal16", "slt", "rms")
    assert voice_aliases([], "tortoise-v2") == {}
