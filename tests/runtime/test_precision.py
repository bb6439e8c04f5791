"""What each name means on each device, and a whole model that speaks in 8 and 4 bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tutortoietts.api import TextToSpeech
from tutortoietts.core.errors import OptionError
from tutortoietts.native import layer_chain
from tutortoietts.nn.quant import QuantLinear
from tutortoietts.runtime import precision as module
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.runtime.precision import PRECISIONS, pick_precision
from tutortoietts.runtime.source import open_source

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")
F32, BF16, F16 = torch.float32, torch.bfloat16, torch.float16


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU of capability 8 and a CPU without AMX or fast 8-bit products."""
    monkeypatch.setattr(module, "_capability", lambda device: 8)
    monkeypatch.setattr(module, "_has_amx", lambda: False)
    monkeypatch.setattr(module, "has_integer_products", lambda: False)


@pytest.mark.parametrize(
    ("name", "half", "device", "want"),
    [
        ("auto", False, CPU, ("fp32", F32, F32, None)),
        ("auto", False, MPS, ("fp32", F32, F32, None)),
        ("auto", False, CUDA, ("fp16", F16, F16, None)),
        ("auto", True, CPU, ("bf16", BF16, BF16, None)),
        ("auto", True, CUDA, ("fp16", F16, F16, None)),
        ("bf16", True, CPU, ("bf16", BF16, BF16, None)),
        ("bf16", False, CUDA, ("bf16", BF16, BF16, None)),
        ("int8", False, CPU, ("int8", F32, F32, "int8")),
        ("int4", False, CUDA, ("int4", F16, BF16, "int4")),
        ("int8", False, MPS, ("int8", F16, F16, "int8")),
    ],
)
def test_meanings(name: str, half: bool, device: torch.device, want: tuple) -> None:
    got = pick_precision(name, half, device)
    assert (got.name, got.dtype, got.decoder, got.weights) == want


def test_old_gpus_and_new_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_capability", lambda device: 6)
    monkeypatch.setattr(module, "_has_amx", lambda: True)
    assert pick_precision("auto", False, CUDA).dtype == F32
    assert pick_precision("int8", False, CUDA).dtype == F32
    with pytest.raises(OptionError, match="'int4' has kernels for GPUs of capability 8 and more"):
        pick_precision("int4", False, CUDA)
    assert pick_precision("int8", False, CPU).dtype == BF16
    monkeypatch.setattr(module, "has_integer_products", lambda: True)
    best = pick_precision("int8", False, CPU)
    assert (best.dtype, best.others, best.half_products) == (F32, "int8", True)
    assert pick_precision("int4", False, CPU).of("clvp") == "int8"
    assert pick_precision("int8", False, CUDA).others is None


@pytest.mark.parametrize(
    ("name", "half", "device", "message"),
    [
        ("fp8", False, CPU, "precision is 'fp8', must be one of auto, fp32"),
        ("int8", True, CPU, "half=True means precision 'bf16' on cpu, not 'int8'"),
        ("fp32", True, CUDA, "half=True means precision 'fp16' on cuda, not 'fp32'"),
        ("fp16", False, CPU, "'fp16' is for GPUs"),
        ("int4", False, MPS, "'int4' has no kernels for mps"),
    ],
)
def test_refusals(name: str, half: bool, device: torch.device, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        pick_precision(name, half, device)


@pytest.fixture(params=[False, True])
def whole(request: pytest.FixtureRequest, machine: None, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the CPU is said to be fast at products of 8-bit numbers."""
    if request.param and layer_chain.library() is None:
        pytest.skip("no compiled kernels")
    monkeypatch.setattr(module, "has_integer_products", lambda: request.param)
    return bool(request.param)


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_what_is_quantised(tiny_model: Path, weights: str, whole: bool) -> None:
    parts = LoadedModels(open_source(tiny_model), device=CPU, dtype=pick_precision(weights, False, CPU))
    model = parts.get("autoregressive")
    layers = [*model.gpt.blocks[0].children(), model.mel_head]
    assert sum(isinstance(layer, QuantLinear) for layer in layers) == 5
    for part in ("diffusion", "clvp"):
        assert any(isinstance(layer, QuantLinear) for layer in parts.get(part).modules()) == whole
    assert not any(isinstance(layer, QuantLinear) for layer in parts.get("vocoder").modules())
    assert parts.dtype_of("autoregressive") == model.dtype == torch.float32
    assert model.allocate_cache(1, 4).keys.dtype == torch.bfloat16
    plain = LoadedModels(open_source(tiny_model), device=CPU, dtype=torch.float32).get("autoregressive")
    x = torch.randn(2, 9, 64)
    ours, exact = model.mel_logits(model.hidden_states(x)), plain.mel_logits(plain.hidden_states(x))
    assert 1e-4 < (ours - exact).norm() / exact.norm() < {"int8": 0.03, "int4": 0.2}[weights]


@pytest.mark.parametrize("name", [name for name in PRECISIONS if name != "fp16"])
def test_every_precision_speaks(tiny_model: Path, name: str, whole: bool) -> None:
    tts = TextToSpeech(model=tiny_model, device="cpu", precision=name)
    assert tts.precision == ("fp32" if name == "auto" else name)
    waves = [tts.tts("One two.", use_deterministic_seed=3, verbose=False) for _ in range(2)]
    assert torch.equal(*waves) and waves[0].isfinite().all() and waves[0].shape[2] > 0
