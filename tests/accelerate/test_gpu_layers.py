"""Layers by Triton kernels: the same numbers as torch's layers, and torch where a kernel cannot be had.

Here the kernels are replaced by torch's operations, so that what is tested is how the layers use them. The kernels
themselves run in Triton's interpreter where Triton is installed (`tests/kernel_checks.py`), and on a GPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tiny_configs
from support import CONFIG, decode_request, latents, lively_model, run
from tutortoietts.accelerate import gpu
from tutortoietts.core.config import BigVGANConfig
from tutortoietts.core.config_xtts import XttsConfig
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.bigvgan import BigVGAN, SnakeBeta
from tutortoietts.models.diffusion import Diffusion
from tutortoietts.models.xtts import Xtts
from tutortoietts.nn.blocks import stacked_taps
from tutortoietts.nn.code_gpt import CodeGpt
from tutortoietts.nn.gpt import Gpt
from tutortoietts.nn.kv_cache import KVCache
from tutortoietts.nn.quant import WeightInt8Linear

XTTS = XttsConfig(layers=1, model_dim=32, heads=2, conditioning_blocks=1, prompt_latents=4)


class StandIn:
    """The kernels in torch, and how often each was called."""

    MOST_ROWS, MOST_NORMED = 6, 4

    def __init__(self) -> None:
        self.calls: list[str] = []

    def rows_linear(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        scale: Tensor | None = None,
        norm: tuple[Tensor, Tensor, float] | None = None,
        gelu: bool = False,
        residual: Tensor | None = None,
    ) -> Tensor:
        self.calls.append("rows_linear")
        assert len(x) <= (self.MOST_ROWS if norm is None else self.MOST_NORMED) and x.is_contiguous()
        x = x if norm is None else F.layer_norm(x, x.shape[1:], *norm)
        y = F.linear(x, weight.to(x.dtype)) * (1 if scale is None else scale) + bias
        y = F.gelu(y, approximate="tanh") if gelu else y
        return y if residual is None else y + residual

    def attend_step(self, qkv: Tensor, keys: Tensor, values: Tensor, position: Tensor) -> Tensor:
        self.calls.append("attend_step")
        rows, heads, places, size = keys.shape
        query, key, value = qkv.view(rows, 3, heads, size).unbind(1)
        row = torch.arange(rows)
        keys[row, :, position], values[row, :, position] = key.to(keys.dtype), value.to(keys.dtype)
        seen = torch.arange(places) <= position[:, None, None, None]
        y = F.scaled_dot_product_attention(query[:, :, None].to(keys.dtype), keys, values, attn_mask=seen)
        return y.reshape(rows, -1).to(qkv.dtype)

    def group_norm(
        self,
        x: Tensor,
        groups: int,
        weight: Tensor,
        bias: Tensor,
        eps: float,
        modulation: Tensor | None = None,
        silu: bool = False,
        taps: int = 1,
    ) -> Tensor:
        self.calls.append("group_norm")
        y = F.group_norm(x.transpose(1, 2), groups, weight, bias, eps).transpose(1, 2)
        if modulation is not None:
            scale, shift = modulation.unsqueeze(1).chunk(2, dim=-1)
            y = y * (1 + scale) + shift
        y = F.silu(y) if silu else y
        return stacked_taps(y, 3) if taps == 3 else y.contiguous()

    def snake(self, x: Tensor, taps: Tensor, alpha: Tensor, beta: Tensor, eps: float) -> Tensor:
        self.calls.append("snake")
        layer = SnakeBeta(len(alpha))
        layer.alpha, layer.beta = nn.Parameter(alpha), nn.Parameter(beta)
        return layer(x)


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    stand_in = StandIn()
    monkeypatch.setattr(gpu, "_kernels", lambda: stand_in)
    monkeypatch.setattr(gpu, "_usable", lambda device: True)
    monkeypatch.setattr(gpu, "_DEVICES", ("cpu",))
    monkeypatch.setattr(gpu, "_HALF", (torch.float32,))
    monkeypatch.setattr(gpu._state, "working", True)
    yield stand_in


def fused(module: Any) -> Any:
    gpu.fuse(module, torch.device("cpu"))
    return module


def both(make: Callable[[], nn.Module], use: Callable[[nn.Module], Any]) -> tuple[Any, Any]:
    """What a module and its fused form give."""
    results = []
    for change in (lambda module: module, fused):
        torch.manual_seed(0)
        module = make().eval().requires_grad_(False)
        for parameter in module.parameters():
            parameter.normal_(std=0.2)
        with torch.inference_mode():
            results.append(use(change(module)))
    return results[0], results[1]


def gpt(rows: int, position: int | Tensor) -> Callable[[nn.Module], Tensor]:
    def use(module: nn.Module) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        cache = KVCache.allocate(2, rows, 2, 12, 16)
        for buffer in (cache.keys, cache.values):
            buffer.normal_(generator=generator)
        out = module(torch.randn(rows, 1, 32, generator=generator), cache, None, position)
        return torch.cat([out.flatten(), cache.keys.flatten(), cache.values.flatten()])

    return use


@pytest.mark.parametrize("rows", [1, 4, 6, 7])
@pytest.mark.parametrize("position", [0, 7, "each"])
def test_a_step_of_the_gpt(kernels: StandIn, rows: int, position: int | str) -> None:
    where = torch.arange(rows) + 5 if isinstance(position, str) else position
    plain, fast = both(lambda: Gpt(32, 2, 2), gpt(rows, where))
    torch.testing.assert_close(fast, plain)
    assert kernels.calls.count("attend_step") == 2  # a layer each
    assert kernels.calls.count("rows_linear") == (8 if rows <= StandIn.MOST_ROWS else 0)


def test_a_step_over_8_bit_weights(kernels: StandIn) -> None:
    def make() -> nn.Module:
        module = Gpt(32, 2, 1)
        module.blocks[0].widen = layer = WeightInt8Linear(module.blocks[0].widen)
        layer.kernel = False  # as on a GPU
        return module

    plain, fast = both(make, gpt(3, torch.tensor([1, 2, 3])))
    torch.testing.assert_close(fast, plain)
    assert kernels.calls.count("rows_linear") == 4


@pytest.mark.parametrize("make", [lambda: Autoregressive(CONFIG), lambda: Xtts(XTTS)])
@pytest.mark.parametrize("rows", [1, 6, 7])
def test_the_logits_of_a_step(kernels: StandIn, make: Callable[[], CodeGpt], rows: int) -> None:
    def use(model: Any) -> Tensor:
        hidden = torch.randn(rows, 2, model.sizes.model_dim, generator=torch.Generator().manual_seed(1))
        return model.mel_logits(hidden[:, -1])

    plain, fast = both(make, use)
    torch.testing.assert_close(fast, plain)
    assert fast.dtype == torch.float32 and kernels.calls == ["rows_linear"] * (rows <= StandIn.MOST_ROWS)


def test_the_logits_over_8_bit_weights(kernels: StandIn) -> None:
    def make() -> nn.Module:
        model = Autoregressive(CONFIG)
        model.mel_head = layer = WeightInt8Linear(model.mel_head)
        layer.kernel = False  # as on a GPU
        return model

    plain, fast = both(make, lambda model: model.mel_logits(torch.ones(3, 1, CONFIG.model_dim)))
    torch.testing.assert_close(fast, plain)
    assert fast.shape == (3, 1, CONFIG.number_mel_codes) and kernels.calls == ["rows_linear"]


def test_a_hooked_head_is_torchs(kernels: StandIn) -> None:
    model = fused(Autoregressive(CONFIG).eval())
    model.mel_head.register_forward_hook(lambda *given: None)
    with torch.inference_mode():
        model.mel_logits(torch.ones(1, CONFIG.model_dim))
    assert not kernels.calls


def test_candidates_are_the_same(kernels: StandIn) -> None:
    model, request = lively_model(), decode_request(3, fixed=True)
    plain = run(model, request)
    fast = run(fused(model), decode_request(3, fixed=True))
    assert "attend_step" in kernels.calls and torch.equal(plain.ids, fast.ids)
    torch.testing.assert_close(latents(model, fast), latents(model, plain))


@pytest.mark.parametrize("change", ["hook", "replaced", "mask", "several", "full"])
def test_where_torch_steps(kernels: StandIn, change: str) -> None:
    module = fused(Gpt(32, 2, 1).eval())
    cache, x, mask, position = KVCache.allocate(1, 2, 2, 8, 16), torch.zeros(2, 1, 32), None, 3
    if change == "hook":
        module.blocks[0].register_forward_hook(lambda *given: None)
    elif change == "replaced":
        module.blocks[0].forward = module.blocks[0].forward
    elif change == "mask":
        mask = torch.ones(1, 1, 1, 4, dtype=torch.bool)
    elif change == "several":
        x = torch.zeros(2, 2, 32)
    with torch.inference_mode():
        if change == "full":
            with pytest.raises(ValueError, match="KV cache"):
                module(x, cache, None, 8)
        else:
            module(x, cache, mask, position)
    assert not kernels.calls


@pytest.mark.parametrize("rows", [1, 2])
def test_the_diffusion(kernels: StandIn, rows: int) -> None:
    config = tiny_configs.diffusion()

    def use(model: Any) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(rows, config.in_channels, 13, generator=generator)
        aligned = torch.randn(rows, config.model_channels, 13, generator=generator)
        return model(x, torch.arange(rows) * 900 + 100, aligned)

    plain, fast = both(lambda: Diffusion(config), use)
    torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-4)
    assert "group_norm" in kernels.calls


def test_the_vocoder(kernels: StandIn) -> None:
    config = BigVGANConfig(
        upsample_initial_channel=16,
        upsample_rates=(4, 4, 16),
        upsample_kernel_sizes=(8, 8, 32),
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1, 3),),
    )
    mel = torch.randn(1, 100, 5, generator=torch.Generator().manual_seed(1))
    plain, fast = both(lambda: BigVGAN(config), lambda model: model(mel))
    torch.testing.assert_close(fast, plain)
    assert "snake" in kernels.calls


def test_a_kernel_that_cannot_be_compiled_is_tried_once(
    kernels: StandIn, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def broken(*given: Any, **more: Any) -> Tensor:
        tried.append(given)
        raise FileNotFoundError("no C compiler")

    monkeypatch.setattr(kernels, "attend_step", broken)
    plain, fast = both(lambda: Gpt(32, 2, 2), gpt(2, 3))
    assert torch.equal(fast, plain) and len(tried) == 1
    assert "no C compiler" in caplog.text and "TUTORTOIETTS_TRITON=0" in caplog.text


def test_memory_that_is_full_is_said(kernels: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any, **more: Any) -> Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(kernels, "attend_step", full)
    with pytest.raises(torch.OutOfMemoryError):
        both(lambda: Gpt(32, 2, 2), gpt(2, 3))
    assert gpu._state.working


def test_where_kernels_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda", 0)
    monkeypatch.setattr(gpu, "find_spec", lambda name: SimpleNamespace())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert gpu._usable(cuda) and not gpu._usable(torch.device("cpu"))
    monkeypatch.setenv("TUTORTOIETTS_TRITON", "0")
    assert not gpu._usable(cuda)
    monkeypatch.delenv("TUTORTOIETTS_TRITON")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not gpu._usable(cuda)
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    assert not gpu._usable(cuda)


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_kernels_in_the_interpreter() -> None:
    """In a process of its own: Triton reads the variable when it is imported."""
    script = Path(__file__).parent.parent / "kernel_checks.py"
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, str(script), "cpu"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.gpu
def test_kernels_on_a_gpu() -> None:
    if find_spec("triton") is None or torch.cuda.get_device_capability()[0] < gpu._LEAST_CAPABILITY:
        pytest.skip("no Triton for this GPU")
    from kernel_checks import check_all

    check_all("cuda")
