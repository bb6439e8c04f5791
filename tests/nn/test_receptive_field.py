"""Any part of a stretched signal is that part of the whole; layers see as far as perturbations say."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tutortoietts.nn.receptive_field import Stretch, seen, union

RATIOS = (Fraction(4), Fraction(160, 147))


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("inputs", [3, 4, 12, 37, 118, 441, 600])
def test_the_whole_is_torchs_interpolation(inputs: int) -> None:
    x, stretch = draw(1, 3, inputs), Stretch(RATIOS)
    want = x
    for ratio in RATIOS:
        want = F.interpolate(want, scale_factor=float(ratio), mode="linear")
    ours = stretch(x, 0, stretch.counts(inputs)[-1])
    assert ours.shape == want.shape
    assert (ours - want).norm() < 1e-4 * want.norm()


@pytest.mark.parametrize("inputs", [1, 2, 3, 11])
def test_any_part_needs_only_what_it_says(inputs: int) -> None:
    x, stretch = draw(2, 3, inputs), Stretch(RATIOS)
    count = stretch.counts(inputs)[-1]
    whole = stretch(x, 0, count)
    for first in range(count):
        for end in range(first + 1, count + 1):
            low, high = stretch.needed(first, end - 1, inputs)
            part = stretch(x[..., low : high + 1], first, end, start=low, inputs=inputs)
            assert torch.equal(part, whole[..., first:end])


@pytest.mark.parametrize("ratios", [RATIOS, (Fraction(1),), (Fraction(160, 147),), (Fraction(3, 2), Fraction(5, 4))])
def test_settled_outputs_stay_and_no_other(ratios: tuple[Fraction, ...]) -> None:
    stretch = Stretch(ratios)
    for inputs in range(1, 30):
        one, other = (torch.cat([draw(1, 2, inputs), draw(1, 2, 9, seed=seed)], dim=2) for seed in (1, 2))
        sure = stretch.settled(inputs)
        assert torch.equal(stretch(one, 0, sure + 1)[..., :sure], stretch(other, 0, sure + 1)[..., :sure])
        assert torch.equal(stretch(one[..., :inputs], 0, sure), stretch(one, 0, sure))
        further = stretch.settled(inputs + 1)
        assert further >= sure
        if further > sure and ratios != (Fraction(1),):
            assert not torch.equal(stretch(one, 0, sure + 1)[..., sure:], stretch(other, 0, sure + 1)[..., sure:])


LAYERS = {
    "plain": [nn.Conv1d(1, 1, 5, padding=2)],
    "dilated": [nn.Conv1d(1, 1, 3, padding=4, dilation=4)],
    "sided": [nn.Sequential(nn.ConstantPad1d((5, 1), 0.0), nn.Conv1d(1, 1, 7))],
    "up": [nn.ConvTranspose1d(1, 1, 16, stride=8, padding=4)],
    "odd up": [nn.ConvTranspose1d(1, 1, 7, stride=3, padding=2)],
    "strided": [nn.Conv1d(1, 1, 4, stride=2, padding=1)],
    "chain": [nn.Conv1d(1, 1, 7, padding=3), nn.ConvTranspose1d(1, 1, 8, stride=4, padding=2), nn.Conv1d(1, 1, 3)],
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("span", [(40, 40), (41, 46), (43, 58)])
def test_layers_see_what_moves_their_outputs(name: str, span: tuple[int, int]) -> None:
    layers = LAYERS[name]
    x = draw(1, 1, 200).requires_grad_()
    y = nn.Sequential(*layers)(x)
    (gradient,) = torch.autograd.grad(y[..., span[0] : span[1] + 1].sum(), x)
    moved = gradient.flatten().nonzero().flatten().tolist()
    assert seen(span, *layers) == (moved[0], moved[-1])


def test_unknown_layers_are_refused() -> None:
    with pytest.raises(TypeError, match="how far a Linear sees"):
        seen((0, 1), nn.Linear(2, 2))
    assert union([(0, 3), (-2, 1)]) == (-2, 3)
