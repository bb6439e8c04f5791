"""8-bit layers by our kernel: their reference in torch has the same sums."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from torch import nn

from tutortoietts.accelerate.layers import CompiledInt8Linear, compiled_int8_linear, linear_weights
from tutortoietts.native import build, gpt_step
from tutortoietts.nn.blocks import TimeConv

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


def processors() -> list[Any]:
    """Return the kernels of this processor, the same without AMX, and those of processors without AVX-512."""
    return [(*flags, amx) for *flags, amx in ((True,), (False,), ("-DPLAIN", False))]


@needs_compiler
@pytest.mark.parametrize("processor", processors(), ids=["own", "no AMX", "plain"])
@pytest.mark.parametrize("rows", [1, 5, 33])
@pytest.mark.parametrize(("width", "out"), [(16, 7), (80, 40), (256, 96), (320, 34)])
def test_int8_by_the_kernel_is_its_reference(
    processor: tuple, rows: int, width: int, out: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    *flags, amx = processor
    library = gpt_step.library(*flags)
    monkeypatch.setattr(gpt_step, "library", lambda: library)
    torch.manual_seed(0)
    layer = CompiledInt8Linear(nn.Linear(width, out).requires_grad_(False))
    x = torch.randn(rows, width) * torch.logspace(-2, 2, rows)[:, None]
    x[rows // 2] = 0
    library.start(amx)
    try:
        ours = layer(x)
        alone = torch.cat([layer(row[None]) for row in x])
    finally:
        library.start(True)
    assert torch.equal(ours, alone)
    size = x.abs().amax(dim=1, keepdim=True).clamp_min(1e-9)  # float32 sums are rounded in proportion to their row
    torch.testing.assert_close(ours / size, layer.reference(x) / size, rtol=1e-5, atol=5e-6)
    assert torch.equal(ours[rows // 2], layer.bias)


@needs_compiler
def test_where_it_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(compiled_int8_linear(nn.Linear(32, 8)), CompiledInt8Linear)
    assert not isinstance(compiled_int8_linear(nn.Linear(24, 8)), CompiledInt8Linear)
    layer, x = CompiledInt8Linear(nn.Linear(32, 8)), torch.randn(3, 32)
    monkeypatch.setenv(build.VARIABLE, "0")
    assert not isinstance(compiled_int8_linear(nn.Linear(32, 8)), CompiledInt8Linear)
    assert torch.equal(layer(x), layer.reference(x))


def test_weights_are_read_in_place() -> None:
    conv = TimeConv(8, 16, 3)
    weights = linear_weights(conv)
    assert (weights.taps, weights.inputs, weights.outputs) == (3, 8, 16)
    assert weights.weight.data_ptr() == conv.weight.data_ptr() and weights.bias.data_ptr() == conv.bias.data_ptr()
    assert not linear_weights(nn.Linear(8, 8, bias=False)).bias.any()
    with pytest.raises(TypeError, match="no kernel takes a Conv1d"):
        linear_weights(nn.Conv1d(8, 8, 3))
