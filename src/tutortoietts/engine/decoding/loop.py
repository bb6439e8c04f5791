"""The decode loop: N candidates of one text, each drawn from its own random numbers.

A row that has stopped is fed the silence that `end_of_speech.repair_codes` puts there, so that the hidden states of
every row are those of a second pass over its repaired codes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tutortoietts.core.errors import OptionError
from tutortoietts.core.types import Codes
from tutortoietts.engine.decoding.backends import CachedBackend, open_backend
from tutortoietts.engine.decoding.end_of_speech import SILENCE_RUN
from tutortoietts.engine.decoding.model import CodeModel
from tutortoietts.engine.decoding.request import DecodeRequest
from tutortoietts.runtime.memory import is_out_of_memory
from tutortoietts.sampling.tokens import uniforms

__all__ = ["decode", "decode_incrementally", "join_codes"]

_log = logging.getLogger(__name__)


def decode(model: CodeModel, request: DecodeRequest) -> Iterator[Codes]:
    """Return the candidates in batches of at most `batch_size`, with their hidden states.

    Closing the iterator frees the cache. Out of memory, decoding goes on with half as many rows; finished batches are
    kept. Raise OptionError before any work if the request does not fit the model.
    """
    request.check(model.cfg)
    return _decode(model, request)


def decode_incrementally(model: CodeModel, request: DecodeRequest) -> Iterator[Codes]:
    """Yield one candidate while it is drawn: at each look the codes so far, and last what `decode` would give.

    The yielded tensors are views, valid until the next one. Closing the iterator ends the work and frees the cache.
    Raise OptionError before any work if the request does not fit the model or has several generators.
    """
    request.check(model.cfg)
    if len(request.generators) != 1:
        raise OptionError(f"{len(request.generators)} candidates cannot be decoded incrementally: draw one")
    return _decode_incrementally(model, request)


@torch.inference_mode()
def _decode(model: CodeModel, request: DecodeRequest) -> Iterator[Codes]:
    numbers = uniforms(request.generators, request.max_codes)
    size, first = min(request.batch_size, len(numbers)), 0
    backend: CachedBackend | None = None
    try:
        while first < len(numbers):
            try:
                backend = backend or open_backend(model, request, size)  # 1. prefill, once for all candidates
                batch = _Batch(model, request, numbers[first : first + size], backend)  # 2. copy to candidates
                for _ in batch.steps():  # 3. draw a code for every row, 4. and let finished rows leave
                    pass
                codes = batch.finish()  # 5. hidden states behind the last stop codes
            except (RuntimeError, MemoryError) as error:
                if size == 1 or not is_out_of_memory(error):
                    raise
                backend = None
                if request.workspaces is not None:
                    request.workspaces.clear()
                size = (size + 1) // 2
                _log.warning("out of memory: going on with %d candidates at once", size)
            else:
                backend.rest()
                yield codes
                first += size
    finally:
        if backend is not None:
            backend.close()


@torch.inference_mode()
def _decode_incrementally(model: CodeModel, request: DecodeRequest) -> Iterator[Codes]:
    backend = open_backend(model, request, 1)
    try:
        batch = _Batch(model, request, uniforms(request.generators, request.max_codes), backend)
        for drawn in batch.steps():
            yield batch.so_far(drawn)
        yield batch.finish()
    finally:
        backend.close()


class _Batch:
    """Candidates that are decoded together. Those that may still change are in the first rows of the state."""

    def __init__(self, model: CodeModel, request: DecodeRequest, numbers: Tensor, backend: CachedBackend) -> None:
        self.model, self.request, self.backend = model, request, backend
        self.look_every = request.check_every or (1 if model.device.type == "cpu" else 8)
        self.silence = 0 if request.silence_code is None else SILENCE_RUN  # hidden states kept behind a stop code
        self.candidates, size = len(numbers), backend.size(len(numbers))
        backend.state.begin(model.cfg, numbers, request.silence_code, request.min_codes, backend.start)
        self.all = self.active = backend.state.rows(0, size)
        self.order = list(range(size))  # order[row]: its candidate
        self.drawn = 0
        backend.begin(size)

    def steps(self) -> Iterator[int]:
        """Draw the codes. Yield how many are drawn at each look, but not when a look finds that all rows stopped."""
        limit = self.request.max_codes
        while self.drawn < limit:
            self.backend.step(self.active, self.drawn)
            self.drawn += 1
            if self.drawn % self.look_every and self.drawn < limit:
                continue
            if self.request.on_step is not None:
                self.request.on_step(self.drawn, limit)
            lengths = self.active.lengths.tolist()
            if max(lengths) < self.drawn:
                return
            yield self.drawn
            self._compact(lengths)

    def _compact(self, lengths: list[int]) -> None:
        """Let rows leave that have stopped and have all their hidden states, once that halves the batch."""
        staying = [row for row, length in enumerate(lengths) if length + self.silence >= self.drawn]
        size = self.backend.size(len(staying))
        if 2 * size > len(lengths):
            return
        order = staying + sorted({*range(len(lengths))} - {*staying})
        index = torch.tensor(order, device=self.model.device)
        self.active.reorder(index)
        self.backend.keep(index[:size])
        self.order[: len(order)] = [self.order[row] for row in order]
        self.active = self.all.rows(0, size)

    def so_far(self, drawn: int) -> Codes:
        """Return the first `drawn` codes as views, candidates in the order of the rows."""
        state = self.all
        finished = state.lengths < self.request.max_codes
        return Codes(
            ids=state.codes[:, :drawn], lengths=state.lengths, finished=finished, hidden=state.hidden[:, :drawn]
        )

    def finish(self) -> Codes:
        """Compute the missing hidden states in one pass. Return all candidates in order, in tensors of their own."""
        codes = self.so_far(self._complete_hidden())
        row_of = {candidate: row for row, candidate in enumerate(self.order)}
        index = torch.tensor([row_of[candidate] for candidate in range(self.candidates)], device=self.model.device)
        return Codes(
            ids=codes.ids[index],
            lengths=codes.lengths[index],
            finished=codes.finished[index],
            hidden=None if codes.hidden is None else codes.hidden[index],
        )

    def _complete_hidden(self) -> int:
        """Feed the tail behind the last stop codes. Return for how many codes there are hidden states now."""
        state, drawn = self.active, self.drawn
        end = min(int(state.lengths.max()) + self.silence, self.request.max_codes)
        if end <= drawn:
            return drawn
        x = self.model.embed_codes(torch.cat([state.inputs, state.tail[:, drawn : end - 1]], dim=1), offset=drawn)
        state.hidden[:, drawn:end] = self.backend(x, drawn)
        return end


def join_codes(batches: Sequence[Codes], stop_token: int) -> Codes:
    """Join batches into one, shorter ones padded with stop codes."""
    longest = max(batch.ids.shape[1] for batch in batches)
    pairs = [(batch, longest - batch.ids.shape[1]) for batch in batches]
    hidden = [F.pad(batch.hidden, (0, 0, 0, missing)) for batch, missing in pairs if batch.hidden is not None]
    return Codes(
        ids=torch.cat([F.pad(batch.ids, (0, missing), value=stop_token) for batch, missing in pairs]),
        lengths=torch.cat([batch.lengths for batch in batches]),
        finished=torch.cat([batch.finished for batch in batches]),
        hidden=torch.cat(hidden) if len(hidden) == len(batches) else None,
    )
