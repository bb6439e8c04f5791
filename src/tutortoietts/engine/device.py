"""Where the models work."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch

from tutortoietts.core.errors import OptionError

__all__ = ["deepspeed_note", "pick_device", "settling"]


def pick_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, or the fastest present. Raises OptionError for one that cannot be used here."""
    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        wanted = torch.device(device)
        torch.zeros(1, device=wanted).cpu()  # not on "meta", which has no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0]
        raise OptionError(
            f"device {str(device)!r} cannot be used here ({reason}); leave it out, or give 'cpu'"
        ) from None
    return wanted


def deepspeed_note(device: torch.device) -> str:
    """Why DeepSpeed's kernels are not used on this device, for the log."""
    if importlib.util.find_spec("deepspeed") is None:
        lacking = "the deepspeed package is not installed"
    elif device.type != "cuda":
        lacking = f"it needs a CUDA GPU and this is {device}"
    else:
        lacking = "its kernels are not wired in yet"
    return f"use_deepspeed: {lacking}; using our own cached decoding"


def settling(device: torch.device) -> Callable[[], None] | None:
    """What waits until the device has done the work of this thread; None where the work is done at once.

    Only for the thread's own stream: to wait for a whole GPU while another thread captures a graph breaks the capture.
    """
    if device.type != "cuda":
        return None
    return lambda: torch.cuda.current_stream(device).synchronize()
