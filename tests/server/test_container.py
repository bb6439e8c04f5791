"""The files for containers and services say what they must, and the scripts that they run do it."""

from __future__ import annotations

import configparser
import os
import pwd
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from serving import wait_for

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"


def instructions(name: str) -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", " ", (DOCKER / name).read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_dockerfiles(name: str) -> None:
    found = instructions(name)
    known = {"FROM", "RUN", "COPY", "USER", "VOLUME", "EXPOSE", "ENV", "HEALTHCHECK", "ENTRYPOINT"}
    assert {word for word, _ in found} <= known
    words = dict(found)
    assert words["USER"] == "speech" and words["VOLUME"] == "/data" and words["EXPOSE"] == "8880 10200"
    assert "/health.py" in words["HEALTHCHECK"] and "--start-period" in words["HEALTHCHECK"]
    for word, rest in found:
        if word == "COPY":
            assert all((ROOT / source).exists() for source in rest.split()[:-1])
    (index,) = re.findall(r"sh /opt/tutortoietts/install\.sh \S+ \S+ (\S+)", " ".join(rest for _, rest in found))
    assert index.endswith("cpu") is (name == "Dockerfile")


def test_compose() -> None:
    yaml = pytest.importorskip("yaml")
    service = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]["speech"]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert service["volumes"] == ["speech:/data"]
    from tutortoietts.server.settings import ServerSettings

    for name in service["environment"]:
        assert name.removeprefix("TUTORTOIETTS_SERVE_").lower() in ServerSettings.names()


def test_systemd_unit() -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(DOCKER / "tutortoietts.service")
    service = parser["Service"]
    assert service["DynamicUser"] == "yes" and service["ProtectSystem"] == "strict"
    assert service["ExecStart"].endswith("-m tutortoietts.cli.serve")


def test_the_install_script_asks_for_the_right_build(tmp_path: Path) -> None:
    log, venv = tmp_path / "asked", tmp_path / "venv"
    fake = tmp_path / "python"
    fake.write_text(
        f'#!/bin/sh\necho "$*" >>{log}\n[ "$2" = venv ] && mkdir -p "$3/bin" && cp "$0" "$3/bin/python"\nexit 0\n'
    )
    fake.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(fake), "TORCH": "9.9"}
    command = ["sh", str(DOCKER / "install.sh"), "/src", str(venv), "https://index.example/cpu"]
    subprocess.run(command, env=environment, check=True)
    asked = log.read_text().splitlines()
    assert "--index-url https://index.example/cpu torch==9.9" in asked[1]
    assert asked[2].endswith("/src[serve-audio]") and asked[3] == "-m tutortoietts.cli.serve --help"


def other_user() -> str | None:
    """A user that is not the one of the tests, if Python can be run as that one."""
    if os.getuid() != 0:
        return None
    try:
        pwd.getpwnam("nobody")
        probe = [sys.executable, "-c", "import torch, tutortoietts"]
        good = subprocess.run(probe, user="nobody", capture_output=True, env=dict(os.environ)).returncode == 0
    except (KeyError, OSError):
        return None
    return "nobody" if good else None


def test_a_container_starts_with_a_key_of_its_own(tmp_path: Path, streaming_model: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    user = other_user()
    if user:
        for path in (tmp_path, *tmp_path.parents[:3]):
            path.chmod(0o755)
        os.chown(data, pwd.getpwnam(user).pw_uid, -1)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TUTORTOIETTS")}
    environment |= {"DATA": str(data), "PYTHON": sys.executable, "TUTORTOIETTS_SERVE_PORT": "0"}
    environment["PYTHONPATH"] = str(ROOT / "src")
    command = ["sh", str(DOCKER / "entrypoint.sh"), "--model", str(streaming_model), "--no-warmup", "--device", "cpu"]
    process = subprocess.Popen(
        command, env=environment, cwd="/", stderr=subprocess.PIPE, text=True, user=user if user else None
    )
    try:
        assert process.stderr is not None
        lines = []
        while not (lines and lines[-1].startswith("OpenAI")):
            line = process.stderr.readline()
            assert line, lines
            lines.append(line.strip())
        assert "open to every machine that reaches it, with one of 1 API keys" in lines
        port = re.findall(r":(\d+)/v1", lines[-1])[0]
        key = (data / "api-keys").read_text().strip().removeprefix("first:")
        assert (data / "api-keys").stat().st_mode & 0o077 == 0
        health = {**environment, "TUTORTOIETTS_SERVE_PORT": port}
        assert subprocess.run([sys.executable, str(DOCKER / "health.py")], env=health).returncode == 0
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/audio/speech",
            data=b'{"input": "Hello there, this is private.", "response_format": "pcm"}',
            headers={"content-type": "application/json", "authorization": f"Bearer {key}"},
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            assert len(answer.read()) > 1000
        process.send_signal(signal.SIGTERM)
        assert wait_for(lambda: process.poll() is not None, 30)
        rest = process.stderr.read()
        assert process.returncode == 0, rest
        assert "characters=29" in rest and "private" not in rest and key not in rest
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
