"""Tokens and a voice to codes: N candidates, each drawn from its own random numbers.

The prefix is computed once and copied to all rows of a cache, which grows with what is said; a row that has stopped is
fed the silence that the end repair would put there, so that the hidden states of every row are those of a second pass
over its repaired codes; rows that are done leave the batch. `cached=False` is the slow oracle: the whole sequence again
for each code.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tutortoietts.core.errors import OptionError
from tutortoietts.core.types import Codes
from tutortoietts.engine.decoding.backends import CachedBackend, open_backend
from tutortoietts.engine.decoding.end_of_speech import SILENCE_RUN, latent_count, repair_codes
from tutortoietts.engine.decoding.workspace import Workspaces
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.runtime.memory import is_out_of_memory
from tutortoietts.sampling.tokens import TokenOptions, uniforms

__all__ = ["DecodeRequest", "decode", "decode_incrementally", "join_codes", "latents_of"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodeRequest:
    """What to decode: `speaker` (1, D), `text` (1, T) ending in its one 0, and how.

    One candidate for each of `generators`. `max_codes` counts the stop code. `min_codes`: no stop before that
    many; equal to `max_codes`, every row has exactly so many.
    `calm_token`: the code of silence, None for a model without one. `on_step(done, max_codes)` may raise to stop.
    `fixed`: decode in steps of fixed shape; None: where that is faster. `workspaces` lends their buffers.
    """

    speaker: Tensor
    text: Tensor
    generators: Sequence[torch.Generator]
    max_codes: int
    options: TokenOptions
    calm_token: int | None = None
    min_codes: int = 0
    batch_size: int = 16
    cached: bool = True
    check_every: int | None = None
    on_step: Callable[[int, int], None] | None = None
    fixed: bool | None = None
    workspaces: Workspaces | None = None

    def check(self, model: Autoregressive) -> None:
        """Raises OptionError unless this model can decode it."""
        limit = model.cfg.max_mel_tokens
        if not 1 <= self.max_codes <= limit:
            raise OptionError(f"max_mel_tokens is {self.max_codes}, outside 1..{limit} for this model")
        if not 0 <= self.min_codes <= self.max_codes:
            raise OptionError(f"min_mel_tokens is {self.min_codes}, outside 0..{self.max_codes} (max_mel_tokens)")
        if self.batch_size < 1:
            raise OptionError(f"autoregressive_batch_size is {self.batch_size}, must be at least 1")
        if not self.generators:
            raise OptionError("num_autoregressive_samples is 0, must be at least 1")


def decode(model: Autoregressive, request: DecodeRequest) -> Iterator[Codes]:
    """All candidates in batches of at most `batch_size`, with their hidden states; as many rows as generators.

    Closing the iterator frees the cache. Out of memory, it goes on with half as many at once; finished ones are kept.
    Raises OptionError before any work if the request does not fit the model.
    """
    request.check(model)
    return _batches(model, request)


def decode_incrementally(model: Autoregressive, request: DecodeRequest) -> Iterator[Codes]:
    """One candidate while it is drawn: at every check what there is so far, at last what `decode` would give.

    What is yielded are views, good until the next. Closing the iterator ends the work and frees the cache.
    Raises OptionError before any work if the request does not fit the model or has several generators.
    """
    request.check(model)
    if len(request.generators) != 1:
        raise OptionError(f"{len(request.generators)} candidates cannot be decoded live: draw one")
    return _live(model, request)


@torch.inference_mode()
def _live(model: Autoregressive, request: DecodeRequest) -> Iterator[Codes]:
    backend = open_backend(model, request, 1)
    try:
        batch = _Batch(model, request, uniforms(request.generators, request.max_codes), backend)
        for places in batch.checks():
            yield batch.filled(places)
        yield batch.result()
    finally:
        backend.close()


@torch.inference_mode()
def _batches(model: Autoregressive, request: DecodeRequest) -> Iterator[Codes]:
    drawn = uniforms(request.generators, request.max_codes)
    size = min(request.batch_size, len(drawn))
    backend: CachedBackend | None = None
    start = 0
    try:
        while start < len(drawn):
            try:
                backend = backend or open_backend(model, request, size)
                codes = _run(_Batch(model, request, drawn[start : start + size], backend))
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
                start += size
    finally:
        if backend is not None:
            backend.close()


def _run(batch: _Batch) -> Codes:
    for _ in batch.checks():
        pass
    return batch.result()


class _Batch:
    """One batch of candidates while it is decoded: those that may still change are in the first slots."""

    def __init__(self, model: Autoregressive, request: DecodeRequest, uniforms: Tensor, backend: CachedBackend) -> None:
        self.model, self.request, self.backend = model, request, backend
        self.every = request.check_every or (1 if model.device.type == "cpu" else 8)
        self.extra = 0 if request.calm_token is None else SILENCE_RUN
        self.rows = len(uniforms)
        backend.slots.begin(model, uniforms, request.calm_token, request.min_codes)
        size = backend.size(self.rows)
        self.all = self.active = backend.slots.first(size)
        self.order = list(range(size))  # the row in each slot
        self.done = 0
        backend.begin(size)

    def result(self) -> Codes:
        """After the last check: all rows in their order, in tensors of their own."""
        codes = self.filled(self._finish(self.done))
        slot = {row: slot for slot, row in enumerate(self.order)}
        index = torch.tensor([slot[row] for row in range(self.rows)], device=self.model.device)
        return Codes(
            ids=codes.ids[index],
            lengths=codes.lengths[index],
            finished=codes.finished[index],
            hidden=None if codes.hidden is None else codes.hidden[index],
        )

    def filled(self, places: int) -> Codes:
        """What there is of the first places, as views; rows in the order of the slots."""
        finished = self.all.lengths < self.request.max_codes
        hidden = self.all.hidden[:, :places]
        return Codes(ids=self.all.codes[:, :places], lengths=self.all.lengths, finished=finished, hidden=hidden)

    def checks(self) -> Iterator[int]:
        """Draws the codes; how many places are filled, at every check but one that finds all rows stopped."""
        steps = self.request.max_codes
        while self.done < steps:
            self.backend.step(self.active, self.done)
            self.done += 1
            if self.done % self.every == 0 or self.done == steps:
                if self.request.on_step is not None:
                    self.request.on_step(self.done, steps)
                lengths = self.active.lengths.tolist()
                if max(lengths) < self.done:
                    return
                yield self.done
                self._leave(lengths, self.done)

    def _leave(self, lengths: list[int], done: int) -> None:
        """Take rows out that have stopped and have all their hidden states, once that halves the batch."""
        staying = [slot for slot, length in enumerate(lengths) if length + self.extra >= done]
        kept = self.backend.size(len(staying))
        if 2 * kept > len(lengths):
            return
        order = staying + [slot for slot in range(len(lengths)) if slot not in set(staying)]
        index = torch.tensor(order, device=self.model.device)
        self.active.reorder(index)
        self.backend.keep(index[:kept])
        self.order[: len(order)] = [self.order[slot] for slot in order]
        self.active = self.all.first(kept)

    def _finish(self, done: int) -> int:
        """The hidden states still missing behind the last stop codes, in one go; how many places are filled now."""
        slots, steps = self.active, self.request.max_codes
        longest = int(slots.lengths.max())
        more = min(longest + self.extra, steps) - done
        if more > 0:
            rest = slots.tail[done : done + more - 1].expand(len(slots.inputs), -1)
            x = self.model.embed_codes(torch.cat([slots.inputs, rest], dim=1), offset=done)
            slots.hidden[:, done : done + more] = self.backend(x, done)
        return done + max(more, 0)


def join_codes(batches: Sequence[Codes], stop_token: int) -> Codes:
    """Several batches as one, shorter ones padded with stop codes."""
    longest = max(batch.ids.shape[1] for batch in batches)
    pairs = [(batch, longest - batch.ids.shape[1]) for batch in batches]
    hidden = [F.pad(batch.hidden, (0, 0, 0, gap)) for batch, gap in pairs if batch.hidden is not None]
    return Codes(
        ids=torch.cat([F.pad(batch.ids, (0, gap), value=stop_token) for batch, gap in pairs]),
        lengths=torch.cat([batch.lengths for batch in batches]),
        finished=torch.cat([batch.finished for batch in batches]),
        hidden=torch.cat(hidden) if len(hidden) == len(batches) else None,
    )


@torch.inference_mode()
def latents_of(
    model: Autoregressive, request: DecodeRequest, codes: Codes, row: int, rule: str = "after_stop"
) -> Tensor:
    """The latents of one candidate: its kept hidden states where they are those of its repaired codes, otherwise a
    second pass over these -> (1, K, D) with at least one latent."""
    cfg, steps, calm = model.cfg, request.max_codes, request.calm_token
    full = F.pad(codes.ids[row : row + 1], (0, steps - codes.ids.shape[1]), value=cfg.stop_mel_token)
    length = int(codes.lengths[row])
    if calm is None:
        count, repaired = length, full
    else:
        count = int(latent_count(full, cfg.stop_mel_token, calm, rule)[0])
        repaired = repair_codes(full, cfg.stop_mel_token, calm)
    count = max(count, 1)
    drawn = min(length, count - 1)  # codes that led to these latents; behind them the decoding fed the repair
    same = torch.equal(repaired[0, :drawn], full[0, :drawn])
    if codes.hidden is not None and same and count <= codes.hidden.shape[1]:
        return codes.hidden[row : row + 1, :count]
    again: Tensor = model(request.speaker, request.text, repaired)[0]
    return again[:, :count]
