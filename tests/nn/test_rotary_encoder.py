"""The rotary encoder: rotation by its definition, padding unseen."""

from __future__ import annotations

import torch

from tutortoietts.nn.rotary_encoder import RotaryEncoder, rotate, rotation


def test_rotation_of_one_pair() -> None:
    """Channels k and k + dim/2 turn together by position * 10000 ** (-2 k / dim); channels behind dim stay."""
    length, dim, width = 7, 4, 6
    x = torch.randn(length, width)
    turned = rotate(x, *rotation(length, dim, x.device))
    for position in range(length):
        for pair in range(dim // 2):
            angle = torch.tensor(position * 10000.0 ** (-2 * pair / dim))
            a, b = x[position, pair], x[position, pair + dim // 2]
            torch.testing.assert_close(turned[position, pair], a * angle.cos() - b * angle.sin())
            torch.testing.assert_close(turned[position, pair + dim // 2], b * angle.cos() + a * angle.sin())
    assert torch.equal(turned[:, dim:], x[:, dim:])


def test_padding_is_not_seen() -> None:
    torch.manual_seed(0)
    encoder = RotaryEncoder(dim=16, depth=2, heads=2, head_dim=8, rotary_dim=4, mult=2)
    x = torch.randn(2, 9, 16)
    short = encoder(x[:, :6])
    torch.testing.assert_close(encoder(x, torch.tensor([6, 6]))[:, :6], short)
    mixed = encoder(x, torch.tensor([6, 9]))
    torch.testing.assert_close(mixed[:1, :6], short[:1])
    torch.testing.assert_close(mixed[1:], encoder(x[1:]))
