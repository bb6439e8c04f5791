"""Tokens and a voice to codes: N candidates, each drawn from its own random numbers.

The prefix is computed once and copied to all rows of a static cache; a row that has stopped is fed the silence that
the end repair would put there, so that the hidden states of every row are those of a second pass over its repaired
codes; rows that are done leave the batch. `cached=False` is the slow oracle: the whole sequence again for each code.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from tutortoietts.core.errors import OptionError
from tutortoietts.core.types import Codes
from tutortoietts.engine.memory import is_out_of_memory
from tutortoietts.engine.repair import CALM_RUN, latent_count, repair_codes, tail_codes
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.nn.kv_cache import KVCache
from tutortoietts.sampling.tokens import TokenOptions, draw, filtered, uniforms

__all__ = ["DecodeRequest", "decode", "decode_live", "join_codes", "latents_of"]

_log = logging.getLogger(__name__)
_PLACEHOLDER = 1  # the id the originals' prefix has in the history that the repetition penalty sees


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodeRequest:
    """What to decode: `speaker` (1, D), `text` (1, T) ending in its one 0, and how.

    One candidate for each of `generators`. `max_codes` counts the stop code. `min_codes`: no stop before that
    many; equal to `max_codes`, every row has exactly so many.
    `calm_token`: the code of silence, None for a model without one. `on_step(done, max_codes)` may raise to stop.
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


def decode_live(model: Autoregressive, request: DecodeRequest) -> Iterator[Codes]:
    """One candidate while it is drawn: at every check what there is so far, at last what `decode` would give.

    What is yielded are views, good until the next. Closing the iterator ends the work and frees the cache.
    Raises OptionError before any work if the request does not fit the model or has several generators.
    """
    request.check(model)
    if len(request.generators) != 1:
        raise OptionError(f"{len(request.generators)} candidates cannot be decoded live: draw one")
    return _live(model, request)


def _live(model: Autoregressive, request: DecodeRequest) -> Iterator[Codes]:
    drawn = uniforms(request.generators, request.max_codes)
    trunk = (_CachedTrunk if request.cached else _WholeTrunk)(model, request, 1)
    yield from _Batch(model, request, drawn, trunk).live()


def _batches(model: Autoregressive, request: DecodeRequest) -> Iterator[Codes]:
    drawn = uniforms(request.generators, request.max_codes)
    size = min(request.batch_size, len(drawn))
    trunk: _CachedTrunk | _WholeTrunk | None = None
    start = 0
    while start < len(drawn):
        try:
            trunk = trunk or (_CachedTrunk if request.cached else _WholeTrunk)(model, request, size)
            codes = _Batch(model, request, drawn[start : start + size], trunk).run()
        except (RuntimeError, MemoryError) as error:
            if size == 1 or not is_out_of_memory(error):
                raise
            trunk = None
            size = (size + 1) // 2
            _log.warning("out of memory: going on with %d candidates at once", size)
        else:
            yield codes
            start += size


class _CachedTrunk:
    """Hidden states of new inputs from the static cache; the prefix stays in it for the next batch."""

    def __init__(self, model: Autoregressive, request: DecodeRequest, rows: int) -> None:
        self.model = model
        with torch.inference_mode():
            prefix = model.prefix(request.speaker, request.text)
            self.start = prefix.shape[1]
            self.cache = model.allocate_cache(rows, self.start + request.max_codes)
            model.trunk(prefix, self.cache.rows(0, 1), position=0)
            self.cache.fill_rows(0, self.start)
        self.active: KVCache = self.cache

    def reset(self, rows: int) -> None:
        self.active = self.cache.rows(0, rows)

    def __call__(self, x: Tensor, at: int) -> Tensor:
        return self.model.trunk(x, cache=self.active, position=self.start + at)

    def keep(self, index: Tensor) -> None:
        self.active = self.active.keep_rows(index)


class _WholeTrunk:
    """The oracle: everything so far goes through the model again."""

    def __init__(self, model: Autoregressive, request: DecodeRequest, rows: int) -> None:
        self.model = model
        with torch.inference_mode():
            self.prefix = model.prefix(request.speaker, request.text)
        self.inputs = self.prefix

    def reset(self, rows: int) -> None:
        self.inputs = self.prefix.expand(rows, -1, -1)

    def __call__(self, x: Tensor, at: int) -> Tensor:
        self.inputs = torch.cat([self.inputs, x], dim=1)
        return self.model.trunk(self.inputs)[:, -x.shape[1] :]

    def keep(self, index: Tensor) -> None:
        self.inputs = self.inputs[index]


class _Batch:
    """One batch of candidates while it is decoded. Buffers hold all rows; `alive` says which are still in the trunk."""

    def __init__(
        self,
        model: Autoregressive,
        request: DecodeRequest,
        uniforms: Tensor,
        trunk: _CachedTrunk | _WholeTrunk,
    ) -> None:
        cfg, rows, steps = model.cfg, len(uniforms), request.max_codes
        device = model.device
        self.model, self.request, self.trunk = model, request, trunk
        self.stop, self.start = cfg.stop_mel_token, cfg.start_mel_token
        self.every = request.check_every or (1 if device.type == "cpu" else 8)
        self.extra = 0 if request.calm_token is None else CALM_RUN
        calm = self.stop if request.calm_token is None else request.calm_token
        self.tail = tail_codes(steps, calm, device)
        self.uniforms = uniforms.to(device)
        self.codes = torch.full((rows, steps), self.stop, dtype=torch.int64, device=device)
        self.hidden = torch.empty((rows, steps, cfg.model_dim), dtype=model.dtype, device=device)
        self.lengths = torch.full((rows,), steps, dtype=torch.int64, device=device)
        self.alive = torch.arange(rows, device=device)
        self.seen = torch.zeros((rows, cfg.number_mel_codes), dtype=torch.bool, device=device)
        self.seen[:, [_PLACEHOLDER, self.start]] = True
        trunk.reset(rows)

    def run(self) -> Codes:
        return deque(self.live(), maxlen=1).pop()

    @torch.inference_mode()
    def live(self) -> Iterator[Codes]:
        """What there is at every check, as views; the last is complete."""
        steps = self.request.max_codes
        inputs = torch.full((len(self.alive), 1), self.start, dtype=torch.int64, device=self.alive.device)
        done = 0
        while done < steps:
            inputs = self._step(inputs, done)
            done += 1
            if done % self.every == 0 or done == steps:
                if self.request.on_step is not None:
                    self.request.on_step(done, steps)
                lengths = self.lengths[self.alive].tolist()
                if max(lengths) < done:
                    break
                yield self._filled(done)
                inputs = self._leave(inputs, lengths, done)
        filled = self._finish(inputs, done)
        codes = self._filled(filled)
        if filled < steps and codes.hidden is not None:
            codes = replace(codes, ids=codes.ids.clone(), hidden=codes.hidden.clone())  # lets the buffers go
        yield codes

    def _filled(self, places: int) -> Codes:
        finished = self.lengths < self.request.max_codes
        hidden = self.hidden[:, :places]
        return Codes(ids=self.codes[:, :places], lengths=self.lengths, finished=finished, hidden=hidden)

    def _step(self, inputs: Tensor, at: int) -> Tensor:
        """Feed one code a row, draw the next; returns what to feed after it."""
        hidden = self.trunk(self.model.embed_codes(inputs, offset=at), at)[:, -1]
        logits = self.model.mel_logits(hidden)
        logits[:, self.start] = -torch.inf
        if at < self.request.min_codes:
            logits[:, self.stop] = -torch.inf
        code = draw(*filtered(logits, self.seen, self.request.options), self.uniforms[self.alive, at])
        before = self.lengths[self.alive]
        stopped = before < at
        code = torch.where(stopped, self.stop, code)
        length = torch.where(stopped, before, torch.where(code == self.stop, at, self.request.max_codes))
        self.hidden[self.alive, at] = hidden
        self.codes[self.alive, at] = code
        self.lengths[self.alive] = length
        self.seen.scatter_(1, code.unsqueeze(1), True)
        return torch.where(code == self.stop, self.tail[at], code).unsqueeze(1)

    def _leave(self, inputs: Tensor, lengths: list[int], done: int) -> Tensor:
        """Take rows out that have stopped and have all their hidden states, once that halves the batch."""
        staying = [row for row, length in enumerate(lengths) if length + self.extra >= done]
        if 2 * len(staying) > len(lengths):
            return inputs
        index = torch.tensor(staying, device=self.alive.device)
        self.trunk.keep(index)
        self.alive, self.seen = self.alive[index], self.seen[index]
        return inputs[index]

    def _finish(self, inputs: Tensor, done: int) -> int:
        """The hidden states still missing behind the last stop codes, in one go; how many places are filled now."""
        steps = self.request.max_codes
        longest = int(self.lengths[self.alive].max())
        more = min(longest + self.extra, steps) - done
        if more > 0:
            rest = self.tail[done : done + more - 1].expand(len(self.alive), -1)
            x = self.model.embed_codes(torch.cat([inputs, rest], dim=1), offset=done)
            self.hidden[self.alive, done : done + more] = self.trunk(x, done)
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
