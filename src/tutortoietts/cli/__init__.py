"""The command line: parsing and printing only. Nothing here imports torch before a command runs."""

from __future__ import annotations

__all__ = ["run"]


def run() -> None:
    """Run the console command `tutortoietts`; leaves by SystemExit."""
    try:
        from tutortoietts.cli.main import app

        app(prog_name="tutortoietts")
    except KeyboardInterrupt:  # before a command begins
        raise SystemExit(130) from None
