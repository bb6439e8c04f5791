"""What the set-up scripts ask pip for, with a Python that only writes down what it is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[1] / "scripts" / "_setup.sh"
CPU_INDEX = "--index-url https://download.pytorch.org/whl/cpu"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="which build of torch pip takes is a matter of Linux")


def asked_of_pip(folder: Path, *, gpu: bool = False, reachable: bool = True, **variables: str) -> list[str]:
    """The arguments of every `pip install` of `install_torch`."""
    log = folder / "asked"
    python = folder / "python"
    refused = "" if reachable else "case $* in *whl/cpu*) exit 1;; esac"
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exit 1\necho "$*" >>{log}\n{refused}\nexit 0\n')
    python.chmod(0o755)
    machine = f"have_nvidia_gpu() {{ {'true' if gpu else 'false'}; }}"
    known = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "TUTORTOIETTS_"))}
    command = f". {SETUP}; PYTHON_ENV={python}; {machine}; install_torch"
    settings = {**known, "TUTORTOIETTS_NO_UV": "1", **variables}
    subprocess.run(["bash", "-euc", command], env=settings, check=True, capture_output=True)
    return log.read_text().splitlines()


def test_pip_takes_the_build_for_the_processor(tmp_path: Path) -> None:
    (line,) = asked_of_pip(tmp_path, TUTORTOIETTS_TORCH="2.0.1")
    assert CPU_INDEX in line and line.endswith("torch==2.0.1")


def test_the_usual_index_is_the_second_choice(tmp_path: Path) -> None:
    first, second = asked_of_pip(tmp_path, reachable=False)
    assert CPU_INDEX in first and "--index-url" not in second


@pytest.mark.parametrize(
    ("gpu", "variables", "index"),
    [
        (True, {}, None),
        (False, {"PIP_FIND_LINKS": "/wheels"}, None),
        (False, {"TUTORTOIETTS_TORCH_INDEX": "https://example.org/cu"}, "https://example.org/cu"),
    ],
)
def test_what_is_named_comes_first(tmp_path: Path, gpu: bool, variables: dict[str, str], index: str | None) -> None:
    (line,) = asked_of_pip(tmp_path, gpu=gpu, **variables)
    assert (f"--index-url {index}" in line) if index else ("--index-url" not in line)
