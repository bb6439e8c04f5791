"""A diffusion step in one compiled call: the model's own forward pass is the reference."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

import tiny_configs
from tutortoietts.accelerate import DiffusionChain, accelerate, diffusion_chain, why_not
from tutortoietts.accelerate import diffusion as module
from tutortoietts.models.diffusion import Diffusion, DiffusionLayer
from tutortoietts.native import build, layer_chain
from tutortoietts.nn.blocks import AttentionBlock

FRAMES = 61


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    if layer_chain.library() is None:
        pytest.skip("no compiled kernels: they want a C compiler with OpenMP")
    with torch.inference_mode():
        yield


def model(precision: str | None = None, **changes) -> Diffusion:
    torch.manual_seed(0)
    made = Diffusion(tiny_configs.diffusion(num_layers=2, integrator_layers=2, **changes)).eval()
    for parameter in made.parameters():
        parameter += 0.05 * torch.randn_like(parameter)
    return accelerate(made, "cpu", precision)  # type: ignore[return-value]


def fitted(diffusion: Diffusion) -> DiffusionChain:
    made = diffusion_chain(diffusion, FRAMES)
    assert made is not None
    return made


def inputs(rows: int = 2, modulated: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """x, aligned, embedded steps."""
    generator = torch.Generator().manual_seed(3)
    shapes = ((1, 100, FRAMES), (rows, 32, FRAMES), (modulated, 32))
    x, aligned, embedding = (torch.randn(shape, generator=generator) for shape in shapes)
    return x, aligned, embedding


def forward(body: Diffusion | DiffusionChain, diffusion: Diffusion, *given: Tensor) -> tuple[Tensor, Tensor]:
    x, aligned, embedding = given
    modulation, biases = diffusion.modulations(embedding), diffusion.position_biases(FRAMES)
    integrated = body.integrate(aligned, modulation, biases)
    return integrated, body.denoise(x, modulation, integrated, biases)


def error(ours: Tensor, want: Tensor) -> float:
    return float((ours - want).norm() / want.norm())


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("modulated", [1, 2])
@pytest.mark.parametrize("channels", [{}, {"model_channels": 96, "num_heads": 3}])
def test_a_step_is_that_of_the_model(rows: int, modulated: int, channels: dict) -> None:
    diffusion, given = model(**channels), inputs(rows, min(rows, modulated))
    if channels:
        given = (given[0], given[1].repeat(1, 3, 1), given[2].repeat(1, 3))
    for ours, want in zip(
        forward(fitted(diffusion), diffusion, *given), forward(diffusion, diffusion, *given), strict=True
    ):
        assert ours.shape == want.shape and error(ours, want) < 1e-5


def test_attention_without_a_bias() -> None:
    diffusion, given = model(), inputs()
    diffusion.layers[0].attn = AttentionBlock(32, 2).eval()
    torch.nn.init.normal_(diffusion.layers[0].attn.proj_out.weight)
    ours, want = (forward(body, diffusion, *given)[1] for body in (fitted(diffusion), diffusion))
    assert error(ours, want) < 1e-5


def test_in_8_bits_it_is_the_layers_of_the_model_and_near_the_float_one() -> None:
    exact, diffusion, given = model(), model("int8"), inputs()
    ours, slow, want = (forward(body, diffusion, *given)[1] for body in (fitted(diffusion), diffusion, exact))
    assert error(ours, slow) < 5e-3  # a number halfway between two may become either
    assert 1e-3 < error(ours, want) < 0.05


def test_nothing_stays_from_one_call_to_the_next_and_what_is_given_out_is_kept() -> None:
    diffusion, given = model(), inputs()
    chain = fitted(diffusion)
    first = forward(chain, diffusion, *given)
    kept = [part.clone() for part in first]
    forward(chain, diffusion, given[0] + 1, given[1] - 1, given[2])
    assert all(torch.equal(one, two) for one, two in zip(first, kept, strict=True))
    assert all(torch.equal(one, two) for one, two in zip(forward(chain, diffusion, *given), kept, strict=True))
    alone = forward(chain, diffusion, given[0], given[1][:1], given[2])
    assert all(torch.equal(one, two[:1]) for one, two in zip(alone, kept, strict=True))


def test_two_threads_at_once() -> None:
    diffusion = model("int8")
    want = [forward(fitted(diffusion), diffusion, *inputs(rows))[1] for rows in (1, 2)]
    results: dict[int, list[Tensor]] = {}

    @torch.inference_mode()
    def work(rows: int) -> None:
        chain = fitted(diffusion)
        results[rows] = [forward(chain, diffusion, *inputs(rows))[1] for _ in range(5)]

    threads = [threading.Thread(target=work, args=(rows,)) for rows in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(one, want[rows - 1]) for rows, all_of in results.items() for one in all_of)


class Other(DiffusionLayer):
    pass


def hooked(diffusion: Diffusion) -> None:
    diffusion.layers[0].attn.qkv.register_forward_hook(lambda *_: None)


def patched(diffusion: Diffusion) -> None:
    diffusion.denoise = lambda *_: None  # type: ignore[assignment]


def subclassed(diffusion: Diffusion) -> None:
    diffusion.integrator[0] = Other(32, 2)


def in_half(diffusion: Diffusion) -> None:
    diffusion.bfloat16()


def unweighted(diffusion: Diffusion) -> None:
    norm = diffusion.layers[1].resblk.norm_in
    norm.affine, norm.weight, norm.bias = False, None, None


def of_another_width(diffusion: Diffusion) -> None:
    diffusion.layers[0] = DiffusionLayer(64, 2)


CHANGES = {
    hooked: "a Linear was changed",
    patched: "the model was changed",
    subclassed: "a layer is a Other",
    in_half: "of another kind, or not on the CPU",
    unweighted: "a norm has no weights",
    of_another_width: "a layer is 64 to 64",
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_models_are_left_to_torch(
    change: Callable[[Diffusion], None], caplog: pytest.LogCaptureFixture
) -> None:
    diffusion = model()
    change(diffusion)
    module._say.cache_clear()
    with caplog.at_level("INFO"):
        for _ in range(2):
            assert diffusion_chain(diffusion, FRAMES) is None
    assert caplog.text.count(CHANGES[change]) == 1
    assert CHANGES[change] in str(why_not(diffusion))


def test_other_heads_and_no_compiler_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert diffusion_chain(model(num_heads=8), FRAMES) is None
    monkeypatch.setenv(build.VARIABLE, "0")
    assert diffusion_chain(model(), FRAMES) is None


class Own(Diffusion):
    """A subclass with the methods of the model."""


class OtherSteps(Diffusion):
    """A subclass with another step."""

    def denoise(self, *given: Tensor) -> Tensor:  # type: ignore[override]
        return super().denoise(*given)


def test_subclasses_with_the_same_methods_are_taken() -> None:
    torch.manual_seed(0)
    own, other = (kind(tiny_configs.diffusion()).eval() for kind in (Own, OtherSteps))
    assert diffusion_chain(own, FRAMES) is None
    assert diffusion_chain(accelerate(own), FRAMES) is not None and isinstance(own, Own)
    assert diffusion_chain(accelerate(other), FRAMES) is None and why_not(other) == "it is a OtherSteps"


def test_a_chain_sees_changed_weights_and_biases() -> None:
    with torch.inference_mode(False), torch.no_grad():
        diffusion, given = model(), inputs()
        for change in (lambda: None, lambda: diffusion.layers[0].attn.bias.table.weight.mul_(3)):
            change()
            ours, want = (forward(body, diffusion, *given)[1] for body in (fitted(diffusion), diffusion))
            assert error(ours, want) < 1e-5
