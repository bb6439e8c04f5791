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
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer
from typer.core import TyperCommand

from tutortoietts.cli.signals import Terminated, received, termination_raised
from tutortoietts.core.errors import Cancelled, OptionError, TextError, TutortoieError, VoiceError

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
USAGE_ERRORS = (OptionError, TextError, VoiceError)

_NO_MEMORY = re.compile("(?i)cannot allocate memory|can't allocate memory|failed to map segment|not enough memory")
_LONGEST = 2000  # characters of a line
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

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


def texts_last(args: list[str], parameters: Iterable[Any]) -> list[str]:
    """Return arguments with those behind "--" that look like options and hold white space, as "- Buy milk" does."""
    options = [parameter for parameter in parameters if parameter.param_type_name == "option"]
    names = {name for one in options for name in (*one.opts, *one.secondary_opts)}
    with_value = {name for one in options if not one.is_flag and not one.count for name in one.opts}
    rest = args.index("--") if "--" in args else len(args)
    kept, texts, takes_value = [], [], False
    for arg in args[:rest]:
        odd = arg.startswith("-") and any(map(str.isspace, arg))
        if odd and not takes_value and arg.split("=")[0] not in names and arg[:2] not in names - {"--"}:
            texts.append(arg)
        else:
            kept.append(arg)
        takes_value = not takes_value and arg in with_value
    return [*kept, "--", *texts, *args[rest + 1 :]] if texts else args


class PanelCommand(TyperCommand):
    """A command whose help lists its options in panels, as plain text.

    An argument that begins with a dash and holds a space, such as "- Buy milk", is no option but text.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, those that only look like options as text."""
        parameters = self.get_params(ctx)
        try:
            return super().parse_args(ctx, texts_last(args, parameters))
        except Exception as error:  # Typer has its own copy of click, or uses click itself
            has_text = any(one.param_type_name == "argument" for one in parameters)
            if has_text and type(error).__name__ == "NoSuchOption" and hasattr(error, "message"):
                error.message += "; a text that begins with a dash goes behind -- or into stdin"
            raise

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
    """Print one line for the user, on stderr; nothing where it is closed or full. Control characters are escaped."""
    if sys.stderr is None:
        return
    try:
        print(printable(line), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        hush(sys.stderr)


def printable(text: str) -> str:
    """Return text that no terminal obeys, without its middle if it is very long."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 4 :]}"
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def print_json(value: Any) -> None:
    """Print data for programs, on stdout; escaped where stdout cannot hold it (file names that are not UTF-8)."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2, default=str)
    print(_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


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
            with termination_raised(), warnings_as_lines():
                try:
                    result = command(*args, **kwargs)
                    if sys.stdout is not None:
                        sys.stdout.flush()
                except (Exception, typer.Exit) as error:
                    if getattr(error, "exit_code", None) in (EXIT_INTERRUPTED, EXIT_TERMINATED):
                        _stop.said = True  # by the command itself
                    elif received() is not None:  # somebody else's code swallowed the exception of the signal
                        raise (Terminated if received() == signal.SIGTERM else KeyboardInterrupt) from None
                    raise
                return result
        except typer.Exit:
            raise
        except (KeyboardInterrupt, Cancelled) as error:
            raise typer.Exit(say_stop(terminated=isinstance(error, Terminated))) from None
        except BrokenPipeError:  # the reader of the output went away, as `head` does
            hush(sys.stdout)
            raise typer.Exit from None
        except Exception as error:
            if debug:
                traceback.print_exc()
            fail(*explain(error))

    return run


class _Stop:
    said = False


_stop = _Stop()


def say_stop(*, terminated: bool | None = None, again: bool = True) -> int:
    """Print the line for a signal that ended the work; return its exit code. `again` False: unless it was printed."""
    if terminated is None:
        terminated = received() == signal.SIGTERM
    if again or not _stop.said:
        say(f"error: {'terminated' if terminated else 'interrupted'}; nothing was left half-written")
    _stop.said = True
    return EXIT_TERMINATED if terminated else EXIT_INTERRUPTED


def explain(error: Exception) -> tuple[str, int]:
    """Return the line for an error and its exit code."""
    if isinstance(error, TutortoieError):
        return str(error), EXIT_USAGE if isinstance(error, USAGE_ERRORS) else EXIT_FAILURE
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"disk full while writing {error.filename or 'the output'}: free some space and try again", EXIT_FAILURE
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or _NO_MEMORY.search(str(error)):
        return (
            "out of memory: try fewer candidates (--num-autoregressive-samples), "
            "--autoregressive-batch-size 1, --half or a shorter text",
            EXIT_FAILURE,
        )
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", EXIT_FAILURE
    return f"unexpected {type(error).__name__}: {error} (--debug shows the traceback)", EXIT_FAILURE


def hush(stream: Any) -> None:
    """Keep the interpreter from writing once more to a closed or full stream on its way out."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


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
