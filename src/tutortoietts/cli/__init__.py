"""The command line: parsing and printing only. Nothing here imports torch before a command runs."""

from __future__ import annotations

import sys

__all__ = ["run"]


def run() -> None:
    """Run the console command `tutortoietts`; leaves by SystemExit."""
    from tutortoietts.cli import signals

    signals.install()
    code: object = 0
    try:
        from tutortoietts.cli.main import app

        app(prog_name="tutortoietts")
    except SystemExit as leaving:
        code = leaving.code
        if signals.received() is not None:
            from tutortoietts.cli.common import say_stop

            code = say_stop(again=False)
        elif type(sys.stdout).__name__ == "PacifyFlushWrapper":  # the reader of a help page went away
            code = 0
    except KeyboardInterrupt:  # outside a command, in which it is said
        from tutortoietts.cli.common import say_stop

        code = say_stop(again=False)
    finally:
        signals.restore()
    _leave(code)


def _leave(code: object) -> None:
    """End the process; a reader of stdout that went away is no error."""
    from tutortoietts.cli.common import hush

    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        hush(sys.stdout)
    raise SystemExit(code)
