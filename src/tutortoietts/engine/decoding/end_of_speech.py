"""The end of a candidate: what stands behind its stop code, and how many of its latents are kept.

The original fills the codes behind the stop code with silence and cuts the latents after eight silent ones in a row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tutortoietts.core.errors import OptionError

__all__ = ["SILENCE_RUN", "latent_count", "repair_codes", "tail_codes"]

SILENCE_RUN = 8  # longest run of the silence code that is kept
_PUBLIC_SILENCE = 83
_PUBLIC_END = (45, 45, 248)  # how the public model's recordings fade out; other code books have no such codes


def tail_codes(length: int, silence_code: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the codes (length,) that a repaired candidate holds where it has stopped: silence, then the fading end."""
    tail = torch.full((length,), silence_code, dtype=torch.int64, device=device)
    if silence_code == _PUBLIC_SILENCE and length >= len(_PUBLIC_END):
        tail[-len(_PUBLIC_END) :] = torch.tensor(_PUBLIC_END, device=device)
    return tail


def repair_codes(ids: Tensor, stop_token: int, silence_code: int) -> Tensor:
    """Replace stop codes by silence: ids (N, S) as decoded, padded with stop codes -> (N, S).

    A candidate without a stop code is returned unchanged.
    """
    stopped = (ids == stop_token).cummax(dim=1).values
    repaired = torch.where(stopped, silence_code, ids)
    if silence_code == _PUBLIC_SILENCE and ids.shape[1] >= len(_PUBLIC_END):
        end = repaired.clone()
        end[:, -len(_PUBLIC_END) :] = torch.tensor(_PUBLIC_END, device=ids.device)
        repaired = torch.where(stopped[:, -1:], end, repaired)
    return repaired


def latent_count(ids: Tensor, stop_token: int, silence_code: int, rule: str = "after_stop") -> Tensor:
    """Count the latents of each repaired candidate to keep, up to the 9th silence code in succession -> (N,) int64.

    ids (N, S) as decoded, stop codes included. `rule` "after_stop" looks for that run from the first stop code on;
    "anywhere" looks at all codes, as the original, which also cuts speech after a long pause inside a sentence.
    Raise OptionError for another rule.
    """
    if rule not in ("after_stop", "anywhere"):
        raise OptionError(f"calm_rule is {rule!r}, must be 'after_stop' or 'anywhere'")
    silent = repair_codes(ids, stop_token, silence_code) == silence_code
    if rule == "after_stop":
        silent &= (ids == stop_token).cummax(dim=1).values
    count = silent.cumsum(dim=1)
    last_speech = torch.where(silent, 0, count).cummax(dim=1).values
    ninth = count - last_speech > SILENCE_RUN
    length = ids.shape[1]
    position = torch.arange(length, device=ids.device)
    return torch.where(ninth, position, length).amin(dim=1)
