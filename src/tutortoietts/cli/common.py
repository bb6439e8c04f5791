"""Shared by all commands: help in panels, one line for an error, exit codes, and where output goes.

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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer
from typer.core import TyperCommand

from tutortoietts.core.errors import Cancelled, OptionError, TextError, TutortoieError, VoiceError

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
USAGE_ERRORS = (OptionError, TextError, VoiceError)

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

SPEAKING, SAMPLING, STREAMING, MODEL, OTHER = "Speaking", "Sampling", "Streaming", "Model", "Other"
"""Panels of the help."""

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=OTHER)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.", rich_help_panel=OTHER)]


def panels(parameters: Iterable[Any]) -> dict[str, list[Any]]:
    """Sort the parameters of a command into the panels of its help, in the order of their first option.

    Those that name no panel go to "Other", the last one; a command without panels has one, "Options".
    """
    found: dict[str, list[Any]] = {}
    rest = []
    for parameter in parameters:
        panel = "Arguments" if parameter.param_type_name == "argument" else parameter.__dict__.get("rich_help_panel")
        if panel in (None, OTHER):
            rest.append(parameter)
        else:
            found.setdefault(str(panel), []).append(parameter)
    last = OTHER if found.keys() - {"Arguments"} else "Options"
    return found | ({last: rest} if rest else {})


class PanelCommand(TyperCommand):
    """A command whose help lists its options in panels, as plain text."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each panel."""
        for title, parameters in panels(self.get_params(ctx)).items():
            records = [record for parameter in parameters if (record := parameter.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class App(typer.Typer):
    """A Typer application whose commands show their options in panels."""

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = None, **rest: Any
    ) -> Callable[[F], F]:
        """Register a command; arguments as those of `typer.Typer.command`."""
        return super().command(name, cls=cls or PanelCommand, **rest)


def new_app(help_text: str) -> App:
    """Return a Typer application with plain help and our own error lines."""
    return App(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def say(line: str = "") -> None:
    """Print one line for the user, on stderr."""
    print(line, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print data for programs, on stdout; escaped where stdout cannot hold it (file names that are not UTF-8)."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2, default=str)
    print(text)


def fail(message: str, code: int) -> NoReturn:
    """Print an error as one line and exit with `code`."""
    say("error: " + " ".join(message.split()))
    raise typer.Exit(code)


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Make a command end in one clear line and an exit code instead of a traceback (unless --debug)."""

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
    """Return the line for an error and its exit code."""
    if isinstance(error, TutortoieError):
        return str(error), EXIT_USAGE if isinstance(error, USAGE_ERRORS) else EXIT_FAILURE
    if isinstance(error, BrokenPipeError):
        hush_stdout()
        return "the reader of the output closed it before the end", EXIT_FAILURE
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
    """Raised at SIGTERM, so that half-written files are removed as at a Ctrl-C."""


@contextmanager
def termination_raised() -> Iterator[None]:
    """Raise Terminated at the first SIGTERM in a block of the main thread, unless that signal is already handled."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def stop(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # `timeout` sends two; the second must not interrupt the cleanup
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
    """Print the package's log, from warnings on, as lines on stderr."""
    logger = logging.getLogger("tutortoietts")
    handler = _LineHandler(level=logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
