"""Where the models work."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch

from tutortoietts.core.errors import OptionError

__all__ = ["deepspeed_note", "pick_device", "synchronizer"]


def pick_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, or the fastest present; a CUDA GPU with its number, as "cuda" is another one in a thread
    that chose another. Raises OptionError for one that cannot be used here."""
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
    """Why DeepSpeed's kernels are not used on this device, for the log."""
    if importlib.util.find_spec("deepspeed") is None:
        lacking = "the deepspeed package is not installed"
    elif device.type != "cuda":
        lacking = f"it needs a CUDA GPU and this is {device}"
    else:
        lacking = "its kernels are not wired in yet"
    return f"use_deepspeed: {lacking}; using our own cached decoding"


def synchronizer(device: torch.device) -> Callable[[], None] | None:
    """What waits until the device has done the work of this thread; None where the work is done at once.

    Only for the thread's own stream: to wait for a whole GPU while another thread captures a graph breaks the capture.
    """
    if device.type != "cuda":
        return None
    return lambda: torch.cuda.current_stream(device).synchronize()
