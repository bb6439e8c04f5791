"""The static cache: every way to write gives what a whole pass gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tutortoietts.core.errors import OptionError
from tutortoietts.nn.gpt import Gpt
from tutortoietts.nn.kv_cache import KVCache

LAYERS, HEADS, WIDTH, LENGTH = 2, 2, 16, 9


@pytest.fixture(scope="module")
def gpt() -> Gpt:
    torch.manual_seed(0)
    return Gpt(WIDTH, HEADS, LAYERS).eval().requires_grad_(False)


def cache_for(rows: int, length: int = LENGTH) -> KVCache:
    return KVCache.allocate(LAYERS, rows, HEADS, length, WIDTH // HEADS)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, LENGTH, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("chunk", [1, 2, 4, LENGTH])
@pytest.mark.parametrize("kind", ["int", "tensor", "row"])
def test_in_chunks_as_at_once(gpt: Gpt, x: Tensor, chunk: int, kind: str) -> None:
    cache = cache_for(3, LENGTH + 2)
    parts = []
    for start in range(0, LENGTH, chunk):
        position = {"int": start, "tensor": torch.tensor(start), "row": torch.full((3,), start)}[kind]
        parts.append(gpt(x[:, start : start + chunk], cache, position=position))
    torch.testing.assert_close(torch.cat(parts, dim=1), gpt(x))


def test_rows_at_their_own_positions(gpt: Gpt, x: Tensor) -> None:
    """Three rows with prefixes of different lengths take a step together."""
    cache, lengths = cache_for(3), [2, 5, 8]
    for row, length in enumerate(lengths):
        gpt(x[row : row + 1, :length], cache.rows(row, row + 1))
    step = torch.stack([x[row, length] for row, length in enumerate(lengths)])[:, None]
    ours = gpt(step, cache, position=torch.tensor(lengths))
    whole = gpt(x)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(ours[row, 0], whole[row, length])


def test_prefill_once_for_all_rows(gpt: Gpt, x: Tensor) -> None:
    prefix, cache = 4, cache_for(3)
    gpt(x[:1, :prefix], cache.rows(0, 1))
    cache.fill_rows(0, prefix)
    same = torch.cat([x[:1, :prefix].expand(3, -1, -1), x[:, prefix:]], dim=1)
    torch.testing.assert_close(gpt(x[:, prefix:], cache, position=prefix), gpt(same)[:, prefix:])


def test_kept_rows_go_on(gpt: Gpt, x: Tensor) -> None:
    cache = cache_for(3)
    gpt(x[:, :6], cache)
    kept = cache.keep_rows(torch.tensor([2, 0]))
    assert kept.batch == 2
    torch.testing.assert_close(gpt(x[[2, 0], 6:], kept, position=6), gpt(x)[[2, 0], 6:])


def test_window_is_enough(gpt: Gpt, x: Tensor) -> None:
    """A step at a tensor position in a short view writes into the whole buffer."""
    cache = cache_for(3, 64)
    gpt(x[:, :5], cache)
    ours = gpt(x[:, 5:6], cache.window(8), position=torch.tensor(5))
    torch.testing.assert_close(ours, gpt(x)[:, 5:6])
    torch.testing.assert_close(gpt(x[:, 6:], cache, position=6), gpt(x)[:, 6:])


def test_mask_instead_of_causality(gpt: Gpt, x: Tensor) -> None:
    """Padding in the middle that nobody sees changes nothing behind it."""
    hole = torch.zeros(3, 2, WIDTH)
    padded = torch.cat([x[:, :4], hole, x[:, 4:]], dim=1)
    seen = torch.ones(LENGTH + 2, LENGTH + 2, dtype=torch.bool).tril()
    seen[6:, 4:6] = False
    torch.testing.assert_close(gpt(padded, mask=seen)[:, 6:], gpt(x)[:, 4:])


def test_past_the_end(gpt: Gpt, x: Tensor) -> None:
    with pytest.raises(OptionError, match="position 9 is past the 8 positions"):
        gpt(x, cache_for(3, 8))


def test_size() -> None:
    cache = cache_for(3)
    assert cache.nbytes == 2 * LAYERS * 3 * LENGTH * WIDTH * 4
    assert cache.rows(0, 1).nbytes * 3 == cache.nbytes


def test_a_longer_cache_holds_what_it_held() -> None:
    cache = cache_for(3)
    cache.keys.normal_()
    cache.values.normal_()
    before = cache.keys.clone(), cache.values.clone()
    rows = cache.rows(1, 3)
    rows.lengthen(LENGTH + 5)
    assert (rows.batch, rows.max_len, cache.max_len) == (2, LENGTH + 5, LENGTH)
    for ours, theirs in zip((rows.keys, rows.values), before, strict=True):
        assert torch.equal(ours[:, :, :, :LENGTH], theirs[:, 1:3]) and not ours[:, :, :, LENGTH:].any()


def test_a_start_is_copied_to_all_rows() -> None:
    cache, start = cache_for(3), cache_for(1, 4)
    start.keys.normal_()
    start.values.normal_()
    cache.copy_start(start)
    for ours, theirs in ((cache.keys, start.keys), (cache.values, start.values)):
        assert all(torch.equal(ours[:, row, :, :4], theirs[:, 0]) for row in range(3))
        assert not ours[:, :, :, 4:].any()
