"""The whole pipeline on a tiny model: parts from the seed, the stream joined is the whole, closing, progress."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import torch

from tutortoietts.core.errors import AudioError, OptionError, VoiceError
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.core.types import Codes, Voice
from tutortoietts.engine.decoding.loop import DecodeRequest, decode
from tutortoietts.engine.pipeline import Request, speak_all
from tutortoietts.engine.progress import Progress
from tutortoietts.engine.streaming import stream as stream_room
from tutortoietts.engine.streaming.prefetch import ahead
from tutortoietts.engine.streaming.stream import stream, whole
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.runtime.source import open_source
from tutortoietts.text.brackets import Passage

OPTIONS = SpeechOptions(
    num_autoregressive_samples=3, max_mel_tokens=10, diffusion_iterations=2, sampler="dpm++2m", cond_free=False
)


@pytest.fixture(scope="module")
def parts(tiny_model: Path) -> LoadedModels:
    return LoadedModels(open_source(tiny_model), device=torch.device("cpu"), dtype=torch.float32)


def request(parts: LoadedModels, *texts: str, **changes) -> Request:
    generator = torch.Generator().manual_seed(0)
    voice = Voice(
        name="test",
        model="tiny",
        speaker=torch.randn(1, 64, generator=generator),
        diffusion=0.1 * torch.randn(1, 128, generator=generator),
    )
    passages = tuple(Passage(text=text) for text in texts or ("one two", "three", "four five six"))
    return Request(**{"passages": passages, "voice": voice, "options": OPTIONS, "seed": 7, **changes})


def test_the_joined_stream_is_the_whole(parts: LoadedModels) -> None:
    chunks = list(stream(parts, request(parts), Progress()))
    (wave,) = whole(parts, request(parts), Progress())
    assert len(chunks) == 3 and all(chunk.ndim == 1 and chunk.dtype == torch.float32 for chunk in chunks)
    torch.testing.assert_close(torch.cat(chunks), wave.flatten(), rtol=0, atol=1e-6)
    (chunk,) = stream(parts, request(parts, "alone"), Progress())
    assert torch.equal(chunk, whole(parts, request(parts, "alone"), Progress())[0].flatten())


def test_each_part_follows_from_the_seed_and_its_place(parts: LoadedModels) -> None:
    (first,), (second,) = speak_all(parts, request(parts, "same", "same"), Progress())
    (again,), *_ = speak_all(parts, request(parts, "same", "other", "more"), Progress())
    assert torch.equal(first, again)
    assert first.shape != second.shape or not torch.equal(first, second)
    (other,) = whole(parts, request(parts, "same", seed=8), Progress())
    assert other.shape != first.shape or not torch.equal(other, first)


def test_readings_do_not_depend_on_k_or_the_batch(parts: LoadedModels) -> None:
    three = whole(parts, request(parts, "one two", k=3), Progress())
    assert len(three) == 3
    for k, size in ((1, 1), (2, 2)):
        fewer = whole(parts, request(parts, "one two", k=k, batch_size=size), Progress())
        for ours, theirs in zip(fewer, three, strict=False):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_no_cache_is_only_slower(parts: LoadedModels) -> None:
    fast, slow = (whole(parts, request(parts, "one two", kv_cache=cached), Progress())[0] for cached in (True, False))
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-4)


def test_closing_ends_the_work(parts: LoadedModels) -> None:
    watch = Progress()
    chunks = stream(parts, request(parts), watch)
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    spent = dict(watch.stages)
    assert not any(thread.name == "tutortoietts-ahead" for thread in threading.enumerate())
    assert watch.stages == spent
    assert list(stream(parts, request(parts), Progress()))  # and leaves nothing behind


def test_the_next_passage_is_made_while_one_plays_and_no_further() -> None:
    made, stop = threading.Semaphore(0), threading.Event()
    begun: list[int] = []

    def passages() -> Generator[int, None, None]:
        for number in range(1, 9):
            begun.append(number)
            yield number
            made.release()  # asked for the next

    items = ahead(passages(), stop)
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

    made = ahead(items(), threading.Event(), waiting=False)
    assert next(made) == 0
    assert done.wait(60)
    assert list(made) == list(range(1, 20))


def test_errors_of_the_work_ahead_come_out() -> None:
    def failing() -> Generator[int, None, None]:
        yield 1
        raise AudioError("broken")

    items = ahead(failing(), threading.Event())
    assert next(items) == 1
    with pytest.raises(AudioError, match="broken"):
        next(items)
    assert list(ahead(iter_of(3), threading.Event())) == [0, 1, 2]


def iter_of(count: int) -> Generator[int, None, None]:
    yield from range(count)


def test_an_interruption_while_streaming(parts: LoadedModels) -> None:
    def stop(stage: str, done: int, of: int) -> None:
        if stage == "2/3 diffusion":
            raise KeyboardInterrupt

    chunks = stream(parts, request(parts), Progress(show=stop))
    next(chunks)
    with pytest.raises(KeyboardInterrupt):
        next(chunks)


def test_an_interruption_leaves_the_models_usable(parts: LoadedModels) -> None:
    def stop(stage: str, done: int, of: int) -> None:
        if stage.endswith("diffusion") and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        whole(parts, request(parts), Progress(show=stop))
    before = whole(parts, request(parts, "one"), Progress())[0]
    assert torch.equal(before, whole(parts, request(parts, "one"), Progress())[0])


def test_an_error_while_ranking_ends_the_decoding(parts: LoadedModels, monkeypatch: pytest.MonkeyPatch) -> None:
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
        whole(parts, request(parts, "One two three."), Progress())
    assert closed and caught.value  # whoever holds the error does not hold the cache


def test_stages_are_timed_and_shown(parts: LoadedModels) -> None:
    shown: list[tuple[str, int, int]] = []
    watch = Progress(show=lambda *step: shown.append(step))
    whole(parts, request(parts, "one", "two"), watch)
    assert {"load", "codes", "ranking", "latents", "diffusion", "vocoder"} == set(watch.stages)
    assert ("1/2 diffusion", 2, 2) in shown and ("2/2 diffusion", 2, 2) in shown


def test_hidden_text_is_cut(parts: LoadedModels) -> None:
    passage = Passage(text="so sad now, feed me", hidden=((0, 11),))
    (cut,) = whole(parts, request(parts, passages=(passage,)), Progress())
    (plain,) = whole(parts, request(parts, passages=(Passage(text=passage.text),)), Progress())
    assert 0 < cut.shape[-1] < plain.shape[-1]


def test_nothing_left_to_hear(parts: LoadedModels, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_) -> list[list[torch.Tensor]]:
        return [[torch.zeros(1, 1, 0)]]

    monkeypatch.setattr(stream_room, "speak_all", silent)
    with pytest.raises(AudioError, match="nothing is left to hear"):
        whole(parts, request(parts, "one"), Progress())
    with pytest.raises(AudioError, match="nothing is left to hear"):
        list(stream(parts, request(parts, "one", "two"), Progress()))


def test_voices_of_other_sizes_are_refused(parts: LoadedModels) -> None:
    small = Voice(name="small", model="tiny", speaker=torch.zeros(1, 32), diffusion=torch.zeros(1, 128))
    with pytest.raises(VoiceError, match="'small' has latents of 32 and 128 numbers, but the model 'tiny' needs 64"):
        whole(parts, request(parts, "one", voice=small), Progress())
    streaming = Voice(name="thin", model="tiny", speaker=torch.zeros(1, 64))
    with pytest.raises(VoiceError, match="'thin' has no diffusion latent"):
        whole(parts, request(parts, "one", voice=streaming), Progress())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 0}, r"k is 0, outside 1\.\.3"),
        ({"k": 4}, r"k is 4, outside 1\.\.3: draw at least"),
        ({"options": SpeechOptions(max_mel_tokens=61)}, r"max_mel_tokens is 61, outside 1\.\.60"),
        ({"batch_size": 0}, "autoregressive_batch_size is 0"),
        ({"options": SpeechOptions(cvvp_amount=0.5)}, "cvvp_amount is 0.5, but CVVP compares"),
    ],
)
def test_bad_requests(parts: LoadedModels, changes: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        next(speak_all(parts, request(parts, "one", **changes), Progress()))
