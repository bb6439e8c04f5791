"""What every command shares: one line for an error, the exit codes, and where lines go.

Data goes to stdout; progress, warnings, reports and errors go to stderr.
Exit codes: 0 done, 1 failed, 2 wrong usage (options, text, voice names), 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import errno
import functools
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer

from tutortoietts.core.errors import Cancelled, OptionError, TextError, TutortoieError, VoiceError

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
USAGE_ERRORS = (OptionError, TextError, VoiceError)

P = ParamSpec("P")
R = TypeVar("R")

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel="Other")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def new_app(help_text: str) -> typer.Typer:
    """A Typer application with plain help and our own error lines."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def say(line: str = "") -> None:
    """One line for the person, on stderr."""
    print(line, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Data for programs, on stdout; escaped where stdout cannot hold it (file names that are not UTF-8)."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2, default=str)
    print(text)


def fail(message: str, code: int) -> NoReturn:
    """Print the one line of an error and leave with `code`."""
    say("error: " + " ".join(message.split()))
    raise typer.Exit(code)


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """A command that ends in one clear line and an exit code instead of a traceback (unless --debug)."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        debug = bool(kwargs.get("debug")) or bool(os.environ.get("TUTORTOIETTS_DEBUG"))
        try:
            with warnings_as_lines(), termination_raised():
                return command(*args, **kwargs)
        except typer.Exit:
            raise
        except Terminated:
            fail("terminated; nothing was left half-written", EXIT_TERMINATED)
        except (KeyboardInterrupt, Cancelled):
            fail("interrupted; nothing was left half-written", EXIT_INTERRUPTED)
        except Exception as error:
            if debug:
                traceback.print_exc()
            fail(*explain(error))

    return run


def explain(error: Exception) -> tuple[str, int]:
    """The line for an error and the exit code it deserves."""
    if isinstance(error, TutortoieError):
        return str(error), EXIT_USAGE if isinstance(error, USAGE_ERRORS) else EXIT_FAILURE
    if isinstance(error, BrokenPipeError):
        hush_stdout()
        return "the reader of the output went away", EXIT_FAILURE
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"disk full while writing {error.filename or 'the output'}: free some space and try again", EXIT_FAILURE
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", EXIT_FAILURE
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return (
            "out of memory: try fewer candidates (--num-autoregressive-samples), "
            "--autoregressive-batch-size 1, --half or a shorter text",
            EXIT_FAILURE,
        )
    return f"unexpected {type(error).__name__}: {error} (--debug shows the traceback)", EXIT_FAILURE


def hush_stdout() -> None:
    """Keep the interpreter from writing to a closed stdout once more on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Terminated(KeyboardInterrupt):
    """SIGTERM has come: everything that is half-done goes away as at a Ctrl-C."""


@contextmanager
def termination_raised() -> Iterator[None]:
    """In a block of the main thread SIGTERM raises Terminated, once, unless somebody already handles or ignores it."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def stop(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # `timeout` sends two: nothing stops the clearing up
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is stop:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _LineHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        prefix = "" if record.levelno < logging.WARNING else record.levelname.lower() + ": "
        say(prefix + record.getMessage())


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """The package's log, from warnings on, as lines on stderr."""
    logger = logging.getLogger("tutortoietts")
    handler = _LineHandler(level=logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
