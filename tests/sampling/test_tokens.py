"""Code drawing: filters, draws, seeds."""

from __future__ import annotations

import pytest
import torch

from tutortoietts.core.errors import OptionError
from tutortoietts.sampling.rows import mix_seed, randn, row_generators
from tutortoietts.sampling.tokens import TokenOptions, draw, filtered, history_mask, penalize, probabilities, uniforms

PLAIN = TokenOptions(temperature=1.0, top_p=1.0, top_k=0, repetition_penalty=1.0)


def test_penalty_divides_positive_and_multiplies_negative() -> None:
    logits = torch.tensor([[2.0, -2.0, 4.0, -4.0]])
    seen = history_mask(torch.tensor([[0, 1, 1]]), 4)
    assert penalize(logits, seen, 2.0).tolist() == [[1.0, -4.0, 4.0, -4.0]]


def test_top_k_and_top_p() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    none = torch.zeros(1, 4, dtype=torch.bool)
    two = TokenOptions(temperature=1.0, top_p=1.0, top_k=2, repetition_penalty=1.0)
    torch.testing.assert_close(probabilities(logits, none, two), torch.tensor([[4 / 7, 3 / 7, 0.0, 0.0]]))
    # 0.4 does not reach 0.65, so 0.3 stays; together they do, so 0.2 goes
    nucleus = TokenOptions(temperature=1.0, top_p=0.65, top_k=0, repetition_penalty=1.0)
    torch.testing.assert_close(probabilities(logits, none, nucleus), torch.tensor([[4 / 7, 3 / 7, 0.0, 0.0]]))
    tiny = TokenOptions(temperature=1.0, top_p=0.001, top_k=0, repetition_penalty=1.0)
    assert probabilities(logits, none, tiny).tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_draws_follow_the_probabilities() -> None:
    rows = 20000
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand(rows, 4)
    probs, ids = filtered(logits, torch.zeros(rows, 4, dtype=torch.bool), PLAIN)
    drawn = draw(probs, ids, torch.rand(rows, generator=torch.Generator().manual_seed(0)))
    share = torch.bincount(drawn, minlength=4) / rows
    assert (share - torch.tensor([0.5, 0.3, 0.15, 0.05])).abs().max() < 0.015


@pytest.mark.parametrize("uniform", [0.0, 0.5, 0.99999994])
def test_what_is_cut_is_never_drawn(uniform: float) -> None:
    logits = torch.randn(64, 50, generator=torch.Generator().manual_seed(1))
    logits[:, 7] = -torch.inf
    options = TokenOptions(top_k=0, top_p=0.9, repetition_penalty=1.0)
    seen = torch.zeros(64, 50, dtype=torch.bool)
    drawn = draw(*filtered(logits, seen, options), torch.full((64,), uniform))
    assert (probabilities(logits, seen, options).gather(1, drawn[:, None]) > 0).all()


def test_rows_have_their_own_numbers() -> None:
    five = uniforms(row_generators(3, 5, 1), 9)
    two = uniforms(row_generators(3, 2, 1), 9)
    assert torch.equal(five[:2], two)
    assert five.unique().numel() == five.numel()
    assert not torch.equal(two, uniforms(row_generators(3, 2, 2), 9))
    assert not torch.equal(two, uniforms(row_generators(4, 2, 1), 9))
    assert torch.equal(randn((2, 3), row_generators(3, 2))[1:], randn((1, 3), row_generators(3, 2)[1:]))
    with pytest.raises(OptionError, match="2 generators for a batch of 3"):
        randn((3, 4), row_generators(3, 2))


def test_mixed_seeds_are_valid_and_differ() -> None:
    seeds = {mix_seed(seed, path) for seed in (0, 1, -5, 2**70, 2**64 - 5) for path in range(100)}
    assert len(seeds) == 500
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0, outside 0.01..10"),
        ({"temperature": float("nan")}, "temperature is nan, must be a number"),
        ({"top_p": 0}, "top_p is 0, outside"),
        ({"top_p": 1.5}, "top_p is 1.5, outside"),
        ({"top_k": -1}, "top_k is -1, outside"),
        ({"top_k": 2.5}, "top_k is 2.5, must be an integer"),
        ({"repetition_penalty": 0}, "repetition_penalty is 0, outside"),
        ({"temperature": "hot"}, "temperature is 'hot', must be a number"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TokenOptions(**options)
