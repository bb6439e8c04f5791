"""The rotary encoder: rotation by its definition, padding unseen."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tutortoietts.native.layer_chain import library
from tutortoietts.nn import rotary_encoder as module
from tutortoietts.nn.quant import quantize
from tutortoietts.nn.rotary_encoder import RotaryEncoder, _angles, _rotate, _through, real_positions


def test_rotation_of_one_pair() -> None:
    """Channels k and k + dim/2 turn together by position * 10000 ** (-2 k / dim); channels behind dim stay."""
    length, dim, width = 7, 4, 6
    x = torch.randn(length, width)
    turned = _rotate(x, *_angles(length, dim, x))
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


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("lengths", [None, (9, 30, 1)])
def test_in_compiled_calls(precision: str, lengths: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if library() is None:
        pytest.skip("no compiled kernels: they want a C compiler with OpenMP")
    torch.manual_seed(0)
    encoder = RotaryEncoder(dim=16, depth=2, heads=2, head_dim=8, rotary_dim=4, mult=2)
    if precision == "int8":
        quantize(encoder, "int8")
    x, seen = torch.randn(3, 30, 16), None if lengths is None else torch.tensor(lengths)
    calls = []
    monkeypatch.setattr(module, "_through", lambda *given: calls.append(1) or _through(*given))
    with torch.inference_mode():
        want = encoder(x, seen)
        encoder.accelerate()
        ours = encoder(x, seen)
        assert len(calls) == 1
        counted = torch.ones(3, 30, dtype=torch.bool) if seen is None else real_positions(30, seen)
        torch.testing.assert_close(
            ours[counted], want[counted], **({"rtol": 0, "atol": 0.02} if precision == "int8" else {})
        )
        assert torch.equal(encoder(x[:1], None if seen is None else seen[:1]), ours[:1])
        encoder.layers[0].out = nn.Linear(16, 16).double()
        with pytest.raises(RuntimeError):
            encoder(x)  # by the modules, which cannot either
        assert len(calls) == 2
        encoder.layers[0].out = nn.Linear(16, 32)
        with pytest.raises(RuntimeError):
            encoder(x)
        assert len(calls) == 2
    encoder.layers[0].out = nn.Linear(16, 16)
    assert encoder(x).requires_grad and len(calls) == 2
