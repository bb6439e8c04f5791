"""Streams of a tiny model by the whole pipeline, and the prefetching behind them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from support import speech_request
from tutortoietts.core.errors import AudioError
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.core.streaming import Streaming
from tutortoietts.core.types import Codes
from tutortoietts.engine.decoding.loop import decode
from tutortoietts.engine.decoding.request import DecodeRequest
from tutortoietts.engine.pipeline import Pipeline
from tutortoietts.engine.progress import Progress
from tutortoietts.engine.request import Request
from tutortoietts.engine.streaming.prefetch import prefetch
from tutortoietts.engine.streaming.stream import stream
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.runtime.source import open_source
from tutortoietts.text.brackets import Passage

OPTIONS = SpeechOptions(
    num_autoregressive_samples=3, max_mel_tokens=10, diffusion_iterations=2, sampler="dpm++2m", cond_free=False
)
Show = Callable[[str, int, int], None]


@pytest.fixture(scope="module")
def models(tiny_model: Path) -> LoadedModels:
    return LoadedModels(open_source(tiny_model), device=torch.device("cpu"), dtype=torch.float32)


def request_of(*texts: str, **changes) -> Request:
    return speech_request(*(texts or ("one two", "three", "four five six")), options=OPTIONS, **changes)


def whole(models: LoadedModels, request: Request, show: Show | None = None) -> list[Tensor]:
    return [samples for samples, _ in Pipeline(models, request, Progress(show=show)).whole()]


def streamed(models: LoadedModels, request: Request, show: Show | None = None) -> Iterator[Tensor]:
    return stream(Pipeline(models, request, Progress(show=show)), Streaming(decoder="diffusion"))


def test_the_joined_stream_is_the_whole(models: LoadedModels) -> None:
    chunks = list(streamed(models, request_of()))
    (wave,) = whole(models, request_of())
    assert len(chunks) == 3 and all(chunk.ndim == 1 and chunk.dtype == torch.float32 for chunk in chunks)
    torch.testing.assert_close(torch.cat(chunks), wave.flatten(), rtol=0, atol=1e-6)
    (chunk,) = streamed(models, request_of("alone"))
    assert torch.equal(chunk, whole(models, request_of("alone"))[0].flatten())


def test_each_passage_follows_from_the_seed_and_its_place(models: LoadedModels) -> None:
    (first,), (second,) = Pipeline(models, request_of("same", "same"), Progress()).passages()
    (again,), *_ = Pipeline(models, request_of("same", "other", "more"), Progress()).passages()
    assert torch.equal(first.samples, again.samples)
    assert first.samples.shape != second.samples.shape or not torch.equal(first.samples, second.samples)
    (other,) = whole(models, request_of("same", seed=8))
    assert other.shape != first.samples.shape or not torch.equal(other, first.samples)


def test_results_do_not_depend_on_k_or_the_batch(models: LoadedModels) -> None:
    three = whole(models, request_of("one two", k=3))
    assert len(three) == 3
    for k, size in ((1, 1), (2, 2)):
        fewer = whole(models, request_of("one two", k=k, batch_size=size))
        for ours, theirs in zip(fewer, three, strict=False):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_no_cache_is_only_slower(models: LoadedModels) -> None:
    fast, slow = (whole(models, request_of("one two", kv_cache=cached))[0] for cached in (True, False))
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-4)


def test_closing_ends_the_work(models: LoadedModels) -> None:
    pipeline = Pipeline(models, request_of(), Progress())
    chunks = stream(pipeline, Streaming(decoder="diffusion"))
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    spent = dict(pipeline.progress.stages)
    assert not any(thread.name == "tutortoietts-prefetch" for thread in threading.enumerate())
    assert pipeline.progress.stages == spent
    assert list(streamed(models, request_of()))  # and leaves nothing behind


def test_the_next_passage_is_made_while_one_plays_and_no_further() -> None:
    made, stop = threading.Semaphore(0), threading.Event()
    begun: list[int] = []

    def passages() -> Generator[int, None, None]:
        for number in range(1, 9):
            begun.append(number)
            yield number
            made.release()  # asked for the next

    items = prefetch(passages(), stop)
    assert next(items) == 1
    made.acquire()  # the second is begun although nobody asked
    assert next(items) == 2
    made.acquire()
    assert begun[-1] in (3, 2) and len(begun) <= 3
    items.close()  # type: ignore[attr-defined]
    assert stop.is_set() and len(begun) <= 3


def test_work_that_does_not_wait_is_done_whoever_listens() -> None:
    done = threading.Event()

    def items() -> Generator[int, None, None]:
        yield from range(20)
        done.set()

    made = prefetch(items(), threading.Event(), waiting=False)
    assert next(made) == 0
    assert done.wait(60)
    assert list(made) == list(range(1, 20))


def test_errors_of_the_work_ahead_come_out() -> None:
    def failing() -> Generator[int, None, None]:
        yield 1
        raise AudioError("broken")

    items = prefetch(failing(), threading.Event())
    assert next(items) == 1
    with pytest.raises(AudioError, match="broken"):
        next(items)
    assert list(prefetch(iter_of(3), threading.Event())) == [0, 1, 2]


def iter_of(count: int) -> Generator[int, None, None]:
    yield from range(count)


def test_an_interruption_while_streaming(models: LoadedModels) -> None:
    def stop(stage: str, done: int, of: int) -> None:
        if stage == "2/3 diffusion":
            raise KeyboardInterrupt

    chunks = streamed(models, request_of(), stop)
    next(chunks)
    with pytest.raises(KeyboardInterrupt):
        next(chunks)


def test_an_interruption_leaves_the_models_usable(models: LoadedModels) -> None:
    def stop(stage: str, done: int, of: int) -> None:
        if stage.endswith("diffusion") and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        whole(models, request_of(), stop)
    before = whole(models, request_of("one"))[0]
    assert torch.equal(before, whole(models, request_of("one"))[0])


def test_an_error_while_ranking_ends_the_decoding(models: LoadedModels, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    def noted(model: Autoregressive, work: DecodeRequest) -> Iterator[Codes]:
        try:
            yield from decode(model, work)
        finally:
            closed.append(True)

    def fails(*_: object) -> None:
        raise RuntimeError("no rank")

    monkeypatch.setattr("tutortoietts.engine.pipeline.decode", noted)
    monkeypatch.setattr("tutortoietts.engine.rerank.Ranker.candidates", fails)
    with pytest.raises(RuntimeError, match="no rank") as caught:
        whole(models, request_of("One two three."))
    assert closed and caught.value  # whoever holds the error does not hold the cache


def test_stages_are_timed_and_shown(models: LoadedModels) -> None:
    shown: list[tuple[str, int, int]] = []
    pipeline = Pipeline(models, request_of("one", "two"), Progress(show=lambda *step: shown.append(step)))
    pipeline.whole()
    stages = pipeline.progress.ordered_stages()
    assert list(stages) == ["load", "codes", "ranking", "latents", "diffusion", "vocoder"]
    assert ("1/2 diffusion", 2, 2) in shown and ("2/2 diffusion", 2, 2) in shown


def test_hidden_text_is_cut(models: LoadedModels) -> None:
    passage = Passage(text="so sad now, feed me", hidden=((0, 11),))
    long = {"seed": 6}  # enough sound to cut
    ((cut, (spoken,)),) = Pipeline(models, request_of(passages=(passage,), **long), Progress()).whole()
    (plain,) = whole(models, request_of(passage.text, **long))
    assert 0 < cut.shape[-1] < plain.shape[-1]
    assert spoken.spoken.kept is not None and spoken.spoken.codes.shape[0] == 1
    assert torch.equal(spoken.spoken.samples, cut) and spoken[1:] == (0.0, cut.shape[-1] / 24000, 0.0)


def test_nothing_left_to_hear(models: LoadedModels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutortoietts.engine.pipeline.redact", lambda wave, *_: wave[..., :0])
    hidden = tuple(Passage(text=text, hidden=((0, 3),)) for text in ("one two", "six seven"))
    with pytest.raises(AudioError, match="nothing is left to hear"):
        whole(models, request_of(passages=hidden))
    with pytest.raises(AudioError, match="nothing is left to hear"):
        list(streamed(models, request_of(passages=hidden)))
