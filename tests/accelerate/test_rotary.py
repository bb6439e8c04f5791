"""The rotary encoder as one compiled call: its own forward pass is the reference."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor, nn

from tutortoietts.accelerate import accelerate, rotary, why_not
from tutortoietts.accelerate.cache import KernelCache
from tutortoietts.accelerate.layers import compiled_int8_linear
from tutortoietts.accelerate.rotary import _run
from tutortoietts.native.layer_chain import library
from tutortoietts.nn.quant import quantize
from tutortoietts.nn.rotary_encoder import RotaryEncoder, real_positions

pytestmark = pytest.mark.skipif(library() is None, reason="no compiled kernels: they want a C compiler with OpenMP")


def encoder_of(precision: str = "fp32") -> RotaryEncoder:
    torch.manual_seed(0)
    encoder = RotaryEncoder(dim=16, depth=2, heads=2, head_dim=8, rotary_dim=4, mult=2)
    if precision == "int8":
        quantize(encoder, "int8", compiled_int8_linear)
    return encoder


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("lengths", [None, (9, 30, 1)])
def test_in_compiled_calls(precision: str, lengths: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoder_of(precision)
    x, seen = torch.randn(3, 30, 16), None if lengths is None else torch.tensor(lengths)
    calls = []
    monkeypatch.setattr(rotary, "_run", lambda *given: calls.append(1) or _run(*given))
    with torch.inference_mode():
        want = encoder(x, seen)
        accelerate(encoder)
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


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the lengths of the chains that are built from now on."""
    built: list[int] = []
    monkeypatch.setattr(rotary, "chains", KernelCache(most=2))
    build = rotary.AcceleratedEncoder._build
    monkeypatch.setattr(
        rotary.AcceleratedEncoder, "_build", lambda self, length: (built.append(length), build(self, length))[1]
    )
    return built


def test_a_chain_is_built_once_for_a_length(monkeypatch: pytest.MonkeyPatch) -> None:
    built, encoder = counted(monkeypatch), accelerate(encoder_of())
    with torch.inference_mode():
        first = encoder(torch.ones(1, 5, 16))
        assert torch.equal(encoder(torch.ones(1, 5, 16)), first)
        for length in (6, 5, 7, 5, 6):
            encoder(torch.ones(1, length, 16))
    assert built == [5, 6, 7, 6]  # two lengths are kept, those used last


def test_changed_weights_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    built, encoder, x = counted(monkeypatch), accelerate(encoder_of()), torch.randn(1, 5, 16)
    reference = encoder_of()
    with torch.no_grad():
        for number, change in enumerate((in_place, replaced, other_memory, other_eps), start=1):
            encoder(x)
            change(encoder), change(reference)
            torch.testing.assert_close(encoder(x), reference(x))
            assert why_not(encoder) is None and len(built) == number + 1


def in_place(encoder: RotaryEncoder) -> None:
    encoder.layers[1].narrow.weight.mul_(2)


def replaced(encoder: RotaryEncoder) -> None:
    torch.manual_seed(3)
    encoder.layers[0].out = nn.Linear(16, 16)


def other_memory(encoder: RotaryEncoder) -> None:
    encoder.layers[0].qkv.weight.data = encoder.layers[0].qkv.weight.data + 1


def other_eps(encoder: RotaryEncoder) -> None:
    encoder.layers[0].norm.eps = 0.5


def test_two_threads_share_a_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = accelerate(encoder_of())
    inputs = [torch.randn(3, 40, 16) for _ in range(2)]
    with torch.no_grad():
        want = [encoder(x) for x in inputs]
    results: dict[int, list[Tensor]] = {}

    def work(number: int) -> None:
        with torch.no_grad():
            results[number] = [encoder(inputs[number]) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(one, want[number]) for number in range(2) for one in results[number])


def test_a_hooked_layer_is_left_to_torch() -> None:
    encoder, x, calls = accelerate(encoder_of()), torch.randn(1, 5, 16), []
    assert why_not(encoder) is None
    encoder.layers[0].out.register_forward_hook(lambda *_: calls.append(1))
    assert why_not(encoder) == "a Linear was changed"
    with torch.no_grad():
        encoder(x)
    assert calls == [1]
    assert why_not(encoder_of()) == "it is a RotaryEncoder, which has no fast form or was not accelerated"
