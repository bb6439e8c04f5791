"""Devices that models run on."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import cache

import torch

from tutortoietts.core.errors import OptionError

__all__ = ["deepspeed_note", "pick_device", "survive_fork", "synchronizer"]


@cache
def survive_fork() -> None:
    """Let processes forked from this one work: with one thread, because torch's own threads do not live on in them."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def pick_device(device: str | torch.device | None) -> torch.device:
    """Return the given device, or the fastest present.

    A CUDA GPU gets its number, because "cuda" means another one in a thread that chose another. Raises OptionError for
    a device that cannot be used here.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        wanted, probe = torch.device(device), torch.zeros(1, device=device)
        probe.cpu()  # not on "meta", which has no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0]
        raise OptionError(
            f"device {str(device)!r} cannot be used here ({reason}); leave it out, or give 'cpu'"
        ) from None
    return probe.device if wanted.type == "cuda" else wanted


def deepspeed_note(device: torch.device) -> str:
    """Return why DeepSpeed's kernels are not used on this device, for the log."""
    if importlib.util.find_spec("deepspeed") is None:
        lacking = "the deepspeed package is not installed"
    elif device.type != "cuda":
        lacking = f"it needs a CUDA GPU and this is {device}"
    else:
        lacking = "its kernels are not wired in yet"
    return f"use_deepspeed: {lacking}; using our own cached decoding"


def synchronizer(device: torch.device) -> Callable[[], None] | None:
    """Return a function that waits until the device has done this thread's work; None where work is done at once.

    It waits for the thread's own stream only: waiting for the whole GPU would break a capture of another thread.
    """
    if device.type != "cuda":
        return None
    return lambda: torch.cuda.current_stream(device).synchronize()
