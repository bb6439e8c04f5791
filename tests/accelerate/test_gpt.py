"""A step in one compiled call: the same modules in float64 are its reference, and torch does what it cannot."""

from __future__ import annotations

import copy
import platform
import shutil
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import tiny_configs
from tutortoietts.accelerate import GptStep, accelerate, compiled_step, why_not
from tutortoietts.accelerate import gpt as module
from tutortoietts.accelerate.layers import compiled_int8_linear
from tutortoietts.core.errors import OptionError
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.native import build, gpt_step
from tutortoietts.nn.gpt import FewRowsLinear, Gpt, GptBlock
from tutortoietts.nn.kv_cache import KVCache
from tutortoietts.nn.quant import Int8RowsLinear, quantize

LAYERS, WIDTH, HEADS, LENGTH, PREFIX = 2, 64, 2, 40, 21
KINDS = {"fp32": 2e-6, "bf16": 1e-2, "int8": 1e-2}  # and how far they may be from their own weights in float64
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def model(kind: str, width: int = WIDTH) -> tuple[Gpt, nn.LayerNorm]:
    torch.manual_seed(0)
    gpt, norm = Gpt(width, HEADS, LAYERS).eval(), nn.LayerNorm(width)
    for parameter in (*gpt.parameters(), *norm.parameters()):
        parameter += 0.1 * torch.randn_like(parameter)
    if kind == "int8":
        quantize(gpt, "int8", compiled_int8_linear)
    return (gpt.bfloat16(), norm.bfloat16()) if kind == "bf16" else (gpt, norm)


def head(gpt: Gpt) -> nn.Module:
    """37 classes, with weights as the blocks'."""
    torch.manual_seed(1)
    linear = FewRowsLinear(gpt.ln_f.normalized_shape[0], 37)
    own = gpt.blocks[0].proj
    return (
        quantize(linear, "int8", compiled_int8_linear)
        if isinstance(own, Int8RowsLinear)
        else linear.to(gpt.ln_f.weight.dtype)
    )


def made(gpt: Gpt, norm: nn.LayerNorm) -> GptStep:
    return module.gpt_step(gpt, (gpt.ln_f, norm), head(gpt))


def filled(rows: int, dtype: torch.dtype = torch.float32, width: int = WIDTH) -> KVCache:
    """A cache whose first PREFIX positions are the same in all rows."""
    cache = KVCache.allocate(LAYERS, rows, HEADS, LENGTH, width // HEADS, dtype=dtype)
    for seed, buffer in enumerate((cache.keys, cache.values)):
        buffer[:, :1, :, :PREFIX] = torch.randn(
            buffer[:, :1, :, :PREFIX].shape, generator=torch.Generator().manual_seed(seed)
        )
    cache.fill_rows(0, PREFIX)
    return cache


def inputs(rows: int, steps: int = 1, width: int = WIDTH) -> Tensor:
    return torch.randn(16, steps, width, generator=torch.Generator().manual_seed(7))[:rows]


class Slowly(nn.Module):
    """An int8 layer's own arithmetic in double precision."""

    def __init__(self, layer: Int8RowsLinear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer.reference(x.flatten(0, -2)).to(x.dtype)
        return y.view(*x.shape[:-1], y.shape[1])


def reference(gpt: Gpt, norm: nn.LayerNorm) -> Callable[..., Tensor]:
    slow, last = copy.deepcopy(gpt), copy.deepcopy(norm).double()
    for block in slow.blocks:
        for name, layer in block.named_children():
            if isinstance(layer, Int8RowsLinear):
                setattr(block, name, Slowly(layer))
            else:
                layer.double()
    slow.ln_f.double()
    return lambda x, cache, position: last(slow(x.double(), cache, position=position))


def error(ours: Tensor, want: Tensor) -> float:
    return float(((ours.double() - want).norm(dim=-1) / want.norm(dim=-1)).max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 2, 5, 8, 16])
@pytest.mark.parametrize("shared", [0, PREFIX])
def test_steps_are_those_of_the_modules(kind: str, rows: int, shared: int) -> None:
    gpt, norm = model(kind)
    step, slow = made(gpt, norm), reference(gpt, norm)
    exact, cache = filled(rows, torch.float64), filled(rows)
    for position in (PREFIX, PREFIX + 1, PREFIX + 2):
        x = inputs(rows).to(norm.weight.dtype) * (position - PREFIX + 1)
        ours = step(x, cache, position, shared)
        assert ours.dtype == x.dtype and ours.shape == x.shape
        assert error(ours, slow(x, exact, position)) < KINDS[kind]
    assert error(cache.keys.flatten(1), exact.keys.flatten(1)) < KINDS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_keys_and_values_in_bfloat16(kind: str) -> None:
    gpt, norm = model(kind)
    exact, cache = filled(3, torch.float64), filled(3, torch.bfloat16)
    x = inputs(3).to(norm.weight.dtype)
    assert error(made(gpt, norm)(x, cache, PREFIX, PREFIX), reference(gpt, norm)(x, exact, PREFIX)) < 2e-2


@pytest.mark.parametrize("kind", KINDS)
def test_logits(kind: str) -> None:
    gpt, norm = model(kind)
    step, layer, x = made(gpt, norm), head(gpt), inputs(16)[:, 0].to(norm.weight.dtype)
    slow = Slowly(layer) if isinstance(layer, Int8RowsLinear) else copy.deepcopy(layer).double()
    ours = step.logits(x)
    assert ours.dtype == torch.float32 and error(ours, slow(x.double()).double()) < KINDS[kind]
    assert all(torch.equal(step.logits(x[:rows]), ours[:rows]) for rows in (1, 2, 5, 9))


@pytest.mark.parametrize("width", [32, 96, 192])
@pytest.mark.parametrize("kind", KINDS)
def test_widths(kind: str, width: int) -> None:
    gpt, norm = model(kind, width)
    exact, cache = filled(3, torch.float64, width), filled(3, torch.float32, width)
    x = inputs(3, width=width).to(norm.weight.dtype)
    assert error(made(gpt, norm)(x, cache, PREFIX, PREFIX), reference(gpt, norm)(x, exact, PREFIX)) < KINDS[kind]


def test_rows_at_their_own_positions_and_several_steps_at_once() -> None:
    gpt, norm = model("fp32")
    step, x, at = made(gpt, norm), inputs(3, 4), torch.tensor([2, 5, PREFIX])
    ours = step(x, filled(3), at)
    assert error(ours, reference(gpt, norm)(x, filled(3, torch.float64), at)) < KINDS["fp32"]
    cache = filled(3)
    assert torch.equal(ours, torch.cat([step(x[:, i : i + 1], cache, at + i) for i in range(4)], dim=1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_row_is_the_same_bits_in_any_batch(kind: str, threads: int) -> None:
    gpt, norm = model(kind)
    x, cache, step = inputs(16).to(norm.weight.dtype), filled(16), made(gpt, norm)
    step._threads = 1
    whole = [step(x, cache, PREFIX + i, PREFIX) for i in range(2)]
    step._threads = threads
    for rows in (1, 2, 5, 9, 16):
        cache = filled(rows)
        part = [step(x[:rows], cache, PREFIX + i, PREFIX if rows % 2 else 0) for i in range(2)]
        assert all(torch.equal(some, many[:rows]) for some, many in zip(part, whole, strict=True))


def test_rows_that_are_kept() -> None:
    gpt, norm = model("fp32")
    step, cache, exact = made(gpt, norm), filled(5), filled(5, torch.float64)
    slow, index = reference(gpt, norm), torch.tensor([4, 1])
    step(inputs(5), cache, PREFIX, PREFIX), slow(inputs(5), exact, PREFIX)
    x = inputs(5)[index] + 1
    ours = step(x, cache.keep_rows(index), PREFIX + 1, PREFIX)
    assert error(ours, slow(x, exact.keep_rows(index), PREFIX + 1)) < KINDS["fp32"]


def test_two_threads_at_once() -> None:
    gpt, norm = model("int8")
    results: dict[int, list[Tensor]] = {}

    @torch.inference_mode()
    def work(number: int) -> None:
        step, cache, rows = made(gpt, norm), filled(3 + number), 3 + number
        step._threads = 2
        results[number] = [step(inputs(rows) + number, cache, PREFIX + i, PREFIX) for i in range(LENGTH - PREFIX)]

    for number in (10, 11):
        work(number - 10)
        results[number] = results.pop(number - 10)
    both = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    for number in (0, 1):
        assert all(torch.equal(*pair) for pair in zip(results[number], results[10 + number], strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flag", ["-DPLAIN", *(["-mno-avx512f"] if platform.machine() == "x86_64" else [])])
def test_on_processors_without_its_units(kind: str, flag: str) -> None:
    """int8 gives the same integers; the rest is as near as the reference asks."""
    gpt, norm = model(kind)
    plain, own = gpt_step.library(flag), gpt_step.library()
    x, slow = inputs(6).to(norm.weight.dtype), reference(gpt, norm)(inputs(6), filled(6, torch.float64), PREFIX)
    step = made(gpt, norm)
    step._library = plain
    assert error(step(x, filled(6), PREFIX), slow) < KINDS[kind]
    try:
        own.start(False)
        assert error(made(gpt, norm)(x, filled(6), PREFIX), slow) < KINDS[kind]
    finally:
        own.start(True)


def test_a_position_past_the_end() -> None:
    gpt, norm = model("fp32")
    with pytest.raises(OptionError, match="position 41 is past the 40 positions of the KV cache"):
        made(gpt, norm)(inputs(1), filled(1), LENGTH)


def test_what_is_taken() -> None:
    gpt, norm = model("fp32")
    step = made(gpt, norm)
    assert step.takes(inputs(3), filled(3)) and step.takes(inputs(3), filled(3).rows(0, 2).window(8))
    assert not step.takes(inputs(3), filled(3, torch.float64))
    assert not step.takes(torch.zeros(1, 300, WIDTH), filled(1))


class Other(GptBlock):
    pass


def hooked(gpt: Gpt) -> None:
    gpt.blocks[0].qkv.register_forward_hook(lambda *_: None)


def patched(gpt: Gpt) -> None:
    gpt.blocks[1].forward = lambda x, *_: x  # type: ignore[method-assign]


def replaced(gpt: Gpt) -> None:
    gpt.blocks[1].proj = nn.Sequential(gpt.blocks[1].proj)


def subclassed(gpt: Gpt) -> None:
    gpt.blocks[0] = Other(WIDTH, HEADS)


def in_half(gpt: Gpt) -> None:
    gpt.half()


def without_bias(gpt: Gpt) -> None:
    gpt.blocks[0].proj = nn.Linear(WIDTH, WIDTH, bias=False)


CHANGES = {
    hooked: "a FewRowsLinear was changed",
    patched: "a GptBlock was changed",
    replaced: "a layer is a Sequential",
    subclassed: "a layer is a Other",
    in_half: "are of another kind, or not on the CPU",
    without_bias: "a layer has no bias",
}


def decoder(width: int = WIDTH, heads: int = HEADS) -> Autoregressive:
    torch.manual_seed(0)
    return Autoregressive(tiny_configs.autoregressive(model_dim=width, heads=heads)).eval()


@pytest.mark.parametrize("change", CHANGES)
def test_changed_modules_are_left_to_torch(change: Callable[[Gpt], None], caplog: pytest.LogCaptureFixture) -> None:
    model = accelerate(decoder())
    assert compiled_step(model) is not None and why_not(model) is None
    change(model.gpt)
    module._say.cache_clear()
    with caplog.at_level("INFO"):
        for _ in range(2):
            assert compiled_step(model) is None
    assert caplog.text.count(CHANGES[change]) == 1
    assert CHANGES[change] in str(why_not(model))


def test_changed_methods_are_left_to_torch() -> None:
    model = accelerate(decoder())
    model.mel_logits = lambda hidden: hidden
    assert compiled_step(model) is None and why_not(model) == "the model was changed"


def test_small_heads_int4_and_no_compiler_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not(accelerate(decoder(24, 3))) == "heads of 8 are no multiple of 16"
    assert compiled_step(accelerate(decoder(128), "cpu", "int4")) is None
    model = accelerate(decoder(128))
    assert compiled_step(model) is not None
    monkeypatch.setenv(build.VARIABLE, "0")
    assert compiled_step(model) is None and why_not(model) == "no compiled kernels"


def test_a_model_that_was_not_accelerated_is_left_to_torch() -> None:
    model = decoder()
    assert compiled_step(model) is None
    assert why_not(model) == "it is a Autoregressive, which has no fast form or was not accelerated"
    assert compiled_step(accelerate(model, "cuda")) is None  # it will run elsewhere
