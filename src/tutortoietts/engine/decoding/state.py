"""The state of the rows being decoded, a slot each, and the step that takes all of them one code further.

Only the host's loop knows how far it is: with an int place the step writes slices; with a tensor place nothing in it
depends on a value that the host must know, so that it can be captured once and replayed (`engine.decoding.workspace`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tutortoietts.engine.decoding.end_of_speech import tail_codes
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.sampling.tokens import TokenOptions, draw, filtered

__all__ = ["DecodeState", "decode_step"]

_PLACEHOLDER = 1  # the id the originals' prefix has in the history that the repetition penalty sees


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodeState:
    """Buffers of R slots and S places, changed in place only; `tail` and `floor` are shared by all slots.

    `inputs` (R, 1): what to feed next. `codes` (R, S), `hidden` (R, S, D): what was drawn, and from which hidden state.
    `lengths` (R,): codes before the stop code; the request's most where there is none yet; 0 in an idle slot.
    `seen` (R, V) bool: for the repetition penalty. `uniforms` (R, S): the random numbers of the draws.
    `tail` (S,): what to feed behind the stop code. `floor` (): no stop code before that place.
    """

    inputs: Tensor
    codes: Tensor
    hidden: Tensor
    lengths: Tensor
    seen: Tensor
    uniforms: Tensor
    tail: Tensor
    floor: Tensor

    @classmethod
    def allocate(cls, model: Autoregressive, rows: int, places: int) -> DecodeState:
        """Unfilled buffers where the model is."""
        cfg, device = model.cfg, model.device

        def whole(*shape: int) -> Tensor:
            return torch.empty(shape, dtype=torch.int64, device=device)

        return cls(
            inputs=whole(rows, 1),
            codes=whole(rows, places),
            hidden=torch.empty((rows, places, cfg.model_dim), dtype=model.dtype, device=device),
            lengths=whole(rows),
            seen=torch.empty((rows, cfg.number_mel_codes), dtype=torch.bool, device=device),
            uniforms=torch.empty((rows, places), device=device),
            tail=whole(places),
            floor=whole(),
        )

    def begin(self, model: Autoregressive, uniforms: Tensor, calm_token: int | None, min_codes: int) -> None:
        """Fill them for a new batch: a slot for each row of `uniforms` (N, the most codes), the others idle."""
        cfg, (rows, places) = model.cfg, uniforms.shape
        self.inputs.fill_(cfg.start_mel_token)
        self.codes.fill_(cfg.stop_mel_token)
        self.lengths.zero_()
        self.lengths[:rows] = places
        self.seen.zero_()
        self.seen[:, _PLACEHOLDER] = True
        self.seen[:, cfg.start_mel_token] = True
        self.uniforms.zero_()
        self.uniforms[:rows, :places] = uniforms.to(self.uniforms.device)
        calm = cfg.stop_mel_token if calm_token is None else calm_token
        self.tail.fill_(calm)
        self.tail[:places] = tail_codes(places, calm, self.tail.device)
        self.floor.fill_(min_codes)

    def first(self, rows: int) -> DecodeState:
        """A view of the first slots."""
        return DecodeState(
            inputs=self.inputs[:rows],
            codes=self.codes[:rows],
            hidden=self.hidden[:rows],
            lengths=self.lengths[:rows],
            seen=self.seen[:rows],
            uniforms=self.uniforms[:rows],
            tail=self.tail,
            floor=self.floor,
        )

    def reorder(self, index: Tensor) -> None:
        """Slot i becomes what slot index[i] was, for the slots of `index`, a permutation (n,)."""
        for buffer in (self.inputs, self.codes, self.hidden, self.lengths, self.seen, self.uniforms):
            buffer[: len(index)] = buffer.index_select(0, index)


def decode_step(
    model: Autoregressive,
    backend: Callable[[Tensor, int | Tensor], Tensor],
    slots: DecodeState,
    options: TokenOptions,
    at: int | Tensor,
    head: Callable[[Tensor], Tensor] | None = None,
) -> None:
    """Feed one code a slot at place `at`, int or () int64, and draw the next.

    backend: embedded inputs (R, 1, D) and their place -> hidden states (R, 1, D). head: these (R, D) -> logits (R, V)
    float32, to be changed at will; None is the model's. A slot that has stopped draws stop
    codes and is fed the tail.
    """
    stop = model.cfg.stop_mel_token
    hidden = backend(model.embed_codes(slots.inputs, offset=at), at)[:, -1]
    logits = (head or model.mel_logits)(hidden)
    logits[:, model.cfg.start_mel_token] = -torch.inf
    logits[:, stop].masked_fill_(slots.floor > at, -torch.inf)
    code = draw(*filtered(logits, slots.seen, options), _column(slots.uniforms, at))
    code = torch.where(slots.lengths < at, stop, code)
    stops = code == stop
    slots.lengths.copy_(torch.where(stops, slots.lengths.clamp(max=at), slots.lengths))
    _set_column(slots.hidden, at, hidden)
    _set_column(slots.codes, at, code)
    slots.seen.scatter_(1, code.unsqueeze(1), True)
    slots.inputs.copy_(torch.where(stops, _column(slots.tail, at), code).unsqueeze(1))


def _column(buffer: Tensor, at: int | Tensor) -> Tensor:
    """The last dimension at one place."""
    if isinstance(at, int):
        return buffer[..., at]
    return buffer.index_select(-1, at.reshape(1)).squeeze(-1)


def _set_column(buffer: Tensor, at: int | Tensor, values: Tensor) -> None:
    """The second dimension at one place."""
    if isinstance(at, int):
        buffer[:, at] = values
    else:
        buffer.index_copy_(1, at.reshape(1), values.unsqueeze(1))
