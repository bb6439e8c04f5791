"""The command line as a person meets it: a folder to stand in, a tiny model, and what a refusal must look like."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy
import soundfile
from typer.testing import CliRunner, Result

from tutortoietts.cli.main import app


@dataclass(frozen=True)
class Shell:
    """Runs `tutortoietts ...` in `folder` with the tiny model."""

    folder: Path
    model: Path

    def __call__(self, *arguments: object, stdin: str | bytes | None = None) -> Result:
        words = [str(argument) for argument in arguments]
        if words[0] in ("generate", "clone", "doctor") and "--model" not in words:
            words += ["--model", str(self.model)]
        return CliRunner().invoke(app, words, input=stdin)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if not path.is_dir())


def write_clip(path: Path, seconds: float = 1.0, rate: int = 22050, channels: int = 1, level: float = 0.3) -> Path:
    noise = numpy.random.default_rng(len(path.name)).standard_normal((round(seconds * rate), channels))
    soundfile.write(path, level * noise.clip(-1, 1), rate)
    return path


def one_line(result: Result, code: int, *words: str) -> None:
    """The result failed with `code` and one error line that holds `words`."""
    errors = [line for line in result.stderr.splitlines() if line.lower().startswith("error")]
    assert (result.exit_code, len(errors)) == (code, 1), result.output
    assert "Traceback" not in result.output
    assert all(word.lower() in errors[0].lower() for word in words), errors[0]
