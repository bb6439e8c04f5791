"""The end of a code row: what follows the stop code, and how many latents of it are kept (specification, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from tutortoietts.core.errors import OptionError

__all__ = ["SILENCE_RUN", "latent_count", "repair_codes", "tail_codes"]

SILENCE_RUN = 8  # longest run of the silence code that is kept
_PUBLIC_SILENCE = 83
_PUBLIC_END = (45, 45, 248)  # how the public model's recordings fade out; other code books have no such codes


def tail_codes(length: int, calm_token: int, device: torch.device | str = "cpu") -> Tensor:
    """What a repaired row of `length` codes holds where it has stopped: silence, then the fading end -> (length,)."""
    tail = torch.full((length,), calm_token, dtype=torch.int64, device=device)
    if calm_token == _PUBLIC_SILENCE and length >= len(_PUBLIC_END):
        tail[-len(_PUBLIC_END) :] = torch.tensor(_PUBLIC_END, device=device)
    return tail


def repair_codes(ids: Tensor, stop_token: int, calm_token: int) -> Tensor:
    """Rows as decoded, padded with stop codes (N, S) -> rows without stop codes, in place of which there is silence.

    A row without a stop code is left as it is.
    """
    stopped = (ids == stop_token).cummax(dim=1).values
    repaired = torch.where(stopped, calm_token, ids)
    if calm_token == _PUBLIC_SILENCE and ids.shape[1] >= len(_PUBLIC_END):
        end = repaired.clone()
        end[:, -len(_PUBLIC_END) :] = torch.tensor(_PUBLIC_END, device=ids.device)
        repaired = torch.where(stopped[:, -1:], end, repaired)
    return repaired


def latent_count(ids: Tensor, stop_token: int, calm_token: int, rule: str = "after_stop") -> Tensor:
    """How many latents of each repaired row are kept: up to the 9th silence code in a row -> (N,) int64.

    ids (N, S) as decoded, stop codes included. `rule` "after_stop" looks for the run from the first stop code on;
    "anywhere" in the whole row, as the original, which also cuts speech after a long pause inside the sentence.
    """
    if rule not in ("after_stop", "anywhere"):
        raise OptionError(f"calm_rule is {rule!r}, must be 'after_stop' or 'anywhere'")
    calm = repair_codes(ids, stop_token, calm_token) == calm_token
    if rule == "after_stop":
        calm &= (ids == stop_token).cummax(dim=1).values
    count = calm.cumsum(dim=1)
    broken = torch.where(calm, 0, count).cummax(dim=1).values
    ninth = count - broken > SILENCE_RUN
    length = ids.shape[1]
    place = torch.arange(length, device=ids.device)
    return torch.where(ninth, place, length).amin(dim=1)
