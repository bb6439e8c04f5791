"""Measuring measures what it says: memory, the machine, one run against another, models with random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tutortoietts.api import TextToSpeech
from tutortoietts.bench.compare import compare, slow_engine, slow_plan
from tutortoietts.bench.machine import Machine, _best, _rate, measure_machine
from tutortoietts.bench.measure import Result, _format, _guided, flow_order, held_bytes, measure, threads_set
from tutortoietts.bench.memory import peak_memory, resident_bytes
from tutortoietts.bench.random_model import RANDOM_FULL, RandomSource, random_full, random_state
from tutortoietts.bench.workload import Plan, Sample, Workload, _heard, open_model
from tutortoietts.core.errors import OptionError
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.runtime.source import open_source

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tts(tiny_model: Path) -> TextToSpeech:
    return TextToSpeech(model=tiny_model)


@pytest.fixture
def random_tiny(tiny_model: Path) -> RandomSource:
    return RandomSource(spec=open_source(tiny_model).spec, seed=3)


# memory and machine


def test_the_peak_of_a_block_and_not_of_what_was_before() -> None:
    megabyte = 1 << 20
    torch.ones(50 * megabyte)  # 200 MB, gone again
    before = resident_bytes()
    with peak_memory(CPU) as peak:
        torch.ones(16 * megabyte)
    assert peak.bytes >= before + 60 * megabyte
    if peak.kind == "resident":
        assert peak.bytes < before + 150 * megabyte
    else:
        assert peak.kind == "resident since start"


def test_a_machine_is_faster_than_nothing() -> None:
    machine = measure_machine(CPU, size=1 << 16, width=32)
    assert machine.bandwidth > 0 and {"fp32", "bf16"} <= set(machine.rates)
    assert all(rate > 0 for rate in machine.rates.values())
    assert machine.device == "cpu" and machine.threads == torch.get_num_threads()


def test_a_format_that_the_machine_lacks_is_computed_in_a_wider_one() -> None:
    machine = Machine(device="cpu", threads=2, bandwidth=1.0, rates={"fp32": 5.0, "bf16": 9.0})
    assert (machine.rate("int8"), machine.rate("bf16"), machine.rate("fp32")) == (9.0, 9.0, 5.0)


@pytest.mark.parametrize("slow_tries", [0, 1, 2])
def test_one_slow_try_does_not_decide_a_rate(monkeypatch: pytest.MonkeyPatch, slow_tries: int) -> None:
    tried: list[int] = []

    def rate_of(device: torch.device, dtype: torch.dtype, width: int) -> float:
        tried.append(width)
        return 1e9 * (1 if len(tried) <= slow_tries else 500)

    monkeypatch.setattr("tutortoietts.bench.machine._rate_of", rate_of)
    assert _rate(CPU, torch.float32, 2048) == 5e11 and tried == [256, 512, 1024, 2048]


def test_a_slow_format_is_not_measured_for_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    monkeypatch.setattr("tutortoietts.bench.machine._rate_of", lambda *given: tried.append(given[2]) or 1e9)
    assert _rate(CPU, torch.bfloat16, 2048) == 1e9 and max(2 * width**3 / 1e9 for width in tried) <= 3
    assert _rate(CPU, torch.bfloat16, 32) == 1e9 and tried[-1] == 32


def test_long_tries_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("tutortoietts.bench.machine.time.perf_counter", lambda: 2.0 * next(clock))
    done: list[int] = []
    assert _best(lambda: done.append(1), CPU) == 2.0 and len(done) == 2


def test_the_better_of_two_measurements() -> None:
    one = Machine(device="cpu", threads=2, bandwidth=1.0, rates={"fp32": 5.0, "bf16": 9.0})
    other = Machine(device="cpu", threads=2, bandwidth=3.0, rates={"fp32": 4.0, "int8": 2.0})
    both = one.best_of(other)
    assert (both.bandwidth, both.rates) == (3.0, {"fp32": 5.0, "bf16": 9.0, "int8": 2.0})


# limits


def machine(rate: float) -> Machine:
    return Machine(device="cpu", threads=2, bandwidth=rate, rates={"fp32": rate})


FAST, SLOW = machine(1e18), machine(1.0)


def measured(
    tts: TextToSpeech, monkeypatch: pytest.MonkeyPatch, first: Machine, *again: Machine
) -> tuple[Result, list[str]]:
    more, told = list(again), []
    monkeypatch.setattr("tutortoietts.bench.measure.measure_machine", lambda device: more.pop(0))
    workload = Workload(tts, Plan(text="Hello there.", preset="tiny", codes=6, runs=1, warmup=0))
    result = measure(workload, first, told.append, stream=False)
    assert not more
    return result, [line for line in told if "limit" in line]


def test_a_limit_that_holds_is_not_measured_again(tts: TextToSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
    result, told = measured(tts, monkeypatch, FAST)
    assert result.machine is FAST and result.total.ratio is not None and result.total.ratio > 1 and not told


def test_a_limit_that_is_beaten_is_measured_again(tts: TextToSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
    result, told = measured(tts, monkeypatch, SLOW, FAST)
    assert result.machine == FAST and all(stage.ratio is None or stage.ratio > 1 for stage in result.stages)
    assert len(told) == 1 and "codes" in told[0] and "measured again" in told[0]
    assert {stage.name for stage in result.stages if stage.ratio} == {
        *("condition", "codes", "ranking", "diffusion", "vocoder")
    }


def test_a_limit_that_stays_beaten_is_refused(tts: TextToSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
    result, told = measured(tts, monkeypatch, SLOW, SLOW)
    assert all(stage.limit_seconds is stage.ratio is None for stage in [*result.stages, result.total])
    assert len(told) == 2 and "left out" in told[1]


def test_stages_are_in_the_order_of_the_flow() -> None:
    names = ["vocoder", "ranking", "own", "diffusion", "codes", "tokenize", "condition", "latents"]
    order = ["condition", "tokenize", "codes", "ranking", "latents", "diffusion", "vocoder", "own"]
    assert flow_order(names) == order


def test_threads_are_set_and_put_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt), threads_set(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyboardInterrupt
    assert torch.get_num_threads() == before
    with threads_set(None):
        assert torch.get_num_threads() == before


# workloads


def test_exactly_so_many_codes(tts: TextToSpeech) -> None:
    plan = Plan(text="Hello there.", preset="tiny", codes=7, options={"num_autoregressive_samples": 1})
    sample = Workload(tts, plan).run()
    assert sample.parts == 1
    assert round(sample.audio_seconds * 24000) == (7 * 4 * 24000 // 22050) * 256
    assert "load" not in sample.stages and sum(sample.stages.values()) <= sample.seconds


def test_a_plan_that_does_not_fit(tts: TextToSpeech) -> None:
    for wrong in ({"codes": 0}, {"runs": 0}, {"warmup": -1}, {"codes": 5, "options": {"max_mel_tokens": 9}}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            Plan(**wrong)
    with pytest.raises(OptionError, match=r"codes is 61, outside 1\.\.60"):
        Workload(tts, Plan(codes=61))


def test_ranking_counts_only_where_it_is_done(tts: TextToSpeech) -> None:
    one = Workload(tts, Plan(options={"num_autoregressive_samples": 1}))
    assert not one.ranked and Workload(tts, Plan()).ranked


def test_a_text_of_several_parts_is_counted_whole(tts: TextToSpeech) -> None:
    text = "All these words are said, one after the other. " * 12
    _, tokens = Workload(tts, Plan(text=text)).tokenize()
    assert tokens > tts.tokenizer.limit


def test_what_streams_is_what_the_vocoder_leaves(
    streaming_model: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Workload(TextToSpeech(model=streaming_model), Plan()).decoder == "stream"
    assert Workload(TextToSpeech(model=tiny_model), Plan()).decoder == "diffusion"
    monkeypatch.setattr("tutortoietts.weights.fetch.fetch", lambda *_: tiny_model / "model.json")  # never loaded
    assert Workload(TextToSpeech(model=streaming_model, vocoder="univnet"), Plan()).decoder == "diffusion"


@pytest.mark.parametrize(
    ("options", "guided"),
    [
        ({"cond_free": False}, 0),
        ({}, 20),
        ({"cond_free_from": 2000}, 10),
        ({"cond_free_to": 3999}, 1),
        ({"diffusion_start": "regressed", "diffusion_start_step": 300, "cond_free_from": 0}, 1),
        ({"diffusion_start": "streamed", "diffusion_start_step": 300, "cond_free_from": 0}, 1),
        ({"diffusion_start": "regressed", "diffusion_iterations": 0}, 0),
    ],
)
def test_guided_forwards_are_counted(options: dict[str, Any], guided: int) -> None:
    usual = {"sampler": "ddim", "diffusion_iterations": 20}
    assert _guided(SpeechOptions(**{**usual, **options})) == guided


def test_what_weights_weigh(tts: TextToSpeech, tiny_model: Path) -> None:
    width, name = _format(tts, "autoregressive")
    assert width == pytest.approx(4.0, rel=0.03) and name == "fp32"
    half = TextToSpeech(model=tiny_model, half=True, device="cpu")
    width, name = _format(half, "autoregressive")
    assert width == pytest.approx(2.0, rel=0.03) and name == "bf16"
    eight = TextToSpeech(model=tiny_model, precision="int8", device="cpu")
    width, name = _format(eight, "autoregressive")
    assert 1.0 < width < 1.3 and name == "int8"  # scales and norms are much of so small a model
    assert _format(half, "diffusion") == (2.0, "bf16") and _format(half, "vocoder") == (4.0, "fp32")


# slow against fast


class Fake:
    """Speaks in no time and says that it took `seconds`."""

    def __init__(self, name: str, seconds: list[float], log: list[str], kv_cache: bool) -> None:
        self.name, self.log, self.seconds = name, log, iter(seconds)
        self.plan = Plan(runs=3, warmup=1)
        self.options = SpeechOptions(sampler="ancestral" if name == "slow" else "ddim")
        self.tts = TextToSpeech.__new__(TextToSpeech)
        self.tts.kv_cache, self.tts.precision = kv_cache, "fp32"

    def run(self) -> Sample:
        self.log.append(self.name)
        seconds = next(self.seconds)
        return Sample(seconds=seconds, stages={"latents": 0.0, "codes": seconds / 2}, audio_seconds=1.0, parts=1)


def test_sides_take_turns_and_warm_up_does_not_count() -> None:
    log: list[str] = []
    slow: Any = Fake("slow", [99.0, 8.0, 6.0, 7.0], log, False)
    fast: Any = Fake("fast", [99.0, 2.0, 5.0, 1.0], log, True)
    found = compare(slow, fast, log.append)
    assert [word for word in log if word in ("slow", "fast")] == ["slow", "fast"] * 4
    assert (found.slow["total"].median, found.fast["total"].median) == (7.0, 2.0)
    assert (found.fast["codes"].least, found.fast["codes"].most) == (0.5, 2.5)
    assert found.ratios == {"codes": 3.5, "latents": None, "total": 3.5}
    assert list(found.fast)[:2] == ["codes", "latents"]
    assert found.settings == {"kv_cache": (False, True), "sampler": ("ancestral", "ddim")}


def test_slow_settings() -> None:
    engine = slow_engine({"model": "bundled", "half": True, "kv_cache": True, "precision": "auto"})
    assert engine == {"model": "bundled", "half": False, "kv_cache": False, "precision": "fp32"}
    plan = slow_plan(Plan(options={"top_p": 0.5}), "fast_optimized").options
    assert (plan["sampler"], plan["diffusion_iterations"], plan["top_p"]) == ("ancestral", 80, 0.5)
    assert slow_plan(Plan(), "some_own").options["diffusion_iterations"] == 30


# random weights


def test_random_weights_are_small_repeatable_and_nowhere_equal() -> None:
    wanted = {"a.weight": torch.Size([1200, 1000]), "norm.weight": torch.Size([50]), "a.bias": torch.Size([50])}
    state, again = (dict(random_state(wanted, 3)) for _ in range(2))
    other = dict(random_state(wanted, 4))
    assert {key: tensor.shape for key, tensor in state.items()} == wanted
    assert all(torch.equal(state[key], again[key]) for key in wanted)
    assert not torch.equal(state["a.bias"], other["a.bias"])
    assert state["a.weight"].std() == pytest.approx(0.02, rel=0.05) and abs(state["a.weight"].mean()) < 0.001
    assert state["norm.weight"].mean() == pytest.approx(1.0, abs=0.02) and abs(state["a.bias"].mean()) < 0.02
    assert not torch.equal(state["a.weight"][1001:], state["a.weight"][:199])


def test_a_random_model_speaks(random_tiny: RandomSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutortoietts.bench.workload.random_full", lambda vocoder: random_tiny)
    tts = open_model({"model": RANDOM_FULL, "vocoder": None, "half": False})
    assert tts.model == RANDOM_FULL  # so that no voice of another model is taken for its own
    plan = Plan(text="Hello there.", preset="tiny", codes=5)
    sample = Workload(tts, plan).run()
    assert sample.audio_seconds == pytest.approx((5 * 4 * 24000 // 22050) * 256 / 24000)
    monkeypatch.setattr("tutortoietts.bench.workload.RANDOM_CODES", 9)
    assert Workload(tts, replace(plan, codes=None)).codes == 9
    with pytest.raises(OptionError, match="codes 9 says exactly how many; leave max_mel_tokens out"):
        Workload(tts, replace(plan, codes=None, options={"max_mel_tokens": 20}))


def test_the_random_model_has_the_public_sizes() -> None:
    source = random_full("univnet")
    assert source.spec.autoregressive.layers == 30 and source.config("vocoder").to_dict()["hop_length"] == 256
    assert random_full().vocoder == "bigvgan_base"
    with pytest.raises(OptionError, match="hifigan"):
        random_full("hifigan")
    with pytest.raises(OptionError, match="no file"):
        source.file("clvp")


def test_other_files_are_refused_with_random_weights() -> None:
    with pytest.raises(OptionError, match="diffusion"):
        open_model({"model": RANDOM_FULL, "diff_checkpoint": "other.pth"})


class Eight(nn.Linear):
    """A quantized layer: it knows what a forward reads."""

    nbytes = 7


def test_quantised_layers_say_what_they_hold() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Sequential(Eight(4, 4)), nn.LayerNorm(5, dtype=torch.float16))
    assert held_bytes(module) == 4 * 9 + 7 + 2 * 10


def test_a_stream_is_given_only_what_it_can_honour() -> None:
    given = {"top_p": 0.5, "num_autoregressive_samples": 4, "sampler": "ddim", "min_mel_tokens": 3}
    assert _heard(given) == {"top_p": 0.5, "min_mel_tokens": 3}
