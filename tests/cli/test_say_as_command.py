"""`tutortoietts say-as`."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from tutortoietts.cli.main import app

TEXT = "Dr. Smith paid $5. [Who?]"


def test_passages_as_json() -> None:
    result = CliRunner().invoke(app, ["say-as", TEXT, "--json"])
    assert json.loads(result.stdout) == {"passages": [{"text": TEXT, "spoken": "doctor smith paid five dollars."}]}


def test_lines_from_stdin_in_another_language() -> None:
    result = CliRunner().invoke(app, ["say-as", "--language", "en-GB"], input="It is 3/4/2024.")
    assert result.stdout == "it is the third of april, twenty twenty-four.\n"


def test_without_the_normaliser() -> None:
    result = CliRunner().invoke(app, ["say-as", "$5.05 for Dr. Lee", "--no-normalize"])
    assert result.stdout == "five dollars, five cents for doctor lee\n"


def test_what_cannot_be_said() -> None:
    for arguments, message in [(["--", "---"], "nothing to say"), (["Hi.", "--language", "xx"], "language")]:
        result = CliRunner().invoke(app, ["say-as", *arguments])
        assert result.exit_code == 2 and message in result.stderr and result.stderr.count("\n") == 1
