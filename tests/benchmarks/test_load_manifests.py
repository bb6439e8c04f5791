"""The comparison of a checkpoint with what was loaded from it can fail."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import load_manifests as bench


def theirs() -> dict[str, Tensor]:
    """A convolution with weight norm, a joined attention, a layer as it is, a constant."""
    draw = torch.Generator().manual_seed(0)
    shapes = {
        "conv.weight_g": (3, 1, 1),
        "conv.weight_v": (3, 2, 5),
        "a.to_q.weight": (4, 4),
        "a.to_k.weight": (4, 4),
        "a.to_v.weight": (4, 4),
        "c_attn.bias": (7,),
        "h.attn.bias": (2, 2),
    }
    return {key: torch.randn(shape, generator=draw) for key, shape in shapes.items()}


def ours(state: dict[str, Tensor]) -> nn.Module:
    module = nn.Module()
    folded = nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 3, 5, bias=False))
    folded.parametrizations.weight.original0.data = state["conv.weight_g"]
    folded.parametrizations.weight.original1.data = state["conv.weight_v"]
    module.conv = nn.Parameter(folded.weight.detach())
    module.qkv = nn.Parameter(torch.cat([state[f"a.to_{part}.weight"] for part in "qkv"]))
    module.bias = nn.Parameter(state["c_attn.bias"][None].clone())
    return module


def test_all_that_is_there_is_found() -> None:
    state = theirs()
    assert bench.compare("any", state, ours(state)) == 5


@pytest.mark.parametrize("key", ["conv.weight_g", "a.to_k.weight", "c_attn.bias"])
def test_a_wrong_number_is_named(key: str) -> None:
    state = theirs()
    module = ours(state)
    state[key] = state[key].clone()
    state[key].view(-1)[0] += 0.01
    with pytest.raises(ValueError, match=f"{key.split('.')[0]}.* is in no tensor of ours"):
        bench.compare("any", state, module)


def test_nothing_comes_from_nowhere() -> None:
    state = theirs()
    module = ours(state)
    module.more = nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match="more comes from nowhere"):
        bench.compare("any", state, module)
    del state["c_attn.bias"]
    with pytest.raises(ValueError, match="comes from nowhere"):
        bench.compare("any", state, module)


def test_the_order_of_numbers_does_not_matter_but_the_numbers_do() -> None:
    tensor = torch.randn(6, 4)
    assert bench.fingerprint(tensor) == bench.fingerprint(tensor.T) == bench.fingerprint(tensor.flip(0))
    assert bench.fingerprint(tensor) != bench.fingerprint(tensor * 1.0001)
