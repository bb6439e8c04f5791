"""Requests that share a batch draw the codes that they draw alone."""

from __future__ import annotations

import random
import shutil
import threading

import pytest
import torch

from support import CONFIG, decode_request, lively_model, run
from tutortoietts.accelerate import accelerate
from tutortoietts.core.errors import Cancelled, OptionError
from tutortoietts.core.types import Codes
from tutortoietts.engine.decoding.loop import decode_incrementally
from tutortoietts.engine.decoding.request import DecodeRequest
from tutortoietts.engine.decoding.scheduler import Scheduler
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.sampling.tokens import TokenOptions

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


def of_kind(kind: str) -> Autoregressive:
    model = lively_model()
    if kind == "int8":
        accelerate(model, precision="int8")
    return model.bfloat16() if kind == "bf16" else model


def requests_of(model: Autoregressive) -> list[DecodeRequest]:
    """Requests that differ in everything a request can differ in."""
    draw = random.Random(7)
    made = []
    for seed in range(15):
        options = TokenOptions(
            temperature=draw.choice([0.7, 1.0]), top_k=draw.choice([0, 5]), top_p=0.95, repetition_penalty=1.1
        )
        text = torch.tensor([[draw.randrange(1, 19) for _ in range(draw.randrange(2, 12))] + [0]])
        changes = {"max_codes": draw.choice([12, 30, 50]), "silence_code": draw.choice([3, None])}
        made.append(
            decode_request(draw.choice([1, 1, 3]), seed=seed, model=model, text=text, options=options, **changes)
        )
    return made


def same(ours: Codes, theirs: Codes, silence: int) -> bool:
    assert torch.equal(ours.lengths, theirs.lengths) and torch.equal(ours.finished, theirs.finished)
    for row, length in enumerate(theirs.lengths.tolist()):
        assert torch.equal(ours.ids[row, :length], theirs.ids[row, :length])
        kept = min(length + silence, theirs.hidden.shape[1], ours.hidden.shape[1])
        assert kept >= length and torch.equal(ours.hidden[row, :kept], theirs.hidden[row, :kept])
    return True


@needs_compiler
@pytest.mark.parametrize("kind", ["fp32", "bf16", "int8"])
def test_the_same_bits_alone_and_among_strangers(kind: str) -> None:
    model = of_kind(kind)
    requests = requests_of(model)
    alone = [run(model, request) for request in requests_of(model)]  # generators are used up
    scheduler, found = Scheduler(model, rows=6), {}

    def work(number: int) -> None:
        (found[number],) = scheduler.decode(requests[number])

    order = random.Random(1).sample(range(len(requests)), len(requests))
    threads = [threading.Thread(target=work, args=(number,)) for number in order]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, request in enumerate(requests):
        assert same(found[number], alone[number], 0 if request.silence_code is None else 8)
    assert scheduler.load == (0, 0)


@needs_compiler
def test_a_stream_among_clips_is_the_stream_alone() -> None:
    model = of_kind("fp32")

    def live() -> list[DecodeRequest]:
        return [decode_request(1, seed=seed, model=model, check_every=1) for seed in range(4)]

    alone = [list(decode_incrementally(model, request)) for request in live()]
    scheduler = Scheduler(model, rows=4)
    clips = threading.Thread(target=lambda: list(scheduler.decode(decode_request(12, model=model, seed=9))))
    clips.start()
    streams = [scheduler.decode_incrementally(request) for request in live()]
    for theirs, ours in zip(alone, map(list, streams), strict=True):
        assert len(ours) == len(theirs)
        for one, other in zip(ours[:-1], theirs[:-1], strict=True):
            assert torch.equal(one.ids, other.ids) and one.hidden.shape == other.hidden.shape
        assert same(ours[-1], theirs[-1], 8)
    clips.join()


def test_without_compiled_steps() -> None:
    """Torch rounds a row differently in another batch: the codes of this model are the same all the same."""
    with torch.random.fork_rng():
        plain = Autoregressive(CONFIG).eval().requires_grad_(False)
        plain.load_state_dict(lively_model().state_dict())
    (codes,) = Scheduler(plain, rows=8).decode(decode_request(3, model=plain))
    alone = run(plain, decode_request(3, model=plain))
    assert torch.equal(codes.lengths, alone.lengths)
    torch.testing.assert_close(codes.hidden[:, :5], alone.hidden[:, :5], rtol=1e-4, atol=1e-5)


def test_a_request_that_is_given_up_leaves_no_row() -> None:
    model = of_kind("fp32")
    scheduler = Scheduler(model, rows=2)
    stream = scheduler.decode_incrementally(decode_request(1, model=model, min_codes=49))
    next(stream)
    stream.close()

    def stop(drawn: int, _: int) -> None:
        raise Cancelled(f"at {drawn}")

    with pytest.raises(Cancelled):
        next(scheduler.decode(decode_request(5, model=model, on_step=stop)))
    (codes,) = scheduler.decode(decode_request(2, model=model))
    assert torch.equal(codes.lengths, run(model, decode_request(2, model=model)).lengths)
    thread = scheduler._thread
    if thread is not None:
        thread.join()
    assert scheduler.load == (0, 0)


def test_an_error_reaches_every_caller_and_the_next_request_works(monkeypatch: pytest.MonkeyPatch) -> None:
    model = of_kind("fp32")
    scheduler, embed, failed = Scheduler(model, rows=4), model.embed_codes, []

    def broken(codes: torch.Tensor, offset: int | torch.Tensor = 0) -> torch.Tensor:
        if not failed:
            failed.append(1)
            raise RuntimeError("broken")
        return embed(codes, offset)

    monkeypatch.setattr(model, "embed_codes", broken)
    with pytest.raises(RuntimeError, match="broken"):
        next(scheduler.decode(decode_request(3, model=model)))
    (codes,) = scheduler.decode(decode_request(3, model=model))
    assert len(codes.ids) == 3


def test_bad_requests_are_refused() -> None:
    model = of_kind("fp32")
    with pytest.raises(OptionError, match="a shared batch has 1 rows, must have at least 2"):
        Scheduler(model, rows=1)
    scheduler = Scheduler(model, rows=2)
    with pytest.raises(OptionError, match="2 candidates cannot be decoded incrementally"):
        next(scheduler.decode_incrementally(decode_request(2, model=model)))
    with pytest.raises(OptionError, match="max_mel_tokens is 99"):
        next(scheduler.decode(decode_request(2, model=model, max_codes=99)))
