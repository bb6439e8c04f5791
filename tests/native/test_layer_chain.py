"""Chains of layers over frames in one compiled call: the modules themselves, in float64, are the reference."""

from __future__ import annotations

import copy
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.accelerate.layers import can_chain, linear_weights, norm_weights
from tutortoietts.native import build, layer_chain
from tutortoietts.native.layer_chain import Attend, Chain, Convolve, Rotate, Step
from tutortoietts.nn import quant
from tutortoietts.nn.attention import attend
from tutortoietts.nn.blocks import AttentionBlock, TimeConv, TimeGroupNorm
from tutortoietts.nn.quant import Int8RowsLinear, Int8TimeConv, RoundedLinear
from tutortoietts.nn.rotary_encoder import rotate, rotation

WIDTH, ROWS = 32, 2
FLAGS = [(), ("-DPLAIN",)] + ([("-mno-avx512f",)] if platform.machine() == "x86_64" else [])
EXACT, ROUNDED = 3e-6, 1e-3  # of float32; and of 8-bit numbers, where one halfway between two may become either


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    if layer_chain.library() is None:
        pytest.skip("no compiled kernels: they want a C compiler with OpenMP")
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def through(
    x: Tensor, *steps: Step, made: int, at: int, flags: tuple[str, ...] = (), threads: int = 2, **run
) -> Tensor:
    """x (B, C, F) at channel 0 -> the `made` channels at `at` after the steps."""
    chain = Chain(steps, 8 * WIDTH, x.shape[2], layer_chain.library(*flags))
    chain.threads = threads
    buffers = chain.buffers()
    signal = buffers.signal(len(x))
    signal[:] = torch.nan  # whatever was there before
    signal[:, : x.shape[1]] = x
    buffers.run(len(x), **run)
    return signal[:, at : at + made].clone()


def convolve(layer: nn.Module, norm: nn.Module | None = None, **place) -> Convolve:
    """Return a step with the weights of modules."""
    given = None if norm is None else norm_weights(norm)  # type: ignore[arg-type]
    return Convolve(layer=linear_weights(layer), norm=given, **place)


def quantize(layer: nn.Module, precision: str) -> RoundedLinear:
    """Return the layer with rounded weights and inputs."""
    return quant.quantize(layer, precision, Int8RowsLinear)  # type: ignore[return-value]


def error(ours: Tensor, want: Tensor) -> float:
    return float((ours.double() - want.double()).norm() / want.double().norm())


def slowly(layer: nn.Module) -> nn.Module:
    """The layer's own arithmetic on (B, F, C) in float64, or that of its rounded numbers."""
    if isinstance(layer, Int8RowsLinear):
        return lambda x: layer.reference(x.float()).double()  # type: ignore[return-value]
    if isinstance(layer, Int8TimeConv):
        return lambda x: layer(x.float()).double()  # type: ignore[return-value]
    return copy.deepcopy(layer).double()


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("length", [1, 4, 16, 47, 48, 49, 100, 256])
@pytest.mark.parametrize("kind", ["linear", "conv", "linear int8", "conv int8"])
def test_a_layer(kind: str, length: int, flags: tuple[str, ...]) -> None:
    layer: nn.Module = TimeConv(WIDTH, 72, 3) if "conv" in kind else nn.Linear(WIDTH, 72)
    layer = quantize(layer, "int8") if "int8" in kind else layer
    x = torch.randn(ROWS, WIDTH, length)
    ours = through(x, convolve(layer=layer, source=0, target=WIDTH), made=72, at=WIDTH, flags=flags)
    want = slowly(layer)(x.transpose(1, 2).double()).transpose(1, 2)
    assert error(ours, want) < (ROUNDED if "int8" in kind else EXACT)


@pytest.mark.parametrize("width", [100, 300, 1040])
def test_widths_that_fill_no_vector_and_more_than_is_taken_at_once(width: int) -> None:
    x = torch.randn(1, width, 50)
    for layer in (TimeConv(width, 8, 3), quantize(TimeConv(width, 8, 3), "int8")):
        chain = Chain([convolve(layer=layer, source=0, target=width)], width + 8, 50, layer_chain.library())
        ours = chain.buffers()
        ours.signal(1)[:, :width] = x
        ours.run(1)
        want = slowly(layer)(x.transpose(1, 2).double()).transpose(1, 2)
        assert error(ours.signal(1)[:, width:], want) < (EXACT if isinstance(layer, TimeConv) else ROUNDED)


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("modulated", [None, 1, ROWS])
@pytest.mark.parametrize("length", [5, 70])
def test_norm_modulation_and_activation_before_it_and_a_sum_behind(
    length: int, modulated: int | None, flags: tuple[str, ...]
) -> None:
    norm, layer = TimeGroupNorm(WIDTH), TimeConv(WIDTH, WIDTH, 3)
    for tensor in norm.parameters():
        tensor += 0.3 * torch.randn_like(tensor)
    x = 3 * torch.randn(ROWS, WIDTH, length) + 5
    scales = None if modulated is None else 0.5 * torch.randn(2, modulated, 2 * WIDTH)
    step = convolve(
        layer=layer,
        norm=norm,
        activation="silu",
        source=0,
        target=0,
        add=True,
        modulation=None if modulated is None else 1,
    )
    ours = through(x, step, made=WIDTH, at=0, flags=flags, modulations=scales)
    y = F.group_norm(x.double(), norm.num_groups, norm.weight.double(), norm.bias.double(), norm.eps)
    if scales is not None:
        scale, shift = scales[1].double().unsqueeze(-1).chunk(2, dim=1)
        y = y * (1 + scale) + shift
    want = x.double() + slowly(layer)(F.silu(y).transpose(1, 2)).transpose(1, 2)
    assert error(ours, want) < EXACT


@pytest.mark.parametrize("flags", FLAGS)
def test_root_mean_square_norm_and_gated_linear_units(flags: tuple[str, ...]) -> None:
    norm, layer = nn.RMSNorm(WIDTH, eps=1e-5), nn.Linear(WIDTH, WIDTH, bias=False)
    norm.weight += 0.3 * torch.randn(WIDTH)
    x = torch.randn(ROWS, 2 * WIDTH, 37)
    ours = through(x, convolve(layer=layer, norm=norm, source=0, target=99), made=WIDTH, at=99, flags=flags)
    first = copy.deepcopy(norm).double()(x[:, :WIDTH].transpose(1, 2).double())
    assert error(ours, slowly(layer)(first).transpose(1, 2)) < EXACT
    ours = through(
        4 * x, convolve(layer=layer, activation="geglu", source=0, target=99), made=WIDTH, at=99, flags=flags
    )
    value, gate = (4 * x).transpose(1, 2).double().chunk(2, dim=-1)
    assert error(ours, slowly(layer)(value * F.gelu(gate)).transpose(1, 2)) < EXACT


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("length", [1, 15, 33, 128])
def test_attention_with_a_bias_by_distance(length: int, flags: tuple[str, ...]) -> None:
    block = AttentionBlock(WIDTH, 2, relative=True)
    line, size = block.bias.line(length), WIDTH // 2
    qkv = 3 * torch.randn(ROWS, 3 * WIDTH, length)
    step = Attend(
        heads=2, size=size, head_stride=3 * size, part_stride=size, bias=line.flip(1), source=0, target=3 * WIDTH
    )
    ours = through(qkv, step, made=WIDTH, at=3 * WIDTH, flags=flags)
    q, k, v = qkv.double().view(ROWS, 2, 3, size, length).transpose(3, 4).unbind(2)
    want = attend(q, k, v, mask=block.bias(length).double())
    assert error(ours, want.transpose(2, 3).flatten(1, 2)) < EXACT


@pytest.mark.parametrize("flags", FLAGS)
def test_rotated_attention_that_does_not_see_padding(flags: tuple[str, ...]) -> None:
    length, size, turned, lengths = 41, WIDTH // 2, 8, torch.tensor([41, 13])
    qkv = torch.randn(ROWS, 3 * WIDTH, length)
    cos, sin = rotation(length, turned, qkv.device)
    steps = (
        Rotate(heads=6, size=size, source=0, cos=cos[:, : turned // 2], sin=sin[:, : turned // 2]),
        Attend(heads=2, size=size, head_stride=size, part_stride=WIDTH, source=0, target=3 * WIDTH),
    )
    ours = through(qkv, *steps, made=WIDTH, at=3 * WIDTH, flags=flags, lengths=lengths)
    q, k, v = rotate(qkv.view(ROWS, 3, 2, size, length).transpose(3, 4), cos, sin).double().unbind(1)
    mask = (torch.arange(length) < lengths[:, None])[:, None, None]
    want = attend(q, k, v, mask=mask).transpose(2, 3).flatten(1, 2)
    assert error(ours, want) < EXACT
    again = through(qkv, *steps, made=WIDTH, at=3 * WIDTH, flags=flags, lengths=torch.tensor([13], dtype=torch.int32))
    assert torch.equal(again[1], ours[1]) and not torch.equal(again[0], ours[0])
    whole = through(qkv, *steps, made=WIDTH, at=3 * WIDTH, flags=flags, lengths=torch.tensor([41, 99]))
    assert torch.equal(whole, through(qkv, *steps, made=WIDTH, at=3 * WIDTH, flags=flags))


def some(length: int, kind: str) -> tuple[Tensor, list[Step]]:
    """A layer, attention and a layer."""
    norm = TimeGroupNorm(WIDTH)
    layers: list[nn.Module] = [nn.Linear(WIDTH, 3 * WIDTH), TimeConv(WIDTH, WIDTH, 3)]
    if kind == "int8":
        layers = [quantize(layer, "int8") for layer in layers]
    size, line = WIDTH // 2, torch.randn(2, 2 * length - 1)
    return torch.randn(5, WIDTH, length), [
        convolve(layer=layers[0], norm=norm, source=0, target=WIDTH),
        Attend(heads=2, size=size, head_stride=3 * size, part_stride=size, bias=line, source=WIDTH, target=4 * WIDTH),
        convolve(layer=layers[1], activation="silu", source=4 * WIDTH, target=0, add=True),
    ]


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_the_same_bits_in_any_batch_and_with_any_number_of_threads(kind: str) -> None:
    x, steps = some(100, kind)
    whole = through(x, *steps, made=WIDTH, at=0, threads=1)
    for rows in (1, 2, 5):
        for threads in (1, 2, 3):
            assert torch.equal(through(x[:rows], *steps, made=WIDTH, at=0, threads=threads), whole[:rows])


def test_a_part_of_the_steps_and_a_signal_that_stays() -> None:
    x, steps = some(30, "fp32")
    chain = Chain(steps, 5 * WIDTH, 30, layer_chain.library()).buffers()
    chain.signal(5)[:, :WIDTH] = x
    chain.run(5, stop=1)
    chain.run(5, start=1)
    assert torch.equal(chain.signal(5)[:, :WIDTH], through(x, *steps, made=WIDTH, at=0))
    assert torch.equal(chain.signal(2), chain.signal(5)[:2])


def test_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert can_chain(nn.Linear(5, 8), 5, 8) and can_chain(TimeConv(5, 8, 3), 5, 8)
    assert can_chain(quantize(TimeConv(4, 8, 3), "int8"), 4, 8)
    assert not can_chain(nn.Linear(8, 5), 8, 5) and not can_chain(nn.Linear(16, 8), 8, 8)
    assert not can_chain(TimeConv(8, 8, 5), 8, 8) and not can_chain(TimeConv(8, 8, 3, stride=2), 8, 8)
    assert not can_chain(quantize(TimeConv(5, 8, 3), "int8"), 5, 8) and not can_chain(nn.Conv1d(8, 8, 3), 8, 8)
    for wrong in (
        convolve(layer=nn.Linear(8, 8), source=0, target=9),
        convolve(layer=nn.Linear(8, 8), source=0, target=0, norm=TimeGroupNorm(4)),
        convolve(layer=nn.Linear(8, 8), source=0, target=0, modulation=0),
        convolve(layer=nn.Linear(9, 8), source=0, target=0, activation="geglu"),
        Attend(heads=2, size=4, head_stride=12, part_stride=4, source=0, target=0),
        Rotate(heads=3, size=8, source=0, cos=torch.ones(4, 2), sin=torch.ones(4, 2)),
    ):
        with pytest.raises(ValueError):
            Chain([wrong], 16, 4, layer_chain.library())
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    assert layer_chain.has_integer_products() == ("avx512_vnni" in flags)
    assert not layer_chain.library("-DPLAIN").has_integer_products()
    monkeypatch.setenv(build.VARIABLE, "0")
    assert layer_chain.library() is None and not layer_chain.has_integer_products()
