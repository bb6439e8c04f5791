"""Kernels for CUDA GPUs in Triton, which comes with torch's CUDA builds; import this only where there is Triton.

Each does in one launch what torch does in several, whose launches take longer than their work at the sizes of a
decoding step. Tensors in, tensors out; sums are in float32. The functions raise whatever Triton raises where it cannot
compile.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["MOST_NORMED", "MOST_ROWS", "attend_step", "group_norm", "rows_linear", "snake"]

MOST_ROWS = 32  # of `rows_linear`, in one tile; with more, torch's products are no slower
MOST_NORMED = 16  # rows that are normalized as well: more fill the registers
_TILE = 256  # inputs that are multiplied at once


@triton.jit(do_not_specialize=["rows", "width"])
def _rows_linear(
    x, weight, scale, bias, gamma, beta, residual, out,
    rows, width, eps,
    K: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_N: tl.constexpr, ROWS: tl.constexpr,
    SCALED: tl.constexpr, NORM: tl.constexpr, GELU: tl.constexpr, RESIDUAL: tl.constexpr,
):  # fmt: skip
    row, column = tl.arange(0, ROWS), tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    here, there = row < rows, column < width
    if NORM:
        whole = row[:, None] * K + tl.arange(0, K)[None, :]
        numbers = tl.load(x + whole, mask=here[:, None], other=0).to(tl.float32)
        mean = tl.sum(numbers, axis=1) / K
        numbers -= mean[:, None]
        rate = tl.rsqrt(tl.sum(numbers * numbers, axis=1) / K + eps)
    total = tl.zeros((ROWS, BLOCK_N), dtype=tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        tile = tl.load(weight + column[:, None].to(tl.int64) * K + k[None, :], mask=there[:, None], other=0)
        values = tl.load(x + row[:, None] * K + k[None, :], mask=here[:, None], other=0)
        if NORM:
            part = (values.to(tl.float32) - mean[:, None]) * rate[:, None]
            part = part * tl.load(gamma + k)[None, :].to(tl.float32) + tl.load(beta + k)[None, :].to(tl.float32)
            values = part.to(values.dtype)
        total = tl.dot(values, tl.trans(tile.to(values.dtype)), total)
    if SCALED:
        total *= tl.load(scale + column, mask=there, other=0).to(tl.float32)[None, :]
    total += tl.load(bias + column, mask=there, other=0).to(tl.float32)[None, :]
    if GELU:  # the tanh form, where (1 + tanh(u)) / 2 = 1 - 1 / (exp(2 u) + 1)
        u = 0.7978845608028654 * (total + 0.044715 * total * total * total)
        total = total * (1 - 1 / (tl.exp(2 * u) + 1))
    place = row[:, None] * width + column[None, :]
    kept = here[:, None] & there[None, :]
    if RESIDUAL:
        total += tl.load(residual + place, mask=kept, other=0).to(tl.float32)
    tl.store(out + place, total.to(out.dtype.element_ty), mask=kept)


def rows_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: Tensor | None = None,
    norm: tuple[Tensor, Tensor, float] | None = None,
    gelu: bool = False,
    residual: Tensor | None = None,
) -> Tensor:
    """Return residual + gelu(norm(x) (weight * scale)^T + bias) for few rows: (R, N) for x (R, K), R <= `MOST_ROWS`.

    x: float16 or bfloat16. weight (N, K) of x's type, or int8 with scale (N,). norm: weight, bias and epsilon of a
    LayerNorm. gelu: in its tanh form. residual (R, N). All are contiguous; K is a multiple of 16, and with a norm a
    power of two.
    """
    rows, inputs = x.shape
    few, width, columns = rows <= 16, weight.shape[0], 16
    tile = 2 * _TILE if few and inputs > 1024 else _TILE  # there are few programs then, and each must read far ahead
    out = torch.empty((rows, width), dtype=x.dtype, device=x.device)
    gamma, beta, eps = (weight, weight, 0.0) if norm is None else norm
    _rows_linear[(triton.cdiv(width, columns),)](
        x, weight, bias if scale is None else scale, bias, gamma, beta, x if residual is None else residual, out,
        rows, width, eps,
        K=inputs, BLOCK_K=min(tile, inputs & -inputs), BLOCK_N=columns, ROWS=16 if few else MOST_ROWS,
        SCALED=scale is not None, NORM=norm is not None, GELU=gelu, RESIDUAL=residual is not None,
        num_warps=4 if few else 8, num_stages=4,
    )  # fmt: skip
    return out


@triton.jit(do_not_specialize=["heads"])
def _attend_step(
    qkv, keys, values, position, out,
    heads, key_row, key_head, key_place, value_row, value_head, value_place, factor,
    SIZE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    lane, dim = tl.arange(0, SIZE), heads * SIZE
    last = tl.load(position + row)
    source = qkv + row * 3 * dim + head * SIZE + lane
    keys += row * key_row + head * key_head
    values += row * value_row + head * value_head
    kind = keys.dtype.element_ty
    query = tl.load(source).to(kind).to(tl.float32) * factor
    key, value = tl.load(source + dim).to(kind), tl.load(source + 2 * dim).to(kind)
    tl.store(keys + last * key_place + lane, key)
    tl.store(values + last * value_place + lane, value)
    # the new key is taken from here, not from where it was just written; then all before it, a block at a time
    most = tl.sum(query * key.to(tl.float32), axis=0)
    total, mixed = 1.0, value.to(tl.float32)
    for start in range(0, last, BLOCK):
        place = start + tl.arange(0, BLOCK).to(tl.int64)
        seen = place < last
        block = tl.load(keys + place[:, None] * key_place + lane[None, :], mask=seen[:, None], other=0)
        other = tl.load(values + place[:, None] * value_place + lane[None, :], mask=seen[:, None], other=0)
        score = tl.where(seen, tl.sum(query[None, :] * block.to(tl.float32), axis=1), float("-inf"))
        higher = tl.maximum(most, tl.max(score, axis=0))
        share, weight = tl.exp(most - higher), tl.exp(score - higher)
        total = total * share + tl.sum(weight, axis=0)
        mixed = mixed * share + tl.sum(weight[:, None] * other.to(tl.float32), axis=0)
        most = higher
    tl.store(out + row * dim + head * SIZE + lane, (mixed / total).to(out.dtype.element_ty))


def attend_step(qkv: Tensor, keys: Tensor, values: Tensor, position: Tensor) -> Tensor:
    """Write one key and value a row into a cache and attend to it up to there -> (R, H * E) in qkv's type.

    qkv (R, 3 * H * E) contiguous: query, key, value. keys, values (R, H, places, E), contiguous along E, a power of
    two. position (R,) int64 contiguous, within the cache.
    """
    rows, heads, _, size = keys.shape
    out = torch.empty((rows, heads * size), dtype=qkv.dtype, device=qkv.device)
    _attend_step[(rows, heads)](
        qkv, keys, values, position, out,
        heads, *keys.stride()[:3], *values.stride()[:3], size**-0.5,
        SIZE=size, BLOCK=64, num_warps=4, num_stages=2,
    )  # fmt: skip
    return out


@triton.jit(do_not_specialize=["length", "groups", "modulation_row"])
def _group_norm(
    x, gamma, beta, modulation, out,
    length, groups, eps, modulation_row,
    SIZE: tl.constexpr, LANES: tl.constexpr, BLOCK: tl.constexpr,
    MODULATED: tl.constexpr, SILU: tl.constexpr, TAPS: tl.constexpr,
):  # fmt: skip
    row, group = tl.program_id(0).to(tl.int64), tl.program_id(1)
    channels = groups * SIZE
    lane = tl.arange(0, LANES)
    real = lane < SIZE
    channel = group * SIZE + lane
    x += row * length * channels
    total = tl.zeros((LANES,), dtype=tl.float32)
    for start in range(0, length, BLOCK):
        place = start + tl.arange(0, BLOCK)
        inside = (place < length)[:, None] & real[None, :]
        numbers = tl.load(x + place[:, None] * channels + channel[None, :], mask=inside, other=0).to(tl.float32)
        total += tl.sum(numbers, axis=0)
    mean = tl.sum(total, axis=0) / (length * SIZE)
    total = tl.zeros((LANES,), dtype=tl.float32)
    for start in range(0, length, BLOCK):
        place = start + tl.arange(0, BLOCK)
        inside = (place < length)[:, None] & real[None, :]
        numbers = tl.load(x + place[:, None] * channels + channel[None, :], mask=inside, other=0).to(tl.float32)
        apart = tl.where(inside, numbers - mean, 0.0)
        total += tl.sum(apart * apart, axis=0)
    rate = tl.rsqrt(tl.sum(total, axis=0) / (length * SIZE) + eps)
    weight = tl.load(gamma + channel, mask=real, other=0).to(tl.float32) * rate
    shift = tl.load(beta + channel, mask=real, other=0).to(tl.float32) - mean * weight
    if MODULATED:
        modulation += row * modulation_row
        scale = 1 + tl.load(modulation + channel, mask=real, other=0).to(tl.float32)
        weight *= scale
        shift = shift * scale + tl.load(modulation + channels + channel, mask=real, other=0).to(tl.float32)
    out += row * length * channels * TAPS
    for start in range(0, length, BLOCK):
        place = start + tl.arange(0, BLOCK)
        inside = (place < length)[:, None] & real[None, :]
        numbers = tl.load(x + place[:, None] * channels + channel[None, :], mask=inside, other=0).to(tl.float32)
        numbers = numbers * weight[None, :] + shift[None, :]
        if SILU:
            numbers = numbers / (1 + tl.exp(-numbers))
        result = numbers.to(out.dtype.element_ty)
        if TAPS == 1:
            tl.store(out + place[:, None] * channels + channel[None, :], result, mask=inside)
        else:  # the frame as the right, the middle and the left neighbour, and nothing beyond the ends
            middle = out + place[:, None] * 3 * channels + channel[None, :]
            before, after = (place > 0)[:, None], (place + 1 < length)[:, None]
            tl.store(middle + channels, result, mask=inside)
            tl.store(middle - channels, result, mask=inside & before)
            tl.store(middle + 3 * channels, result, mask=inside & after)
            none = tl.zeros_like(result)
            tl.store(middle, none, mask=inside & (place == 0)[:, None])
            tl.store(middle + 2 * channels, none, mask=inside & (place == length - 1)[:, None])


def group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    modulation: Tensor | None = None,
    silu: bool = False,
    taps: int = 1,
) -> Tensor:
    """Return silu(group_norm(x) * (1 + scale) + shift) of x (B, T, C) contiguous, over T and the channels of a group.

    modulation (B or 1, 2 C): scale and shift, contiguous along them. taps 1 -> (B, T, C); 3 -> (B, T, 3 C), each frame
    between its neighbours, zeros beyond the ends, as `nn.blocks.stacked_taps`.
    """
    batch, length, channels = x.shape
    out = torch.empty((batch, length, taps * channels), dtype=x.dtype, device=x.device)
    size = channels // groups
    lanes = triton.next_power_of_2(size)
    row = 0 if modulation is None or len(modulation) == 1 else modulation.stride(0)
    _group_norm[(batch, groups)](
        x, weight, bias, x if modulation is None else modulation, out,
        length, groups, eps, row,
        SIZE=size, LANES=lanes, BLOCK=max(16, min(512, 16384 // lanes)),
        MODULATED=modulation is not None, SILU=silu, TAPS=taps, num_warps=8, num_stages=1,
    )  # fmt: skip
    return out


@triton.jit(do_not_specialize=["width", "length", "planes"])
def _double(x, taps, alpha, beta, out, width, length, planes, eps, BLOCK: tl.constexpr):
    row, channel = tl.program_id(0).to(tl.int64), tl.program_id(0) % width
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = place < length
    even, odd = tl.zeros((BLOCK,), dtype=tl.float32), tl.zeros((BLOCK,), dtype=tl.float32)
    for tap in tl.static_range(7):  # shifted by -3..3; the even samples use the first six, the odd ones the last six
        there = tl.minimum(tl.maximum(place + (tap - 3), 0), length - 1)
        numbers = tl.load(x + row * length + there, mask=inside, other=0).to(tl.float32)
        if tap < 6:
            even += 2 * tl.load(taps + (11 - 2 * tap)) * numbers
        if tap > 0:
            odd += 2 * tl.load(taps + (12 - 2 * tap)) * numbers
    rate, part = tl.exp(tl.load(alpha + channel)), 1 / (tl.exp(tl.load(beta + channel)) + eps)
    wave = tl.sin(even * rate)
    tl.store(out + row * length + place, even + wave * wave * part, mask=inside)
    wave = tl.sin(odd * rate)
    tl.store(out + planes + row * length + place, odd + wave * wave * part, mask=inside)


@triton.jit(do_not_specialize=["length", "planes"])
def _halve(doubled, taps, out, length, planes, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = place < length
    doubled += row * length
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for tap in tl.static_range(6):  # sample 2 t + k - 5 of the doubled signal, k = 2 tap + 1 and k = 2 tap
        even, odd = place + (tap - 2), place + (tap - 3)
        even_at = tl.where(even >= length, planes + length - 1, tl.maximum(even, 0))
        odd_at = tl.where(odd < 0, 0, planes + tl.minimum(odd, length - 1))
        total += tl.load(taps + (2 * tap + 1)) * tl.load(doubled + even_at, mask=inside, other=0)
        total += tl.load(taps + 2 * tap) * tl.load(doubled + odd_at, mask=inside, other=0)
    tl.store(out + row * length + place, total.to(out.dtype.element_ty), mask=inside)


def snake(x: Tensor, taps: Tensor, alpha: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Return x + sin^2(x e^alpha) / (e^beta + eps), computed at twice the rate: x (B, C, L) contiguous -> (B, C, L).

    taps (12,): the low-pass filter of both changes of rate. alpha, beta (C,). All of these are float32.
    """
    batch, width, length = x.shape
    doubled = torch.empty((2, *x.shape), dtype=torch.float32, device=x.device)  # the even samples, then the odd ones
    out, planes, block = torch.empty_like(x), x.numel(), 1024
    grid = (batch * width, triton.cdiv(length, block))
    _double[grid](x, taps, alpha, beta, doubled, width, length, planes, eps, BLOCK=block, num_warps=4)
    _halve[grid](doubled, taps, out, length, planes, BLOCK=block, num_warps=4)
    return out
