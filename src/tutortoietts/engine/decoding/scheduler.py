"""Continuous batching: candidates of many requests share decode steps, each at its own position.

A row is admitted when one is free and leaves when its candidate has ended. What a candidate draws depends on its own
prefix, generator and options only, so on a CPU with compiled kernels the same request gives the same bits alone and
among strangers. `engine.decoding.loop` is the reference that tests compare with.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue

import torch
from torch import Tensor

from tutortoietts.accelerate import GptStep, compiled_step
from tutortoietts.core.errors import OptionError
from tutortoietts.core.types import Codes
from tutortoietts.engine.decoding.end_of_speech import SILENCE_RUN, tail_codes
from tutortoietts.engine.decoding.model import CodeModel
from tutortoietts.engine.decoding.request import DecodeRequest
from tutortoietts.engine.decoding.state import PLACEHOLDER, draw_codes
from tutortoietts.engine.streaming.turns import Turns
from tutortoietts.nn.kv_cache import KVCache
from tutortoietts.runtime.memory import bucket, returning_memory
from tutortoietts.sampling.tokens import uniforms

__all__ = ["Scheduler", "SharedBatch"]

_POSITIONS = 128  # by which the shared cache grows


@dataclass(slots=True, eq=False)
class _Ticket:
    """One request. Its caller reads from `events` how many codes each candidate has, and at last None or an error."""

    request: DecodeRequest
    live: bool
    prefilled: KVCache
    events: SimpleQueue[int | BaseException | None] = field(default_factory=SimpleQueue)
    sequences: list[_Sequence] = field(default_factory=list)
    unfinished: int = 0
    cancelled: bool = False


@dataclass(slots=True, eq=False)
class _Sequence:
    """One candidate. codes (S,), hidden (S, D): drawn so far, in memory of its own; length: codes before the stop."""

    ticket: _Ticket
    uniforms: Tensor
    codes: Tensor
    hidden: Tensor
    drawn: int = 0
    length: int = 0

    @property
    def start(self) -> int:
        return self.ticket.request.prefix.shape[1]


class Scheduler:
    """Decode requests of several threads in one batch of at most `rows` rows, in a thread of its own.

    Streams go before whole clips, which use at most half of the rows, so that a listener never waits for a clip.
    The thread starts with the first request and ends, and frees the cache, when none is left.
    """

    def __init__(self, model: CodeModel, rows: int) -> None:
        if rows < 2:
            raise OptionError(f"a shared batch has {rows} rows, must have at least 2: one for streams, one for clips")
        self.model, self.rows = model, rows
        self._waiting: tuple[deque[_Sequence], deque[_Sequence]] = (deque(), deque())  # streams, whole clips
        self._running: list[_Sequence] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def load(self) -> tuple[int, int]:
        """Rows in use, and candidates that wait for one."""
        return len(self._running), sum(map(len, self._waiting))

    def decode(self, request: DecodeRequest) -> Iterator[Codes]:
        """Yield all candidates at once, as `loop.decode` gives them with a batch size of all."""
        ticket = self._submit(request, live=False)
        try:
            for drawn in _events(ticket):
                if request.on_step is not None:
                    request.on_step(drawn, request.max_codes)
            yield _all_codes(self.model, ticket)
        finally:
            ticket.cancelled = True
            ticket.sequences = []  # no cycle that would keep the tensors

    def decode_incrementally(self, request: DecodeRequest) -> Iterator[Codes]:
        """Yield one candidate while it is drawn, as `loop.decode_incrementally`, at every code."""
        ticket = self._submit(request, live=True)
        (sequence,) = ticket.sequences
        limit = torch.tensor([request.max_codes])
        try:
            for drawn in _events(ticket):
                if request.on_step is not None:
                    request.on_step(drawn, request.max_codes)
                yield Codes(
                    ids=sequence.codes[None, :drawn],
                    lengths=limit,
                    finished=torch.zeros(1, dtype=torch.bool),
                    hidden=sequence.hidden[None, :drawn],
                )
            yield _all_codes(self.model, ticket)
        finally:
            ticket.cancelled = True
            ticket.sequences = []  # no cycle that would keep the tensors

    @torch.inference_mode()
    def _submit(self, request: DecodeRequest, *, live: bool) -> _Ticket:
        """Prefill in the caller's thread and queue the candidates. Raise OptionError unless the model can do it."""
        model = self.model
        request.check(model.cfg)
        if live and len(request.generators) != 1:
            raise OptionError(f"{len(request.generators)} candidates cannot be decoded incrementally: draw one")
        prefilled = model.allocate_cache(1, request.prefix.shape[1])
        model.hidden_states(request.prefix, prefilled, position=0)
        ticket = _Ticket(request, live, prefilled)
        limit, device = request.max_codes, model.device
        for numbers in uniforms(request.generators, limit).to(device):
            codes = torch.full((limit,), model.cfg.stop_mel_token, dtype=torch.int64, device=device)
            hidden = torch.empty((limit, model.cfg.model_dim), dtype=model.dtype, device=device)
            ticket.sequences.append(_Sequence(ticket, numbers, codes, hidden, length=limit))
        ticket.unfinished = len(ticket.sequences)
        with self._lock:
            self._waiting[0 if live else 1].extend(ticket.sequences)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="tutortoietts-decode", daemon=True)
                self._thread.start()
        return ticket

    def _work(self) -> None:
        again = True
        while again:
            with returning_memory(self.model.device):
                self._run()
            with self._lock:
                again = bool(self._running) or any(self._waiting)
                if not again:
                    self._thread = None

    @torch.inference_mode()
    def _run(self) -> None:
        """Decode until there is nothing left to decode."""
        batch = _Batch(self.model, self.rows)
        while self._running or any(self._waiting):
            try:
                self._admit(batch)
                batch.step(self._running)
                self._leave(batch)
            except BaseException as error:
                batch = _Batch(self.model, self.rows)
                self._fail(error)

    def _admit(self, batch: _Batch) -> None:
        live, whole = self._waiting
        clips = sum(not sequence.ticket.live for sequence in self._running)
        while len(self._running) < self.rows:
            if live:
                sequence = live.popleft()
            elif whole and clips < self.rows // 2:
                sequence, clips = whole.popleft(), clips + 1
            else:
                return
            if not sequence.ticket.cancelled:
                batch.enter(len(self._running), sequence)
                self._running.append(sequence)

    def _leave(self, batch: _Batch) -> None:
        """Report to the callers, and let rows go that have ended or that nobody waits for."""
        drawn: dict[_Ticket, int] = {}
        ended_tickets: list[_Ticket] = []
        for row in reversed(range(len(self._running))):
            sequence = self._running[row]
            ticket = sequence.ticket
            ended = sequence.length < sequence.drawn or sequence.drawn == ticket.request.max_codes
            if not (ticket.live and sequence.length < sequence.drawn):  # the reference yields nothing at a stop code
                drawn[ticket] = max(drawn.get(ticket, 0), sequence.drawn)
            if not ended and not ticket.cancelled:
                continue
            if ended:
                batch.complete(row, sequence)
                ticket.unfinished -= 1
                if ticket.unfinished == 0:
                    ended_tickets.append(ticket)
            last = self._running.pop()
            if last is not sequence:
                batch.move(len(self._running), row)
                self._running[row] = last
        for ticket, codes in drawn.items():
            ticket.events.put(codes)
        for ticket in ended_tickets:
            ticket.events.put(None)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            waiting = [sequence for queue in self._waiting for sequence in queue]
            tickets = {sequence.ticket for sequence in [*self._running, *waiting]}
            self._running.clear()
            for queue in self._waiting:
                queue.clear()
        for ticket in tickets:
            ticket.events.put(error)


class SharedBatch:
    """The scheduler of the model in use, in place of the functions of `loop`, and the turns of streams that make sound.

    Safe to share between threads.
    """

    def __init__(self, rows: int) -> None:
        self.rows, self.turns = rows, Turns()
        self._scheduler: Scheduler | None = None
        self._lock = threading.Lock()

    @property
    def load(self) -> tuple[int, int]:
        """Rows in use, and candidates that wait for one."""
        return (0, 0) if self._scheduler is None else self._scheduler.load

    def decode(self, model: CodeModel, request: DecodeRequest) -> Iterator[Codes]:
        """Yield the candidates, as `loop.decode`."""
        return self._of(model).decode(request)

    def decode_incrementally(self, model: CodeModel, request: DecodeRequest) -> Iterator[Codes]:
        """Yield one candidate while it is drawn, as `loop.decode_incrementally`."""
        return self._of(model).decode_incrementally(request)

    def _of(self, model: CodeModel) -> Scheduler:
        with self._lock:
            if self._scheduler is None or self._scheduler.model is not model:
                self._scheduler = Scheduler(model, self.rows)
            return self._scheduler


class _Batch:
    """The rows' buffers: the first ones belong to the running sequences, in their order."""

    def __init__(self, model: CodeModel, rows: int) -> None:
        device, self.model, self.rows = model.device, model, rows
        self.cache: KVCache | None = None
        self.compiled: GptStep | None = compiled_step(model) if device.type == "cpu" else None
        self.inputs = torch.zeros((rows, 1), dtype=torch.int64, device=device)
        self.seen = torch.zeros((rows, model.cfg.number_mel_codes), dtype=torch.bool, device=device)

    def enter(self, row: int, sequence: _Sequence) -> None:
        """Put a sequence into a row: its prefix into the cache."""
        cache = self._reach(sequence.start + 1, row + 1)
        cache.rows(row, row + 1).copy_start(sequence.ticket.prefilled)
        start = self.model.cfg.start_mel_token
        self.inputs[row] = start
        self.seen[row] = False
        self.seen[row, PLACEHOLDER] = self.seen[row, start] = True

    def move(self, source: int, target: int) -> None:
        """Move a row."""
        cache = self._reach(0)
        for buffer in (cache.keys, cache.values):
            buffer[:, target] = buffer[:, source]
        for rows in (self.inputs, self.seen):
            rows[target] = rows[source]

    def step(self, running: list[_Sequence]) -> None:
        """Draw one code for each sequence."""
        count = len(running)
        if not count:
            return
        device, cfg = self.model.device, self.model.cfg
        drawn = [sequence.drawn for sequence in running]
        positions = torch.tensor(drawn, device=device)
        starts = torch.tensor([sequence.start for sequence in running], device=device)
        self._reach(int((starts + positions).max()) + 1)
        hidden = self._hidden(self.model.embed_codes(self.inputs[:count], offset=positions), starts + positions, 0)
        hidden = hidden[:, -1]
        logits = (self.model.mel_logits if self.compiled is None else self.compiled.logits)(hidden)
        numbers = torch.stack([sequence.uniforms[place] for sequence, place in zip(running, drawn, strict=True)])
        floors = torch.tensor([sequence.ticket.request.min_codes for sequence in running], device=device)
        options = [sequence.ticket.request.options for sequence in running]
        codes = draw_codes(cfg, logits, self.seen[:count], numbers, floors > positions, options)
        self.seen[:count].scatter_(1, codes.unsqueeze(1), True)
        self.inputs[:count] = codes.unsqueeze(1)
        for row, (sequence, code) in enumerate(zip(running, codes.tolist(), strict=True)):
            sequence.hidden[sequence.drawn] = hidden[row]
            sequence.codes[sequence.drawn] = code
            if code == cfg.stop_mel_token:
                sequence.length = sequence.drawn
            sequence.drawn += 1

    def complete(self, row: int, sequence: _Sequence) -> None:
        """Compute the hidden states of the silence behind the stop code."""
        request, drawn = sequence.ticket.request, sequence.drawn
        silence = 0 if request.silence_code is None else SILENCE_RUN
        end = min(sequence.length + silence, request.max_codes)
        if end <= drawn:
            return
        code = self.model.cfg.stop_mel_token if request.silence_code is None else request.silence_code
        tail = tail_codes(request.max_codes, code, self.model.device)[None, drawn - 1 : end - 1]
        cache = self._reach(sequence.start + end).rows(row, row + 1)
        x = self.model.embed_codes(tail, offset=drawn)
        sequence.hidden[drawn:end] = self._hidden(x, sequence.start + drawn, row, cache)[0]

    def _reach(self, positions: int, rows: int = 1) -> KVCache:
        """Return the cache, grown to at least this many positions and rows."""
        length = -(-positions // _POSITIONS) * _POSITIONS
        if self.cache is None:
            self.cache = self.model.allocate_cache(min(bucket(rows), self.rows), length)
        if positions > self.cache.max_len:
            self.cache.lengthen(length)
        if rows > self.cache.batch:
            before, self.cache = self.cache, self.model.allocate_cache(min(bucket(rows), self.rows), self.cache.max_len)
            for old, new in ((before.keys, self.cache.keys), (before.values, self.cache.values)):
                new[:, : before.batch] = old
        return self.cache

    def _hidden(self, x: Tensor, position: int | Tensor, row: int, cache: KVCache | None = None) -> Tensor:
        """Embedded inputs (R, S, D) of the rows from `row` on at cache positions -> hidden states (R, S, D)."""
        cache = cache or self._reach(0).rows(row, row + len(x))
        if self.compiled is not None and self.compiled.takes(x, cache):
            return self.compiled(x, cache, position, shared=0)
        return self.model.hidden_states(x, cache=cache, position=position)


def _events(ticket: _Ticket) -> Iterator[int]:
    while True:
        event = ticket.events.get()
        if event is None:
            return
        if isinstance(event, BaseException):
            raise event
        yield event


def _all_codes(model: CodeModel, ticket: _Ticket) -> Codes:
    """Return the candidates of a finished ticket, padded with stop codes to the longest."""
    sequences, limit = ticket.sequences, ticket.request.max_codes
    silence = 0 if ticket.request.silence_code is None else SILENCE_RUN
    lengths = torch.tensor([sequence.length for sequence in sequences], device=model.device)
    width = min(max(max(sequence.drawn, sequence.length + silence) for sequence in sequences), limit)
    return Codes(
        ids=torch.stack([sequence.codes[:width] for sequence in sequences]),
        lengths=lengths,
        finished=lengths < limit,
        hidden=torch.stack([sequence.hidden[:width] for sequence in sequences]),
    )
