"""SIGINT and SIGTERM at any moment: noted at once, raised where nobody else's code can swallow them.

An exception raised while a module is imported leaves it half made, or is caught by it; libraries that read weights turn
it into an error of their own. There a signal is only noted, and raised some milliseconds later; so it is where it was
raised in a callback from C, which can only print it.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

__all__ = ["Terminated", "install", "received", "restore", "termination_raised"]

_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None
_AGAIN = 0.02  # seconds until a noted signal is tried again
_REPEATED = 1.0  # seconds in which further signals belong to the first: `timeout` sends two
_FILES = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")
_MODULES = (
    "safetensors",
    "tokenizers",
    "torch.serialization",
    "tutortoietts.weights.read",
    "tutortoietts.voices.files",
)


class Terminated(KeyboardInterrupt):
    """Raised at SIGTERM, so that half-written files are removed as at a Ctrl-C."""


class _State:
    number: int | None = None  # the first signal
    raised: float = 0.0  # when it was last raised


_state = _State()


def install() -> None:
    """Handle SIGINT and SIGTERM from now on, unless they are ignored or handled already."""
    _state.number, _state.raised = None, 0.0
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _note)
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _note)
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _unraisable


def restore() -> None:
    """Let both signals end the process at once again."""
    _uninstall(signal.SIG_DFL, signal.SIG_DFL)


def received() -> signal.Signals | None:
    """Return the first signal since `install` or the beginning of `termination_raised`."""
    return None if _state.number is None else signal.Signals(_state.number)


@contextmanager
def termination_raised() -> Iterator[None]:
    """Raise KeyboardInterrupt or Terminated at SIGINT or SIGTERM in a block of the main thread.

    Signals that are handled already, as after `install`, stay as they are.
    """
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or before != signal.SIG_DFL:
        yield
        return
    interrupt = signal.getsignal(signal.SIGINT)
    install()
    try:
        yield
    finally:
        _uninstall(interrupt, before)
        _state.number = None


def _uninstall(interrupt: _Handler, terminate: _Handler) -> None:
    """Undo `install`: give both signals these handlers where they have ours, and the hook back."""
    for number, handler in ((signal.SIGINT, interrupt), (signal.SIGTERM, terminate)):
        if signal.getsignal(number) is _note:
            signal.signal(number, handler)
    if sys.unraisablehook is _unraisable:
        sys.unraisablehook = sys.__unraisablehook__


def _note(number: int, frame: FrameType | None) -> None:
    if _state.number is None:
        _state.number = number
    _raise_or_wait(frame)


def _raise_or_wait(frame: FrameType | None) -> None:
    if time.monotonic() - _state.raised < _REPEATED:
        return  # the clearing-up that the first one began is not disturbed
    if _is_held(frame) and hasattr(signal, "setitimer"):
        _try_again()
        return
    _state.raised = time.monotonic()
    _raise()


def _try_again() -> None:
    signal.signal(signal.SIGALRM, lambda _, later: _raise_or_wait(later))
    signal.setitimer(signal.ITIMER_REAL, _AGAIN)


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    """Raise the exception of a signal again that was lost in a callback; print any other."""
    if _state.number is None or not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    _state.raised = 0.0
    if hasattr(signal, "setitimer"):
        _try_again()


def _raise() -> NoReturn:
    raise KeyboardInterrupt if _state.number == signal.SIGINT else Terminated


def _is_held(frame: FrameType | None) -> bool:
    """Return True if an import, the reading of weights or a finalizer is going on in a frame or its callers."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename in _FILES or code.co_name == "__del__":
            return True
        if str(frame.f_globals.get("__name__", "")).startswith(_MODULES):
            return True
        frame = frame.f_back
    return False
