"""Every Triton kernel against torch, on a GPU or in Triton's interpreter.

TRITON_INTERPRET=1 python tests/kernel_checks.py cpu
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from torch import Tensor

from tutortoietts.models.bigvgan import EPSILON, SnakeBeta
from tutortoietts.native import gpu_kernels
from tutortoietts.nn.blocks import stacked_taps

__all__ = ["check_all"]

HALF, F32 = torch.float16, torch.float32
MOST = {HALF: 2e-3, F32: 1e-5}


def check_all(device: str) -> None:
    """Raise AssertionError where a kernel and torch differ by more than rounding."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int, dtype: torch.dtype = F32) -> Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    for rows, inputs, width in ((1, 32, 32), (3, 64, 50), (8, 1024, 96), (16, 2048, 40), (31, 64, 33)):
        _check_linear(normal, rows, inputs, width)
    for dtype in MOST:
        _check_attention(normal, dtype)
        for shape in ((2, 37, 64, 16), (1, 600, 96, 8), (2, 5, 1024, 32)):
            _check_norm(normal, dtype, *shape)
    for shape in ((1, 3, 1), (2, 4, 7), (1, 5, 2100)):
        x, layer = 2 * normal(*shape), SnakeBeta(shape[1]).to(device)
        layer.alpha.data, layer.beta.data = normal(shape[1]), normal(shape[1])
        found = gpu_kernels.snake(x, layer.filter, layer.alpha.detach(), layer.beta.detach(), EPSILON)
        _close(found, layer(x).detach())


def _close(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape and found.dtype == expected.dtype
    error = float((found.double() - expected.double()).norm() / expected.double().norm())
    assert error < MOST[found.dtype], error


def _check_linear(normal, rows: int, inputs: int, width: int) -> None:  # type: ignore[no-untyped-def]
    x, bias, residual = (normal(*shape, dtype=HALF) for shape in ((rows, inputs), (width,), (rows, width)))
    weight, gamma, beta = (normal(*shape, dtype=HALF) for shape in ((width, inputs), (inputs,), (inputs,)))
    y = F.linear(x.float(), weight.float(), bias.float())
    _close(gpu_kernels.rows_linear(x, weight, bias, residual=residual), (y + residual.float()).half())
    _close(gpu_kernels.rows_linear(x, weight, bias, gelu=True), F.gelu(y, approximate="tanh").half())
    normed = F.layer_norm(x.float(), (inputs,), gamma.float(), beta.float(), 1e-5).half()
    found = gpu_kernels.rows_linear(x, weight, bias, norm=(gamma, beta, 1e-5))
    _close(found, F.linear(normed.float(), weight.float(), bias.float()).half())
    q, scale = (50 * weight).clamp(-127, 127).to(torch.int8), 0.01 * normal(width, dtype=HALF).abs()
    found = gpu_kernels.rows_linear(x, q, bias, scale=scale)
    _close(found, (F.linear(x.float(), q.float()) * scale.float() + bias.float()).half())


def _check_attention(normal, dtype: torch.dtype) -> None:  # type: ignore[no-untyped-def]
    rows, heads, size, places = 3, 2, 64, 200
    keys, values = (normal(2, rows + 2, heads, places + 8, size, dtype=dtype)[1, :rows, :, :places] for _ in range(2))
    qkv, position = normal(rows, 3 * heads * size, dtype=dtype), torch.tensor([0, 77, places - 1], device=keys.device)
    query, key, value = qkv.view(rows, 3, heads, size).unbind(1)
    row = torch.arange(rows, device=keys.device)
    expected_keys, expected_values = keys.clone(), values.clone()
    expected_keys[row, :, position], expected_values[row, :, position] = key, value
    seen = torch.arange(places, device=keys.device) <= position[:, None, None, None]
    exact = (query[:, :, None].float(), expected_keys.float(), expected_values.float())
    expected = F.scaled_dot_product_attention(*exact, attn_mask=seen).reshape(rows, -1)
    _close(gpu_kernels.attend_step(qkv, keys, values, position), expected.to(dtype))
    assert torch.equal(keys, expected_keys) and torch.equal(values, expected_values)


def _check_norm(normal, dtype: torch.dtype, batch: int, length: int, channels: int, groups: int) -> None:  # type: ignore[no-untyped-def]
    x = normal(batch, length, channels, dtype=dtype) + 1
    weight, bias = normal(channels, dtype=dtype), normal(channels, dtype=dtype)
    exact = F.group_norm(x.float().transpose(1, 2), groups, weight.float(), bias.float(), 1e-5).transpose(1, 2)
    _close(gpu_kernels.group_norm(x, groups, weight, bias, 1e-5), exact.to(dtype))
    for modulation in (normal(3, 2 * channels, dtype=dtype)[1:2], normal(batch, 2 * channels, dtype=dtype)):
        scale, shift = modulation.float().unsqueeze(1).chunk(2, dim=-1)
        expected = F.silu(exact * (1 + scale) + shift).to(dtype)
        given = (x, groups, weight, bias, 1e-5, modulation)
        _close(gpu_kernels.group_norm(*given, silu=True), expected)
        _close(gpu_kernels.group_norm(*given, silu=True, taps=3), stacked_taps(expected, 3))


if __name__ == "__main__":
    check_all(sys.argv[1])
