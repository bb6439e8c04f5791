"""The state of the rows being decoded, and the step that takes each of them one code further.

Every row has its own position, limits, random numbers and prefix length, so rows need not move in step. The host
passes an int position where all rows share one, and the step writes slices; with a tensor of positions nothing in the
step depends on a value that the host must know, so that it can be captured once and replayed as a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from tutortoietts.engine.decoding.end_of_speech import tail_codes
from tutortoietts.engine.decoding.model import CodeModel, CodeModelConfig
from tutortoietts.sampling.tokens import TokenOptions, draw, filtered

__all__ = ["PLACEHOLDER", "DecodeState", "decode_step", "draw_codes"]

PLACEHOLDER = 1  # the id that the original prefix has in the history seen by the repetition penalty


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodeState:
    """Buffers of R rows with room for S codes each, changed in place only.

    inputs (R, 1) int64      next code to feed
    codes (R, S) int64       codes drawn
    hidden (R, S, D)         hidden state that each code was drawn from
    lengths (R,) int64       codes before the stop code; the row's limit while there is none, 0 in an idle row
    seen (R, V) bool         codes drawn so far, for the repetition penalty
    uniforms (R, S) float32  random numbers of the draws
    tail (R, S) int64        codes to feed behind the stop code
    floors (R,) int64        no stop code is drawn before this many codes
    positions (R,) int64     codes drawn so far; read by steps of fixed shape only
    starts (R,) int64        length of the prefix in the cache; likewise
    """

    inputs: Tensor
    codes: Tensor
    hidden: Tensor
    lengths: Tensor
    seen: Tensor
    uniforms: Tensor
    tail: Tensor
    floors: Tensor
    positions: Tensor
    starts: Tensor

    @classmethod
    def allocate(cls, model: CodeModel, rows: int, codes: int) -> DecodeState:
        """Return unfilled buffers of `rows` rows and `codes` codes on the model's device."""
        cfg, device = model.cfg, model.device

        def integers(*shape: int) -> Tensor:
            return torch.empty(shape, dtype=torch.int64, device=device)

        return cls(
            inputs=integers(rows, 1),
            codes=integers(rows, codes),
            hidden=torch.empty((rows, codes, cfg.model_dim), dtype=model.dtype, device=device),
            lengths=integers(rows),
            seen=torch.empty((rows, cfg.number_mel_codes), dtype=torch.bool, device=device),
            uniforms=torch.empty((rows, codes), device=device),
            tail=integers(rows, codes),
            floors=integers(rows),
            positions=integers(rows),
            starts=integers(rows),
        )

    def begin(
        self, cfg: CodeModelConfig, uniforms: Tensor, silence_code: int | None, min_codes: int, start: int = 0
    ) -> None:
        """Start one row for each row of `uniforms` (N, max codes), behind a prefix of `start` positions; the other
        rows are idle."""
        rows, limit = uniforms.shape
        self.inputs.fill_(cfg.start_mel_token)
        self.codes.fill_(cfg.stop_mel_token)
        self.lengths.zero_()
        self.lengths[:rows] = limit
        self.seen.zero_()
        self.seen[:, PLACEHOLDER] = True
        self.seen[:, cfg.start_mel_token] = True
        self.uniforms.zero_()
        self.uniforms[:rows, :limit] = uniforms.to(self.uniforms.device)
        silence = cfg.stop_mel_token if silence_code is None else silence_code
        self.tail.fill_(silence)
        self.tail[:, :limit] = tail_codes(limit, silence, self.tail.device)
        self.floors.fill_(min_codes)
        self.positions.zero_()
        self.starts.fill_(start)

    def rows(self, start: int, stop: int) -> DecodeState:
        """Return a view of rows start..stop-1."""
        return DecodeState(**{item.name: getattr(self, item.name)[start:stop] for item in fields(self)})

    def reorder(self, index: Tensor) -> None:
        """Move row index[i] to row i, for the rows of `index` (n,), a permutation of 0..n-1."""
        for item in fields(self):
            buffer = getattr(self, item.name)
            buffer[: len(index)] = buffer.index_select(0, index)


def decode_step(
    model: CodeModel,
    hidden_states: Callable[[Tensor, int | Tensor], Tensor],
    state: DecodeState,
    options: TokenOptions,
    position: int | Tensor,
    logits_of: Callable[[Tensor], Tensor] | None = None,
) -> None:
    """Feed one code to every row at `position`, an int or (R,) int64 (codes drawn so far), and draw the next.

    hidden_states: embedded inputs (R, 1, D) and their position -> hidden states (R, 1, D).
    logits_of: hidden states (R, D) -> logits (R, V) float32, which may be modified in place; None: `model.mel_logits`.
    A row that has stopped draws stop codes and is fed its tail.
    """
    stop = model.cfg.stop_mel_token
    hidden = hidden_states(model.embed_codes(state.inputs, offset=position), position)[:, -1]
    logits = (logits_of or model.mel_logits)(hidden)
    too_early, numbers = state.floors > position, _column(state.uniforms, position)
    code = draw_codes(model.cfg, logits, state.seen, numbers, too_early, [options])
    code = torch.where(state.lengths < position, stop, code)
    stops = code == stop
    state.lengths.copy_(torch.where(stops, torch.clamp(state.lengths, max=position), state.lengths))
    _set_column(state.hidden, position, hidden)
    _set_column(state.codes, position, code)
    state.seen.scatter_(1, code.unsqueeze(1), True)
    state.inputs.copy_(torch.where(stops, _column(state.tail, position), code).unsqueeze(1))


def draw_codes(
    cfg: CodeModelConfig,
    logits: Tensor,
    seen: Tensor,
    numbers: Tensor,
    too_early: Tensor,
    options: Sequence[TokenOptions],
) -> Tensor:
    """Draw one code a row -> (R,) int64.

    logits: (R, V) float32, modified in place. seen: (R, V) bool, the history. numbers: (R,) random in 0..1.
    too_early: (R,) bool, rows that may not stop yet. options: one for all rows, or one a row.
    """
    logits[:, cfg.start_mel_token] = -torch.inf
    logits[:, cfg.stop_mel_token].masked_fill_(too_early, -torch.inf)
    kinds = list(dict.fromkeys(options))
    if len(kinds) == 1:
        return draw(*filtered(logits, seen, kinds[0]), numbers)
    codes = torch.empty(len(logits), dtype=torch.int64, device=logits.device)
    for kind in kinds:
        rows = torch.tensor([row for row, own in enumerate(options) if own == kind], device=logits.device)
        codes[rows] = draw(*filtered(logits[rows], seen[rows], kind), numbers[rows])
    return codes


def _column(buffer: Tensor, position: int | Tensor) -> Tensor:
    """Return buffer[r, position of r] for each row: (R, S) -> (R,)."""
    if isinstance(position, int):
        return buffer[:, position]
    return buffer.gather(1, position.unsqueeze(1)).squeeze(1)


def _set_column(buffer: Tensor, position: int | Tensor, values: Tensor) -> None:
    """Set buffer[r, position of r] = values[r] for each row."""
    if isinstance(position, int):
        buffer[:, position] = values
    else:
        buffer[torch.arange(len(buffer), device=buffer.device), position] = values
