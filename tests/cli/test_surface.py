"""What the package shows: names, options, help, and how little it imports for that."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from dataclasses import fields

import pytest
from typer.testing import CliRunner

import tutortoietts
from tutortoietts.cli.main import app
from tutortoietts.cli.options import EngineOptions, StreamOptions, TuningOptions
from tutortoietts.core.options import SPEECH
from tutortoietts.core.presets import known_names
from tutortoietts.core.streaming import STREAM

HEAVY = ("torch", "numpy", "soundfile", "soxr", "tokenizers", "huggingface_hub", "inflect", "rich.progress")


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["models", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules]))\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "from tutortoietts.__main__ import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "HEAVY []"


@pytest.mark.parametrize("module", ["tutortoietts", "tutortoietts.cli.generate", "tutortoietts.cli.clone"])
def test_modules_run(module: str) -> None:
    result = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True)
    assert "Usage:" in result.stdout and result.stderr == ""


def test_public_names() -> None:
    for name in tutortoietts.__all__:
        assert getattr(tutortoietts, name) is not None
    assert set(tutortoietts.__all__) <= set(dir(tutortoietts))
    with pytest.raises(AttributeError, match="TextToSpech"):
        tutortoietts.TextToSpech  # noqa: B018


def test_every_option_of_the_api_is_on_the_command_line() -> None:
    assert {field.name for field in fields(TuningOptions)} == set(known_names())
    defaults = {name: p.default for name, p in inspect.signature(tutortoietts.TextToSpeech).parameters.items()}
    del defaults["shared_batch_rows"]  # a command makes one call at a time
    del defaults["phrase_cache"]  # generate --cache, serve --phrase-cache
    assert {field.name: field.default for field in fields(EngineOptions)} == defaults


def test_options_follow_their_declarations() -> None:
    """Name, limits and help of each option of speaking and streaming are those declared in core."""
    help_text = " ".join(CliRunner().invoke(app, ["generate", "--help"]).output.split())
    for name, one in {**SPEECH, **STREAM}.items():
        limits = f" [{one.limits_text}]" if one.limits_text else ""
        assert f"--{name.replace('_', '-')} " in help_text
        assert one.help + limits in help_text, name
    assert {field.name for field in fields(StreamOptions)} == set(STREAM)
    stream = inspect.signature(tutortoietts.TextToSpeech.tts_stream).parameters
    assert set(STREAM) <= set(stream)


def test_help_is_in_panels() -> None:
    output = CliRunner().invoke(app, ["generate", "--help"]).output
    titles = [line.removesuffix(":") for line in output.splitlines() if line.endswith(":") and line[0] != " "]
    assert titles == ["Arguments", "Speaking", "Streaming", "Sampling", "Model", "Other"]
    sections = dict(zip(titles, re.split(r"^\w+:$", output, flags=re.MULTILINE)[1:], strict=True))
    for option, title in {"--voice": "Speaking", "--decoder": "Streaming", "--top-p": "Sampling"}.items():
        assert [name for name, text in sections.items() if f"{option} " in text] == [title]
    assert "--device" in sections["Model"] and "--debug" in sections["Other"]
    plain = CliRunner().invoke(app, ["voices", "show", "--help"]).output
    assert "Options:" in plain and "Other:" not in plain


def test_no_arguments_show_the_help() -> None:
    for arguments in ([], ["voices"], ["models"]):
        result = CliRunner().invoke(app, arguments)
        assert "Usage:" in result.output and "Traceback" not in result.output
