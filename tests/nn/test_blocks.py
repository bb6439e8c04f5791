"""Blocks over (B, T, C) against torch's own layers and plain loops."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from tutortoietts.nn.attention import attend, causal_mask
from tutortoietts.nn.blocks import AttentionBlock, RelativeBias, TimeConv, TimeGroupNorm, group_norm


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("length", [1, 7, 8])
def test_time_conv_is_a_convolution(kernel_size: int, stride: int, length: int) -> None:
    torch.manual_seed(0)
    conv = TimeConv(6, 4, kernel_size, stride)
    x, weight = torch.randn(2, length, 6), torch.randn(4, 6, kernel_size)
    conv.weight.data = weight.permute(0, 2, 1).flatten(1)
    want = F.conv1d(x.transpose(1, 2), weight, conv.bias, stride=stride, padding=kernel_size // 2)
    torch.testing.assert_close(conv(x).transpose(1, 2), want)


@pytest.mark.parametrize(("channels", "groups"), [(8, 8), (12, 4), (48, 16), (96, 32), (1024, 32), (80, 16)])
def test_group_norm(channels: int, groups: int) -> None:
    """1024 channels take the kernel without copies."""
    torch.manual_seed(0)
    norm, plain = TimeGroupNorm(channels), group_norm(channels)
    assert norm.num_groups == plain.num_groups == groups
    torch.nn.init.normal_(norm.weight)
    plain.load_state_dict(norm.state_dict())
    x = torch.randn(2, 11, channels)
    torch.testing.assert_close(norm(x).transpose(1, 2), plain(x.transpose(1, 2)))
    assert norm(x).is_contiguous()


def test_relative_bias_by_loops() -> None:
    bias = RelativeBias(heads=3, scale=2.0)
    length = 150
    ours = bias(length)
    assert ours.shape == (1, 3, length, length)
    for query, key in [(0, 0), (9, 2), (2, 9), (5, 13), (13, 5), (0, 149), (149, 0), (70, 6), (6, 70), (40, 20)]:
        distance = query - key
        size = abs(distance)
        bucket = size if size < 8 else min(15, 8 + int(math.log(size / 8) / math.log(64 / 8) * 8))
        bucket += 16 if distance < 0 else 0
        torch.testing.assert_close(ours[0, :, query, key], 2.0 * bias.table.weight[bucket])


def test_attention_block_by_loops() -> None:
    """Heads are laid out [q | k | v] one after the other; the bias is added before the softmax."""
    torch.manual_seed(0)
    heads, width, length = 2, 16, 5
    block = AttentionBlock(width, heads, relative=True)
    torch.nn.init.normal_(block.proj_out.weight)
    assert block.bias is not None
    x, each = torch.randn(1, length, width), width // heads
    bias = block.bias(length)
    qkv = block.qkv(block.norm(x))[0]
    parts = []
    for head in range(heads):
        q, k, v = qkv[:, 3 * each * head : 3 * each * (head + 1)].split(each, dim=1)
        parts.append(torch.softmax(q @ k.t() / math.sqrt(each) + bias[0, head], dim=-1) @ v)
    want = x + block.proj_out(torch.cat(parts, dim=1))
    torch.testing.assert_close(block(x), want)
    torch.testing.assert_close(block(x, bias), want)
    with torch.no_grad():  # the fused kernel instead of the plain formula
        torch.testing.assert_close(block(x), want)


def test_untrained_block_changes_nothing() -> None:
    x = torch.randn(1, 5, 16)
    assert torch.equal(AttentionBlock(16, 2)(x), x)


def test_trained_bias_gets_its_gradient() -> None:
    q, k, v = (torch.randn(1, 2, 6, 8) for _ in range(3))
    bias = torch.randn(1, 2, 6, 6, requires_grad=True)
    attend(q, k, v, mask=bias).square().sum().backward()
    assert bias.grad is not None and bias.grad.abs().sum() > 0


def test_causal_mask_by_row() -> None:
    device = torch.device("cpu")
    one = causal_mask(3, 2, 6, device)
    assert one[0, 0].int().tolist() == [[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0]]
    assert torch.equal(causal_mask(torch.tensor(3), 2, 6, device), one)
    rows = causal_mask(torch.tensor([0, 3]), 2, 6, device)
    assert torch.equal(rows[1:], one)
    assert rows[0, 0].int().tolist() == [[1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]]


@pytest.mark.parametrize("length", [1, 9, 150])
def test_a_kept_bias_changes_nothing(length: int) -> None:
    torch.manual_seed(0)
    block = AttentionBlock(16, 2, relative=True)
    torch.nn.init.normal_(block.proj_out.weight)
    x, kept = torch.randn(3, length, 16), block.kept_bias(length)
    assert block.bias is not None and kept is not None and kept.shape == (2, 2 * length - 1)
    with torch.no_grad():
        torch.testing.assert_close(block(x, kept), block(x))
        torch.testing.assert_close(block(x, block.bias(length)), block(x))
        half = block.bfloat16()
        torch.testing.assert_close(half(x.bfloat16(), half.kept_bias(length)), half(x.bfloat16()))
    assert AttentionBlock(16, 2).kept_bias(length) is None


def test_elsewhere_the_kept_bias_has_aligned_rows() -> None:
    block = AttentionBlock(16, 2, relative=True).to("meta")
    kept = block.kept_bias(13)
    assert kept is not None and kept.shape == (1, 2, 13, 13) and kept.stride() == (2 * 13 * 16, 13 * 16, 16, 1)
