"""Decoding: golden greedy codes, cached equals uncached, rows do not depend on the batch, hidden states kept."""

from __future__ import annotations

import shutil
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from support import CONFIG, SILENCE, SPEAKER, TEXT, decode_request, latents, lively_model, run
from tutortoietts.accelerate import accelerate
from tutortoietts.accelerate import gpt as gpt_step
from tutortoietts.bench.measure import held_bytes
from tutortoietts.core.config import AutoregressiveConfig, ClvpConfig, DiffusionConfig
from tutortoietts.core.errors import OptionError
from tutortoietts.core.types import Codes
from tutortoietts.engine.decoding import backends
from tutortoietts.engine.decoding.backends import open_backend
from tutortoietts.engine.decoding.end_of_speech import repair_codes
from tutortoietts.engine.decoding.latents import latents_of, second_pass
from tutortoietts.engine.decoding.loop import decode, join_codes
from tutortoietts.engine.decoding.request import DecodeRequest
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.bigvgan import BigVGAN
from tutortoietts.models.clvp import Clvp
from tutortoietts.models.diffusion import Diffusion
from tutortoietts.native import build
from tutortoietts.nn.kv_cache import KVCache
from tutortoietts.sampling.rows import row_generators
from tutortoietts.sampling.tokens import TokenOptions
from tutortoietts.weights.convert import convert
from tutortoietts.weights.registry import lookup

GOLDEN = Path(__file__).resolve().parents[3].parent / "shared" / "golden" / "autoregressive.safetensors"


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the golden files of ../shared are absent")
@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize(("name", "penalty", "stops"), [("greedy_codes", 2.0, False), ("greedy_plain", 1.0, True)])
def test_golden_greedy_codes(cached: bool, name: str, penalty: float, stops: bool) -> None:
    tensors = load_file(GOLDEN)
    cfg = AutoregressiveConfig.from_dict(
        {
            "layers": 2,
            "model_dim": 64,
            "heads": 4,
            "max_mel_tokens": 40,
            "max_text_tokens": 30,
            "number_text_tokens": 61,
            "start_text_token": 61,
            "number_mel_codes": 99,
            "start_mel_token": 97,
            "stop_mel_token": 98,
        }
    )
    golden = Autoregressive(cfg).eval().requires_grad_(False)
    state = {key.removeprefix("weight."): value for key, value in tensors.items() if key.startswith("weight.")}
    golden.load_state_dict(convert("autoregressive", state))
    theirs = tensors[f"output.{name}"][0].tolist()
    wanted = DecodeRequest(
        prefix=golden.prefix(golden.conditioning(tensors["input.mel"]), tensors["input.text"]),
        generators=row_generators(0, 3),
        max_codes=len(theirs),
        min_codes=0 if stops else len(theirs) - 1,
        options=TokenOptions(top_k=1, repetition_penalty=penalty),
        cached=cached,
    )
    for ours in run(golden, wanted).ids.tolist():
        assert ours == theirs[: len(ours)]
        assert len(ours) == len(theirs) or theirs[len(ours)] == cfg.stop_mel_token


def test_the_model_of_these_tests_stops_at_different_lengths(model: Autoregressive) -> None:
    lengths = run(model, decode_request(24)).lengths.tolist()
    assert len(set(lengths)) > 8 and min(lengths) < 12 and max(lengths) > 20


def test_cached_equals_uncached(model: Autoregressive) -> None:
    fast, slow = run(model, decode_request(6)), run(model, decode_request(6, cached=False))
    assert torch.equal(fast.ids, slow.ids)
    assert torch.equal(fast.lengths, slow.lengths)
    torch.testing.assert_close(latents(model, fast), latents(model, slow))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("every", [1, 5])
def test_rows_do_not_depend_on_the_batch(model: Autoregressive, size: int, every: int) -> None:
    whole, parts = run(model, decode_request(7)), run(model, decode_request(7, batch_size=size, check_every=every))
    assert parts.ids.shape[0] == 7
    width = int(whole.lengths.max())
    assert torch.equal(whole.lengths, parts.lengths)
    assert torch.equal(whole.ids[:, :width], parts.ids[:, :width])
    torch.testing.assert_close(latents(model, whole), latents(model, parts))


def test_seeds(model: Autoregressive) -> None:
    first, again, other = (run(model, decode_request(3, seed=seed)).ids for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)
    assert len({tuple(row.tolist()) for row in first}) == 3


def test_rows_are_padded_with_stop_codes_and_never_hold_start_mel(model: Autoregressive) -> None:
    codes = run(
        model, decode_request(40, options=TokenOptions(temperature=5.0, top_k=0, top_p=1.0, repetition_penalty=1.0))
    )
    assert (codes.ids != CONFIG.start_mel_token).all()
    for ids, length in zip(codes.ids.tolist(), codes.lengths.tolist(), strict=True):
        assert CONFIG.stop_mel_token not in ids[:length]
        assert set(ids[length:]) <= {CONFIG.stop_mel_token}
    assert torch.equal(codes.finished, codes.lengths < 50)


@pytest.mark.parametrize("calm", [SILENCE, None])
@pytest.mark.parametrize("rule", ["after_stop", "anywhere"])
def test_hidden_states_are_those_of_a_second_pass(model: Autoregressive, calm: int | None, rule: str) -> None:
    wanted = decode_request(12, silence_code=calm, batch_size=5)
    codes = run(model, wanted)
    for row in range(12):
        kept = latents_of(model, wanted, codes, row, rule)
        forgotten = Codes(ids=codes.ids, lengths=codes.lengths, finished=codes.finished)
        again = latents_of(model, wanted, forgotten, row, rule)
        torch.testing.assert_close(kept, again, rtol=1e-4, atol=1e-5)
        length = int(codes.lengths[row])
        if rule == "after_stop":
            assert kept.shape[1] == (length if calm is None else min(length + 8, 50))


def test_a_stop_code_within_the_public_fading_end(model: Autoregressive) -> None:
    """There the repair overwrites codes that were drawn, so hidden states must be computed again."""
    big = AutoregressiveConfig(**{**CONFIG.to_dict(), "number_mel_codes": 300, "max_text_tokens": 40})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        public = Autoregressive(big).eval().requires_grad_(False)
    wanted = decode_request(2, model=public, max_codes=20, silence_code=83, min_codes=19)
    codes = join_codes(list(decode(public, wanted)), 25)
    ids = codes.ids.clone()
    ids[:, 19] = 25
    stopped = Codes(ids=ids, lengths=torch.tensor([19, 19]), finished=torch.tensor([True, True]), hidden=codes.hidden)
    kept = latents_of(public, wanted, stopped, 0)
    again = public(SPEAKER, TEXT, repair_codes(ids, 25, 83)[:1])[0]
    torch.testing.assert_close(second_pass(public, wanted.prefix, repair_codes(ids, 25, 83)[:1]), again)
    torch.testing.assert_close(kept, again)
    assert codes.hidden is not None and not torch.allclose(kept, codes.hidden[:1])


def test_forced_length(model: Autoregressive) -> None:
    codes = run(model, decode_request(3, min_codes=29, max_codes=30))
    assert codes.lengths.tolist() == [30, 30, 30] or set(codes.lengths.tolist()) <= {29, 30}
    assert codes.ids.shape[1] == 30
    with torch.inference_mode():
        bias = model.mel_head.bias.clone()
        model.mel_head.bias[model.cfg.stop_mel_token] += 1e4  # nothing but the end is likely
        try:
            codes, free = (
                run(model, decode_request(3, min_codes=30, max_codes=30)),
                run(model, decode_request(3, max_codes=30)),
            )
        finally:
            model.mel_head.bias.copy_(bias)
    assert codes.lengths.tolist() == [30, 30, 30] and free.lengths.tolist() == [0, 0, 0]


def test_steps_are_reported_and_can_stop_the_work(model: Autoregressive) -> None:
    seen: list[int] = []

    def stop(done: int, of: int) -> None:
        seen.append(done)
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(decode(model, decode_request(4, min_codes=40, on_step=stop, check_every=2)))
    assert seen == [2, 4, 6]


def test_bfloat16(model: Autoregressive) -> None:
    half = Autoregressive(CONFIG).eval().requires_grad_(False)
    half.load_state_dict(model.state_dict())
    half = half.bfloat16()
    codes = run(half, decode_request(4, model=half))
    assert codes.hidden is not None and codes.hidden.dtype == torch.bfloat16
    kept = latents_of(half, decode_request(4, model=half), codes, 0)
    assert kept.isfinite().all()


def of_kind(kind: str) -> Autoregressive:
    model = lively_model()
    if kind == "int8":
        accelerate(model, precision="int8")
    return model.bfloat16() if kind == "bf16" else model


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("kind", ["fp32", "bf16", "int8"])
def test_compiled_steps_are_the_same_bits_in_any_batch(kind: str, size: int) -> None:
    model = of_kind(kind)
    whole, parts = (
        run(model, decode_request(7, model=model)),
        run(model, decode_request(7, model=model, batch_size=size)),
    )
    width = int(whole.lengths.max())
    assert torch.equal(whole.lengths, parts.lengths) and torch.equal(whole.ids[:, :width], parts.ids[:, :width])
    kept = [codes.hidden[row, :length] for codes in (whole, parts) for row, length in enumerate(codes.lengths)]
    assert all(torch.equal(one, other) for one, other in zip(kept[:7], kept[7:], strict=True))


@pytest.mark.parametrize("native", ["0", "1"])
@pytest.mark.parametrize("kind", ["fp32", "bf16", "int8"])
def test_a_growing_cache_gives_the_same_bits(kind: str, native: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(build.VARIABLE, native)
    model, grown = of_kind(kind), []
    lengthen = KVCache.lengthen
    monkeypatch.setattr(KVCache, "lengthen", lambda cache, length: (grown.append(length), lengthen(cache, length))[1])
    whole = run(model, decode_request(6, model=model, batch_size=4))
    assert not grown
    for codes in (1, 7):
        monkeypatch.setattr(backends, "_CODES", codes)
        parts = run(model, decode_request(6, model=model, batch_size=4))
        assert torch.equal(parts.ids, whole.ids) and torch.equal(parts.lengths, whole.lengths)
        pairs = zip(parts.hidden, whole.hidden, whole.lengths, strict=True)
        assert all(torch.equal(ours[:length], theirs[:length]) for ours, theirs, length in pairs)
    assert len(set(grown)) >= int(whole.lengths.max()) - 2 > 5


def test_a_batch_lets_its_keys_and_values_go(model: Autoregressive, monkeypatch: pytest.MonkeyPatch) -> None:
    allocate, made = model.allocate_cache, []

    def noted(rows: int, max_len: int) -> KVCache:
        cache = allocate(rows, max_len)
        made.append(weakref.ref(cache.keys))
        return cache

    monkeypatch.setattr(model, "allocate_cache", noted)
    for _ in decode(model, decode_request(5, batch_size=3)):
        prefix, *batches = made
        assert prefix() is not None and [batch() for batch in batches] == [None] * len(batches)
    assert len(made) == 3


class FullSize:
    """The public models without their numbers, in half precision, and 32 candidates of a sentence."""

    def __init__(self) -> None:
        with torch.device("meta"):
            self.model = Autoregressive(AutoregressiveConfig()).half()
            self.clvp = Clvp(ClvpConfig()).half()
            rest = (Diffusion(DiffusionConfig()).half(), BigVGAN(lookup("bigvgan_base").config()))
        self.backend = open_backend(
            self.model,
            decode_request(
                32,
                prefix=torch.zeros(1, 75, self.model.cfg.model_dim, device="meta", dtype=torch.half),
                max_codes=500,
            ),
            32,
        )
        self.decoding, self.rest = (sum(map(held_bytes, some)) for some in ((self.model, self.clvp), rest))

    def peak(self, codes: int, rows: int = 32) -> int:
        """Bytes while so many codes are drawn one by one, without what a layer needs for itself."""
        most = 0
        for at in range(0, codes, 16):
            before = self.backend.cache
            held = before.nbytes
            self.backend(torch.zeros(rows, 1, self.model.cfg.model_dim, device="meta", dtype=torch.half), at)
            most = max(most, self.backend.cache.nbytes + (held // 2 if self.backend.cache.nbytes > held else 0))
        return most + sum(getattr(self.backend.state, name).nbytes for name in ("hidden", "seen", "codes", "uniforms"))


@torch.inference_mode()
def test_memory_is_that_of_what_is_said() -> None:
    """The aims of `fast_optimized` in half precision: 4 GB, and 2.5 GB where only the models at work are there."""
    full = FullSize()
    full.backend.begin(32)
    sentence = full.peak(118)
    assert full.decoding + sentence < 2.5e9 and full.decoding + full.rest + sentence < 4e9
    full.backend.keep(torch.tensor([3], device="meta"))
    assert full.peak(500, rows=1) < 2 * sentence  # one that does not stop does not cost as much as all


def test_without_compiled_steps(
    model: Autoregressive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fast = run(model, decode_request(6))
    gpt_step._say.cache_clear()
    monkeypatch.setenv(build.VARIABLE, "0")
    with caplog.at_level("INFO"):
        slow = run(model, decode_request(6))
    assert caplog.text.count("decoding in single torch operations: no compiled kernels") == 1
    assert torch.equal(fast.ids, slow.ids) and torch.equal(fast.lengths, slow.lengths)


@pytest.mark.parametrize("name", ["hidden_states", "mel_logits"])
def test_a_changed_model_decodes_as_it_was_changed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = lively_model(), []
    before = getattr(model, name)
    monkeypatch.setattr(model, name, lambda *args, **more: (calls.append(name), before(*args, **more))[1])
    codes = run(model, decode_request(2))
    assert len(calls) >= int(codes.lengths.max())


@pytest.mark.parametrize("fixed", [False, True])
def test_out_of_memory_in_the_middle(model: Autoregressive, monkeypatch: pytest.MonkeyPatch, fixed: bool) -> None:
    """The second batch fails on its way; the first is kept, the second is drawn again in halves."""
    whole, seen, embed = run(model, decode_request(8)), [0], model.embed_codes

    def little(codes: torch.Tensor, offset: int | torch.Tensor = 0) -> torch.Tensor:
        there = len(codes) == 4 and int(torch.as_tensor(offset).max()) == 5
        seen[0] += there
        if there and seen[0] == 2:
            raise torch.OutOfMemoryError("no room")
        return embed(codes, offset)

    monkeypatch.setattr(model, "embed_codes", little)
    batches = list(decode(model, decode_request(8, batch_size=4, fixed=fixed)))
    assert [len(batch.ids) for batch in batches] == [4, 2, 2]
    together = join_codes(batches, CONFIG.stop_mel_token)
    assert torch.equal(together.lengths, whole.lengths)
    assert torch.equal(together.ids[:, : int(whole.lengths.max())], whole.ids[:, : int(whole.lengths.max())])


def test_out_of_memory_halves_the_batch_and_loses_nothing(
    model: Autoregressive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = run(model, decode_request(7))
    allocate = model.allocate_cache

    def little(rows: int, max_len: int):
        if rows > 2:
            raise torch.OutOfMemoryError("no room")
        return allocate(rows, max_len)

    monkeypatch.setattr(model, "allocate_cache", little)
    batches = list(decode(model, decode_request(7)))
    assert [len(batch.ids) for batch in batches] == [2, 2, 2, 1]
    assert torch.equal(join_codes(batches, CONFIG.stop_mel_token).lengths, whole.lengths)
    assert "going on with 4" in caplog.text and "going on with 2" in caplog.text
    monkeypatch.setattr(model, "allocate_cache", lambda rows, max_len: (_ for _ in ()).throw(RuntimeError("other")))
    with pytest.raises(RuntimeError, match="other"):
        list(decode(model, decode_request(7)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_codes": 61}, "max_mel_tokens is 61, outside 1..60"),
        ({"max_codes": 0}, "max_mel_tokens is 0"),
        ({"batch_size": 0}, "autoregressive_batch_size is 0"),
        ({"generators": []}, "num_autoregressive_samples is 0"),
        ({"min_codes": 51}, "min_mel_tokens is 51, outside 0..50"),
    ],
)
def test_bad_requests_are_refused_before_work(model: Autoregressive, changes: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        decode(model, decode_request(**changes))
