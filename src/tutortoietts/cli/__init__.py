"""The command line: parsing and printing only. Nothing here imports torch before a command runs."""

from __future__ import annotations

__all__ = ["run"]


def run() -> None:
    """The console command `tutortoietts`; leaves by SystemExit."""
    from tutortoietts.cli.main import app

    app(prog_name="tutortoietts")
