"""Layers of 8 and 4 bits: a plain Linear over the dequantized weights is their reference; their distance from float."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.errors import OptionError
from tutortoietts.nn import quant
from tutortoietts.nn.blocks import TimeConv
from tutortoietts.nn.quant import (
    GROUP,
    Int4Linear,
    Int8Linear,
    Int8RowsLinear,
    QuantLinear,
    WeightInt8Linear,
    quantize,
)

WIDTH, OUT = 256, 96
needs_fbgemm = pytest.mark.skipif(not Int8Linear.works(), reason="this torch has no fbgemm")


@pytest.fixture
def linear() -> nn.Linear:
    torch.manual_seed(0)
    layer = nn.Linear(WIDTH, OUT).eval().requires_grad_(False)
    layer.weight.mul_(torch.logspace(-3, 1, OUT)[:, None])  # channels of very different size
    return layer


@pytest.fixture
def x() -> Tensor:
    return torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(1)) * torch.logspace(-2, 2, 5)[:, None]


def error(ours: Tensor, want: Tensor, bias: Tensor) -> float:
    """The largest relative error of a row, the bias left out."""
    size = (want - bias).norm(dim=-1)
    return float(((ours.float() - want.float()).norm(dim=-1) / size).max())


def rounded_rows(x: Tensor, steps: int) -> Tensor:
    size = x.abs().amax(dim=1, keepdim=True)
    return (x / size * steps).round() / steps * size


@needs_fbgemm
@pytest.mark.parametrize("vnni", [True, False])
def test_int8_is_its_reference(linear: nn.Linear, x: Tensor, vnni: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quant, "_has_vnni", lambda: vnni)
    weight = quant.int8_inverse(*quant.int8_weights(linear.weight))
    want = F.linear(rounded_rows(x, 127 if vnni else 63), weight, linear.bias)
    assert error(Int8Linear(linear)(x), want, linear.bias) < 1e-5


@needs_fbgemm
def test_int8_rows_do_not_know_each_other(linear: nn.Linear, x: Tensor) -> None:
    """The same bits alone and in any batch; and a row of zeros gives the bias."""
    layer = Int8Linear(linear)
    x[2] = 0
    together = layer(x)
    assert torch.equal(together, torch.cat([layer(row[None]) for row in x]))
    assert torch.equal(together[1:4], layer(x[1:4]))
    assert torch.equal(together[2], linear.bias)


@pytest.mark.parametrize("rows", [1, 5, 20])
@pytest.mark.parametrize("kernel", [True, False])
def test_weight_only_int8_is_its_reference(linear: nn.Linear, rows: int, kernel: bool) -> None:
    x = torch.randn(rows, WIDTH)
    layer = WeightInt8Linear(linear)
    layer.kernel = layer.kernel and kernel
    want = F.linear(x, quant.int8_inverse(*quant.int8_weights(linear.weight)), linear.bias)
    assert error(layer(x), want, linear.bias) < 1e-2  # where the kernel takes bfloat16


def test_int4_is_its_reference(linear: nn.Linear, x: Tensor) -> None:
    want = F.linear(x, quant.int4_inverse(*quant.int4_weights(linear.weight)), linear.bias)
    assert error(Int4Linear(linear)(x), want, linear.bias) < 1e-2


@pytest.mark.parametrize(("precision", "limit"), [("int8", 0.02), ("int4", 0.12)])
def test_distance_from_float(linear: nn.Linear, x: Tensor, precision: str, limit: float) -> None:
    layer = quantize(linear, precision)
    assert limit / 20 < error(layer(x), linear(x), linear.bias) < limit


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_shape_dtype_and_bytes(linear: nn.Linear, precision: str) -> None:
    layer = quantize(linear, precision)
    assert isinstance(layer, QuantLinear)
    x = torch.randn(2, 3, WIDTH, dtype=torch.bfloat16)
    assert layer(x).shape == (2, 3, OUT) and layer(x).dtype == torch.bfloat16
    share = {"int8": 1.0, "int4": 0.5}[precision]
    assert share < layer.nbytes / linear.weight.numel() < share + 0.15


def test_constant_groups(x: Tensor) -> None:
    """No division by zero; 4 bits hold a constant group to bfloat16's rounding."""
    layer = nn.Linear(WIDTH, OUT, bias=False).requires_grad_(False)
    layer.weight[:] = 0.3
    layer.weight[:, :GROUP] = 0.0
    x = x.abs()
    for precision in ("int8", "int4"):
        assert error(quantize(layer, precision)(x), layer(x), torch.zeros(OUT)) < 0.02


def test_a_whole_module() -> None:
    """Every plain Linear, and nothing else; what int4 kernels cannot take becomes int8."""
    module = nn.ModuleDict(
        {
            "in": nn.Sequential(nn.Linear(WIDTH, 48), nn.LayerNorm(48)),
            "conv": TimeConv(8, 8, 3),
            "odd": nn.Linear(48, 50),
        }
    ).requires_grad_(False)
    assert quantize(module, "int4") is module
    assert isinstance(module["in"][0], Int4Linear)
    assert isinstance(module["conv"], TimeConv)
    assert isinstance(module["odd"], Int8Linear | WeightInt8Linear)


def test_without_fbgemm_and_another_maker(linear: nn.Linear, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(quantize(linear, "int8", Int8RowsLinear), Int8RowsLinear)
    monkeypatch.setattr(Int8Linear, "works", staticmethod(lambda: False))
    assert isinstance(quantize(linear, "int8"), WeightInt8Linear)


def test_rounded_rows_are_rows_in_8_bits(linear: nn.Linear, x: Tensor) -> None:
    weight = quant.int8_inverse(*quant.int8_weights(linear.weight))
    want = F.linear(rounded_rows(x, 127), weight, linear.bias)
    assert error(Int8RowsLinear(linear)(x), want, linear.bias) < 1e-5


def test_other_widths_are_refused(linear: nn.Linear) -> None:
    with pytest.raises(OptionError, match="'int2': must be int8 or int4"):
        quantize(linear, "int2")
    with pytest.raises(OptionError, match="not for meta"):
        quantize(nn.Linear(WIDTH, OUT, device="meta"), "int4")
