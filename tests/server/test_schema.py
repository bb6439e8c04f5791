"""schemathesis against /openapi.json: what it makes of the schema is answered as the schema says, never with a 500."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving import running_server

EXAMPLES = os.environ.get("SCHEMA_EXAMPLES", "5")
UNTRUE = "positive_data_acceptance"  # a text that fits the schema may have nothing sayable in it, a clip no sound


@pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="schemathesis is not installed")
def test_schemathesis_finds_nothing(streaming_model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis as run; run()", "run"]
    options = ["--max-examples", EXAMPLES, "--seed", "1", "--exclude-checks", UNTRUE, "--continue-on-failure"]
    with running_server(streaming_model, max_input=200) as running:
        document = f"{running.url}/openapi.json"
        found = subprocess.run([*command, document, *options], cwd=tmp_path, capture_output=True, text=True)
        assert running.idle()
    assert found.returncode == 0, found.stdout[-5000:] + found.stderr[-2000:]
