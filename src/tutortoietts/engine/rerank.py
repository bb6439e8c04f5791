"""Rank candidates: by how well they say the text, blended on request with CVVP's agreement with the voice.

How well they say it: CLVP's agreement, plus the log-likelihood of the text by CTC where a model has one; both in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from tutortoietts.core.types import Codes
from tutortoietts.engine.decoding.end_of_speech import repair_codes
from tutortoietts.models.clvp import Clvp
from tutortoietts.models.ctc import Ctc
from tutortoietts.models.cvvp import Cvvp

__all__ = ["Candidate", "Ranker", "best"]

_POSITIONS = 4096  # codes scored at once: about 0.3 GB of activations at full size in float32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """One candidate: its number over all batches (`row`), its score, whether it ended by itself, and its codes."""

    row: int
    score: float
    finished: bool
    codes: Codes


class Ranker:
    """Score batches of candidates of one text as they come.

    text: (1, T) int64 with its stop token. stop_token, silence_code: special codes of the model that drew the codes.
    pad_to: fill candidates with silence to this length before scoring, as the original does; None masks the padding,
    as CTC must have it.
    mels: the voice's reference clips (1, clips, 80, T) for `cvvp`, which weighs `cvvp_amount` of the score.
    """

    def __init__(
        self,
        clvp: Clvp | None,
        text: Tensor,
        *,
        stop_token: int,
        silence_code: int | None,
        pad_to: int | None = None,
        ctc: Ctc | None = None,
        cvvp: Cvvp | None = None,
        mels: Tensor | None = None,
        cvvp_amount: float = 0.0,
    ) -> None:
        self.clvp, self.ctc, self.cvvp, self.cvvp_amount = clvp, ctc, cvvp, cvvp_amount
        self.stop, self.silence, self.pad_to = stop_token, silence_code, pad_to
        with torch.inference_mode():
            self.text, self.latent = text, None if clvp is None else clvp.encode_text(text)
            self.voices = None if cvvp is None or mels is None else cvvp.encode_mel(mels[0])

    @torch.inference_mode()
    def scores(self, codes: Codes) -> list[float]:
        """Return one number a candidate, higher is better; 0 without a ranking model.

        Candidates of similar length are scored together, as many at once as bounded memory allows.
        """
        if self.clvp is None and self.ctc is None and self.cvvp is None:
            return [0.0] * len(codes.ids)
        visible, lengths = self._visible(codes)
        order = range(len(visible)) if lengths is None else lengths.argsort().tolist()
        count = max(1, _POSITIONS // max(1, visible.shape[1]))
        scores = [0.0] * len(visible)
        for start in range(0, len(visible), count):
            rows = list(order[start : start + count])
            for row, score in zip(rows, self._scored(visible, lengths, rows), strict=True):
                scores[row] = score
        return scores

    def _scored(self, visible: Tensor, lengths: Tensor | None, rows: list[int]) -> list[float]:
        ids = visible[rows]
        if lengths is not None:
            lengths = lengths[rows]
            ids = ids[:, : int(lengths.max())]
        total, own = torch.zeros(len(ids), device=ids.device), 1 - self.cvvp_amount
        if self.clvp is not None and self.latent is not None and own > 0:
            heard = self.clvp.encode_codes(_known(ids, self.clvp.cfg.num_speech_tokens), lengths)
            total = total + own * self.clvp.score(self.latent, heard)
        if self.ctc is not None and own > 0:
            total = total + own * self.ctc(self.text, _known(ids, self.ctc.cfg.num_speech_tokens), lengths)
        if self.cvvp is not None and self.voices is not None:
            heard = self.cvvp.encode_codes(ids)
            each = [self.cvvp.score(voice[None], heard) for voice in self.voices]
            total = total + self.cvvp_amount * torch.stack(each).mean(dim=0)
        return cast("list[float]", total.tolist())

    def _visible(self, codes: Codes) -> tuple[Tensor, Tensor | None]:
        """Return the codes that the ranking models see, and their lengths where the padding is masked."""
        ids = codes.ids
        if self.silence is not None and self.pad_to is not None:
            full = F.pad(ids, (0, max(0, self.pad_to - ids.shape[1])), value=self.stop)
            return repair_codes(full, self.stop, self.silence), None
        return ids.masked_fill(ids == self.stop, 0), codes.lengths.clamp(min=1)

    def candidates(self, codes: Codes, first_row: int) -> list[Candidate]:
        """Return a batch's candidates with their scores. Each holds its own tensors, so that the batch may be freed."""
        finished = codes.finished.tolist()
        return [
            Candidate(row=first_row + row, score=score, finished=finished[row], codes=_row(codes, row))
            for row, score in enumerate(self.scores(codes))
        ]


def best(candidates: Sequence[Candidate], k: int) -> list[Candidate]:
    """Return the k best, best first: those that ended by themselves before all others; of equals the earlier one."""
    return sorted(candidates, key=lambda one: (not one.finished, -one.score, one.row))[:k]


def _known(ids: Tensor, count: int) -> Tensor:
    """Return codes (B, S) below `count`: others are special ones, which should not be drawn."""
    return ids.clamp(max=count - 1)


def _row(codes: Codes, row: int) -> Codes:
    part = slice(row, row + 1)
    return Codes(
        ids=codes.ids[part].clone(),
        lengths=codes.lengths[part].clone(),
        finished=codes.finished[part].clone(),
        hidden=None if codes.hidden is None else codes.hidden[part].clone(),
    )
