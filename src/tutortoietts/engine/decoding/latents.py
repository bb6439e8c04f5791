"""Latents of a chosen candidate: the hidden states that decoding kept, or a second pass over its repaired codes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tutortoietts.core.types import Codes
from tutortoietts.engine.decoding.end_of_speech import SILENCE_RUN, latent_count, repair_codes
from tutortoietts.engine.decoding.model import CodeModel
from tutortoietts.engine.decoding.request import DecodeRequest

__all__ = ["latents_of", "second_pass"]


@torch.inference_mode()
def latents_of(model: CodeModel, request: DecodeRequest, codes: Codes, row: int, rule: str = "after_stop") -> Tensor:
    """Return the latents (1, K, D), K >= 1, of the candidate in row `row` of `codes`."""
    stop, silence = model.cfg.stop_mel_token, request.silence_code
    padded = F.pad(codes.ids[row : row + 1], (0, request.max_codes - codes.ids.shape[1]), value=stop)
    length = int(codes.lengths[row])
    if silence is None:
        ends = request.latent_of_stop and bool(codes.finished[row])
        count, repaired = length + (1 if ends else 0), padded
    else:
        count = int(latent_count(padded, stop, silence, rule)[0])
        repaired = repair_codes(padded, stop, silence)
    count = max(count, 1)
    drawn = min(length, count - 1)  # codes fed for these latents; behind them decoding fed the repaired tail
    unchanged = torch.equal(repaired[0, :drawn], padded[0, :drawn])
    kept = min(codes.ids.shape[1], max(count, length) if silence is None else length + SILENCE_RUN)
    if codes.hidden is not None and unchanged and count <= max(kept, 1):
        return codes.hidden[row : row + 1, :count]
    return second_pass(model, request.prefix, repaired)[:, :count]


def second_pass(model: CodeModel, prefix: Tensor, codes: Tensor) -> Tensor:
    """Hidden states that each code is drawn from: prefix (1, P, D), codes (B, S) -> (B, S, D)."""
    cfg = model.cfg
    inputs = F.pad(F.pad(codes, (1, 0), value=cfg.start_mel_token), (0, 1), value=cfg.stop_mel_token)
    x = torch.cat([prefix.expand(len(codes), -1, -1), model.embed_codes(inputs)], dim=1)
    return model.hidden_states(x)[:, prefix.shape[1] : -2]
