"""The Linear for few rows is a Linear."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tutortoietts.nn.gpt import FewRowsLinear


@pytest.mark.parametrize("shape", [(1,), (3,), (4,), (16, 1), (4, 8), (33,), (2, 3, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equal_to_a_plain_one(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    ours, plain = FewRowsLinear(24, 40, dtype=dtype), nn.Linear(24, 40, dtype=dtype)
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(*shape, 24).to(dtype)
    with torch.inference_mode():
        y = ours(x)
        assert y.is_contiguous()
        torch.testing.assert_close(y, plain(x))


def test_training_goes_the_usual_way() -> None:
    layer, x = FewRowsLinear(24, 40), torch.randn(8, 24, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and layer.weight.grad is not None
