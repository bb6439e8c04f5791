"""Convolutions in C against torch's, in float32 and, with AMX, in bfloat16."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutortoietts.accelerate.vocoder import conv_layer
from tutortoietts.models.bigvgan import SnakeBeta, _double, _halve, antialias_filter
from tutortoietts.native import vocoder_conv
from tutortoietts.native.build import library
from tutortoietts.native.vocoder_conv import Pair, can_convolve, leaky, snake

pytestmark = pytest.mark.skipif(not can_convolve(), reason="no compiler or vectors")
needs_amx = pytest.mark.skipif(not can_convolve(split=True), reason="no AMX")
SPLIT = pytest.mark.parametrize(
    "split", [pytest.param(False, id="whole"), pytest.param(True, id="split", marks=needs_amx)]
)


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seeded(module: nn.Module) -> nn.Module:
    for seed, parameter in enumerate(module.parameters()):
        parameter.data.copy_(draw(*parameter.shape, seed=seed + 10) * parameter[0].numel() ** -0.5)
    return module.requires_grad_(False)


def planes(x: Tensor) -> Tensor:
    """(C, L) -> (planes, L, 32)."""
    return vocoder_conv._padded(x, 0).view(-1, 32, x.shape[-1]).transpose(1, 2).contiguous()


def lines(x: Tensor, channels: int) -> Tensor:
    """The inverse; what fills the last plane must be zeros."""
    x = x.transpose(1, 2).flatten(0, 1)
    assert not x[channels:].any()
    return x[:channels]


def close(ours: Tensor, exact: Tensor, split: bool) -> None:
    assert ours.shape == exact.shape
    assert (ours - exact).norm() < (5e-5 if split else 5e-6) * exact.norm()


@SPLIT
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "dilation", "length"),
    [(40, 70, 7, 3, 333), (32, 1, 7, 1, 150), (100, 64, 3, 1, 5), (64, 64, 11, 5, 700), (3, 2, 1, 1, 1)],
)
def test_convolutions(
    inputs: int, outputs: int, size: int, dilation: int, length: int, threads: int, split: bool, monkeypatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    conv = seeded(nn.Conv1d(inputs, outputs, size, padding=(size - 1) * dilation // 2, dilation=dilation))
    x, shift = draw(inputs, length), draw(outputs, seed=2)
    ours = vocoder_conv._Work().convolve(planes(x), leaky(0.2), conv_layer(conv, split), shift)
    exact = conv(F.leaky_relu(x, 0.2)[None])[0] + shift[:, None]
    close(ours.T if outputs == 1 else lines(ours, outputs), exact, split)


@SPLIT
@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "rate", "length"),
    [(64, 32, 16, 8, 37), (40, 20, 4, 2, 333), (32, 32, 5, 3, 20), (33, 33, 9, 5, 1), (32, 64, 4, 4, 6)],
)
def test_transposed_convolutions(inputs: int, outputs: int, size: int, rate: int, length: int, split: bool) -> None:
    conv = seeded(nn.ConvTranspose1d(inputs, outputs, size, stride=rate, padding=(size - rate) // 2))
    x = draw(inputs, length)
    ours = vocoder_conv._Work().convolve(planes(x), leaky(1), conv_layer(conv, split))
    close(lines(ours, outputs), conv(x[None])[0], split)


def branch(width: int, size: int, dilation: int, kind: str, split: bool) -> tuple[Pair, nn.Module]:
    """A pair, and the module that it must be like."""
    first = seeded(nn.Conv1d(width, width, size, padding=(size - 1) * dilation // 2, dilation=dilation))
    second = seeded(nn.Conv1d(width, width, size, padding=size // 2))
    if kind == "leaky":
        slow = nn.Sequential(nn.LeakyReLU(0.1), first, nn.LeakyReLU(0.1), second)
        return Pair(leaky(0.1), conv_layer(first, split), leaky(0.1), conv_layer(second, split)), slow
    snakes = [SnakeBeta(width).requires_grad_(False) for _ in range(2)]
    for seed, one in enumerate(snakes):
        one.alpha.copy_(0.3 * draw(width, seed=seed))
        one.beta.copy_(0.3 * draw(width, seed=seed + 5))
    ours = [snake(*one.rates(), one.filter) for one in snakes]
    slow = nn.Sequential(snakes[0], first, snakes[1], second)
    return Pair(ours[0], conv_layer(first, split), ours[1], conv_layer(second, split)), slow


@SPLIT
@pytest.mark.parametrize("kind", ["snake", "leaky"])
@pytest.mark.parametrize("length", [1, 2, 6, 7, 63, 500])
def test_the_mean_of_branches(kind: str, length: int, split: bool) -> None:
    width, x = 40, draw(40, length)
    branches = [[branch(width, size, d, kind, split) for d in (1, 4)] for size in (3, 11)]
    exact = torch.zeros_like(x)
    for pairs in branches:
        y = x[None]
        for _, slow in pairs:
            y = y + slow(y)
        exact += y[0] / len(branches)
    ours = vocoder_conv._Work().mean(planes(x), [[pair for pair, _ in pairs] for pairs in branches])
    close(lines(ours, width), exact, split)


@SPLIT
@pytest.mark.parametrize("kind", ["snake", "leaky"])
def test_tiles_and_threads_change_no_bit_and_a_part_is_that_of_the_whole(
    kind: str, split: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, x = [[branch(32, 7, 3, kind, split)[0]]], planes(draw(32, 900))
    whole = vocoder_conv._Work().mean(x, pairs)
    around = 6 * 3 // 2 + 6 // 2 + (2 * 6 if kind == "snake" else 0)
    part = vocoder_conv._Work().mean(x[:, 101:480].contiguous(), pairs)
    torch.testing.assert_close(part[:, around:-around], whole[:, 101 + around : 480 - around], rtol=0, atol=0)
    for threads, numbers in ((1, 1), (2, 200 * 32), (5, 1 << 20)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        monkeypatch.setattr(vocoder_conv, "_NUMBERS", numbers)
        assert torch.equal(vocoder_conv._Work().mean(x, pairs), whole)


def test_shorter_vectors_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on processors with AVX2 only."""
    pairs, x = [[branch(40, 7, 3, "snake", split=False)[0]]], planes(draw(40, 300))
    usual = vocoder_conv._Work().mean(x, pairs)
    monkeypatch.setattr(vocoder_conv, "library", lambda source: library(source, "-march=haswell"))
    torch.testing.assert_close(vocoder_conv._Work().mean(x, pairs), usual, rtol=1e-5, atol=1e-5)
    assert not can_convolve(split=True)


def test_sines_of_large_numbers() -> None:
    """Many turns: what is lost is what float32 cannot hold of the angle."""
    alpha, beta, x = torch.full((32,), 40.0), torch.full((32,), 0.5), 50 * draw(32, 300)
    same = seeded(nn.Conv1d(32, 32, 1))
    same.weight.copy_(torch.eye(32)[..., None])
    same.bias.zero_()
    taps = antialias_filter()
    ours = vocoder_conv._Work().convolve(planes(x), snake(alpha, beta, taps), conv_layer(same))
    doubled = _double(x[None].double(), taps.double())
    exact = _halve(doubled + (doubled * 40).sin().square() / 0.5, taps.double())[0]
    torch.testing.assert_close(lines(ours, 32).double(), exact, rtol=0, atol=4e-3)
