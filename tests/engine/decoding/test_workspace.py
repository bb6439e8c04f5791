"""Decoding in steps of fixed shape: equal to the usual path, few captures, buffers lent to one request at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from support import CONFIG, SPEAKER, TEXT, decode_request, latents, lively_model, run
from tutortoietts.engine.decoding import backends, workspace
from tutortoietts.engine.decoding.loop import decode, decode_incrementally, join_codes
from tutortoietts.engine.decoding.workspace import Workspace, Workspaces
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.runtime import cuda_graphs
from tutortoietts.runtime.cuda_graphs import capture_graph
from tutortoietts.runtime.device import synchronizer


class Recorder:
    """Stands in for CUDA: a capture does not advance, and a replay may only touch what was there at the capture."""

    def __init__(self) -> None:
        self.captures, self.replays = 0, 0

    def __call__(self, step: Callable[[], None], state: list[Tensor]) -> Callable[[], None]:
        self.captures += 1
        places = [tensor.data_ptr() for tensor in state]

        def replay() -> None:
            assert [tensor.data_ptr() for tensor in state] == places
            self.replays += 1
            step()

        return replay


@pytest.fixture(scope="module")
def model() -> Autoregressive:
    return lively_model()


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a request of these tests goes through several."""
    monkeypatch.setattr(workspace, "_WINDOW", 16)


@pytest.mark.parametrize("rows", [1, 3, 7])
@pytest.mark.parametrize(
    "changes", [{}, {"min_codes": 20}, {"silence_code": None}, {"batch_size": 2}, {"check_every": 5}]
)
def test_equal_to_the_usual_path(model: Autoregressive, rows: int, changes: dict) -> None:
    ours, usual = (run(model, decode_request(rows, **{**changes, "fixed": fixed})) for fixed in (True, False))
    width = int(usual.lengths.max())
    assert torch.equal(ours.lengths, usual.lengths) and torch.equal(ours.finished, usual.finished)
    assert torch.equal(ours.ids[:, :width], usual.ids[:, :width])
    if "silence_code" not in changes:
        torch.testing.assert_close(latents(model, ours), latents(model, usual))


def test_live(model: Autoregressive) -> None:
    ours, usual = (list(decode_incrementally(model, decode_request(1, fixed=fixed))) for fixed in (True, False))
    assert len(ours) == len(usual)
    assert torch.equal(ours[-1].ids, usual[-1].ids)
    torch.testing.assert_close(ours[-1].hidden, usual[-1].hidden)


def test_few_captures_and_none_for_the_next_request(model: Autoregressive) -> None:
    recorder = Recorder()
    lender = Workspaces(recorder)
    wanted = {"fixed": True, "workspaces": lender}
    first = run(model, decode_request(6, **wanted))
    buckets, windows = {1, 2, 4, 8}, -(-(8 + 50) // 16)
    assert 3 <= recorder.captures <= len(buckets) * windows
    captures, replays = recorder.captures, recorder.replays
    again = run(model, decode_request(6, **wanted))
    assert recorder.captures == captures and recorder.replays == 2 * replays
    assert torch.equal(first.ids, again.ids) and torch.equal(latents(model, first), latents(model, again))
    shorter = {"text": torch.tensor([[4, 0]]), "max_codes": 30}
    other = run(model, decode_request(3, seed=4, **shorter, **wanted))
    assert torch.equal(other.ids, run(model, decode_request(3, seed=4, **shorter)).ids)  # nothing of the first is left


def test_a_cache_that_grows_is_captured_anew(model: Autoregressive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_CODES", 4)
    recorder = Recorder()
    lender = Workspaces(recorder)
    wanted, captures = {"fixed": True, "workspaces": lender, "min_codes": 40}, []
    for _ in range(3):
        ours = run(model, decode_request(6, **wanted))
        captures.append(recorder.captures)
        space = lender.take(model, 6, 1, 50)
        assert space.cache.max_len == 64  # 8 and 50 in windows of 16; at first 16
        lender.give_back(space)
    usual = run(model, decode_request(6, min_codes=40))
    width = int(usual.lengths.max())
    assert torch.equal(ours.lengths, usual.lengths) and torch.equal(ours.ids[:, :width], usual.ids[:, :width])
    torch.testing.assert_close(latents(model, ours), latents(model, usual))
    assert captures[0] >= 4 and captures[1] > captures[0]  # then windows before the last growth
    assert captures[2] == captures[1]


def test_a_longer_workspace(model: Autoregressive) -> None:
    space = Workspace.allocate(model, 3, 20, 20)
    space.cache.keys.fill_(1)
    space.steps["old"] = lambda: None
    assert space.longer(32) is space and space.steps
    other = space.longer(33)
    assert other.cache.max_len == 48 and other.cache.keys.sum() == other.cache.keys.numel() * 32 / 48
    assert not other.steps and not space.steps and other.state is space.state


def test_numbers_gone_wrong_in_one_request_do_not_reach_the_next(model: Autoregressive) -> None:
    lender = Workspaces()
    space = lender.take(model, 3, 58, 50)
    for buffer in (space.cache.keys, space.cache.values, space.state.hidden):
        buffer.fill_(torch.nan)
    lender.give_back(space)
    ours = run(model, decode_request(3, fixed=True, workspaces=lender))
    assert torch.equal(ours.ids, run(model, decode_request(3)).ids) and latents(model, ours).isfinite().all()


def test_two_requests_at_once_have_two_workspaces(model: Autoregressive) -> None:
    lender = Workspaces()
    wanted = [decode_request(4, seed=seed, batch_size=2, fixed=True, workspaces=lender) for seed in range(2)]
    pairs = list(zip(*(decode(model, one) for one in wanted), strict=True))
    for seed, batches in enumerate(zip(*pairs, strict=True)):
        alone = run(model, decode_request(4, seed=seed, batch_size=2))
        together = join_codes(batches, CONFIG.stop_mel_token)
        assert torch.equal(together.ids, alone.ids)
    assert lender.idle_bytes > 0
    lender.clear()
    assert lender.idle_bytes == 0


def test_a_workspace_for_other_weights_or_too_small_is_not_lent(model: Autoregressive) -> None:
    lender = Workspaces()
    first = lender.take(model, 3, 20, 20)
    lender.give_back(first)
    assert lender.take(model, 4, 32, 20) is first
    lender.give_back(first)
    assert lender.take(model, 5, 20, 20) is not first
    lender.give_back(first)
    assert lender.take(model, 1, 40, 20).state is first.state  # only its cache grows
    lender.give_back(first)
    moved = Autoregressive(CONFIG).eval().requires_grad_(False)
    assert lender.take(moved, 1, 20, 20) is not first


def test_the_buffers_come_back_when_a_request_is_given_up(model: Autoregressive) -> None:
    lender = Workspaces()
    batches = decode(model, decode_request(4, batch_size=2, fixed=True, workspaces=lender))
    next(batches)
    assert lender.idle_bytes == 0
    batches.close()
    assert lender.idle_bytes > 0


def test_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert cuda_graphs.use_cuda_graphs(cuda) and not cuda_graphs.use_cuda_graphs(cpu)
    monkeypatch.setenv("TUTORTOIETTS_CUDA_GRAPHS", "0")
    assert not cuda_graphs.use_cuda_graphs(cuda)


class Stream:
    """Stands in for torch.cuda.Stream."""

    device = torch.device("cuda", 1)

    def wait_stream(self, other: Stream) -> None: ...


class Cuda:
    """Stands in for the part of torch.cuda that captures, and writes down what goes on when."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[tuple[str, object, bool]] = []
        for name, fake in {
            "device": lambda device: nullcontext(),
            "Stream": Stream,
            "current_stream": Stream,
            "stream": lambda stream: self.note("try", stream),
            "CUDAGraph": lambda: SimpleNamespace(replay=lambda: None),
            "graph": lambda graph, pool, stream, capture_error_mode: self.note("capture", stream),
        }.items():
            monkeypatch.setattr(torch.cuda, name, fake)

    @contextmanager
    def note(self, what: str, stream: object) -> Iterator[None]:
        self.log.append((what, stream, cuda_graphs._CAPTURING.locked()))
        yield


def test_captures_are_one_at_a_time_on_a_stream_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, stream, state, calls = Cuda(monkeypatch), Stream(), [torch.zeros(())], []
    capture_graph(lambda: calls.append(state[0].add_(1)), state, stream=stream)
    assert cuda.log == [("try", stream, True), ("capture", stream, True)]
    assert len(calls) == 2 and state[0] == 0  # as before

    def full() -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        capture_graph(full, [])
    assert not cuda_graphs._CAPTURING.locked()


def test_a_capture_that_fails_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """torch.cuda.graph does not go back to the stream before it where the end of the capture raises."""
    Cuda(monkeypatch)
    state, current, waits = [torch.zeros(())], ["working"], []

    @contextmanager
    def on(stream: object) -> Iterator[None]:
        before, current[0] = current[0], "capturing"
        try:
            yield
        finally:
            current[0] = before

    @contextmanager
    def broken(*_: object, **__: object) -> Iterator[None]:
        current[0] = "capturing"
        yield
        raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "graph", broken)
    monkeypatch.setattr(Stream, "wait_stream", lambda stream, other: waits.append((stream, other)))
    stream = Stream()

    def step() -> None:
        state[0].add_(1)

    assert capture_graph(step, state, stream=stream) is step  # which then runs as it is
    assert current == ["working"] and state[0] == 0 and "decoding without CUDA graphs" in caplog.text
    assert [pair[0] is stream for pair in waits] == [True, False]  # there, and back for the state to be put right


def test_all_captures_of_a_device_have_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    Cuda(monkeypatch)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)
    cuda_graphs._stream.cache_clear()
    one, other, elsewhere = (cuda_graphs.default_capture(torch.device("cuda", index)).keywords for index in (0, 0, 1))
    cuda_graphs._stream.cache_clear()
    assert one["stream"] is other["stream"] is not elsewhere["stream"] and one["pool"] is not other["pool"]


def test_a_stage_waits_for_the_threads_own_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda device: SimpleNamespace(synchronize=lambda: waited.append(device))
    )
    monkeypatch.setattr(torch.cuda, "synchronize", None)  # another thread may be capturing
    settle = synchronizer(torch.device("cuda", 1))
    assert settle is not None and synchronizer(torch.device("cpu")) is None
    settle()
    assert waited == [torch.device("cuda", 1)]


@pytest.mark.gpu
def test_a_captured_step_is_the_step(model: Autoregressive) -> None:
    there = Autoregressive(CONFIG).eval().requires_grad_(False)
    there.load_state_dict(model.state_dict())
    there = there.cuda()
    spaces = [Workspace.allocate(there, 3, 40, 30, capture) for capture in (capture_graph, lambda step, state: step)]
    wanted = decode_request(3)
    results = []
    with torch.inference_mode():
        prefix = there.prefix(SPEAKER.cuda(), TEXT.cuda())
        for space in spaces:
            there.hidden_states(prefix, space.cache.rows(0, 1))
            space.cache.fill_rows(0, prefix.shape[1])
            numbers = torch.rand(3, 30, generator=torch.Generator().manual_seed(0))
            space.state.begin(CONFIG, numbers, None, 0, prefix.shape[1])
            for place in range(20):
                space.step(there, wanted.options, 4, prefix.shape[1] + place)
            results.append(space.state.codes[:3, :20].clone())
    assert torch.equal(*results)
