"""The mechanism of the key tables, on tables of its own; the real tables are tried in test_manifests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tutortoietts.core.components import COMPONENTS, Component
from tutortoietts.core.config_base import Config
from tutortoietts.core.errors import ModelError
from tutortoietts.weights import tables
from tutortoietts.weights.convert import Drop, Rule, Table, convert, fold_weight_norm, swap_last_two

FILE = "somewhere/model.pth"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Callable[[Table], None]:
    """A function that declares a kind of model "trial" with this key table."""

    def declare(made: Table) -> None:
        monkeypatch.setattr(tables, "TRIAL", made, raising=False)
        name = f"{tables.__name__}:TRIAL"
        trial = Component(kind="trial", role="trial", config=Config, cls="torch.nn:Module", key_table=name)
        monkeypatch.setitem(COMPONENTS, "trial", trial)

    return declare


def test_renames_transposes_joins_and_drops(table: Callable[[Table], None]) -> None:
    table(
        Table(
            rules=(
                Rule("h.{i}.c.weight", "blocks.{i}.w", swap_last_two),
                Rule(("h.{i}.q", "h.{i}.k"), "blocks.{i}.qk"),
                Rule("{a}.{p}", "{a}.{p}"),
            ),
            drop=(Drop("h.{i}.stale"),),
        )
    )
    state = {
        "h.12.c.weight": torch.arange(6.0).view(2, 3),
        "h.12.k": torch.full((1, 2), 2.0),
        "h.12.q": torch.full((3, 2), 1.0),
        "h.12.stale": torch.ones(1),
        "head.bias": torch.tensor([7.0]),
    }
    result = convert("trial", state)
    assert set(result) == {"blocks.12.w", "blocks.12.qk", "head.bias"}
    assert torch.equal(result["blocks.12.w"], state["h.12.c.weight"].T)
    assert result["blocks.12.qk"].tolist() == [[1, 1], [1, 1], [1, 1], [2, 2]]


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        ({"h.0.d": torch.ones(2)}, "h.0.d", "unknown key"),
        ({"h.x.c": torch.ones(2)}, "h.x.c", "unknown key"),
        ({"h.1.c": torch.ones(2)}, "h.1.c", "unknown key"),  # fits a rule, but this model has no second block
        ({"h.0.c": None}, "h.0.c", "lacks"),
        ({"h.0.k": None}, "h.0.k", "lacks"),
        ({"h.0.c": torch.ones(3)}, "h.0.c", "shape"),
        ({"h.0.k": torch.ones(1, 5)}, "h.0.k", "shape"),
        ({"constant": torch.ones(3)}, "constant", "constant"),
    ],
)
def test_errors_name_file_and_key_as_the_file_spells_it(
    table: Callable[[Table], None], change: dict[str, Tensor | None], key: str, words: str
) -> None:
    table(
        Table(
            rules=(Rule("h.{i}.c", "ours.{i}"), Rule(("h.{i}.q", "h.{i}.k"), "joined.{i}")),
            drop=(Drop("constant", lambda shape: torch.zeros(shape)),),
        )
    )
    state = {"h.0.c": torch.ones(2), "h.0.q": torch.ones(1, 4), "h.0.k": torch.ones(1, 4), "constant": torch.zeros(3)}
    expected = {"ours.0": torch.Size([2]), "joined.0": torch.Size([2, 4])}
    assert convert("trial", state, expected=expected).keys() == expected.keys()
    changed = {k: v for k, v in {**state, **change}.items() if v is not None}
    with pytest.raises(ModelError, match=words) as caught:
        convert("trial", changed, expected=expected, file=FILE)
    assert (caught.value.file, caught.value.key) == (FILE, key)
    assert FILE in str(caught.value) and key in str(caught.value)


def test_an_unknown_key_suggests_the_nearest(table: Callable[[Table], None]) -> None:
    table(Table(rules=(Rule("head.weight", "head.weight"),)))
    with pytest.raises(ModelError, match=r"nearest known key: head\.weight"):
        convert("trial", {"heat.weight": torch.ones(1)}, expected={"head.weight": torch.Size([1])})


def test_the_same_weight_twice_is_refused(table: Callable[[Table], None]) -> None:
    table(Table(rules=(Rule("old.{i}", "new.{i}"), Rule("older.{i}", "new.{i}"))))
    with pytest.raises(ModelError, match="twice"):
        convert("trial", {"old.1": torch.ones(1), "older.1": torch.ones(1)})


def test_unknown_kind() -> None:
    with pytest.raises(ModelError, match="no key table"):
        convert("vocodr", {})


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
@pytest.mark.parametrize("style", [torch.nn.utils.weight_norm, torch.nn.utils.parametrizations.weight_norm])
@pytest.mark.parametrize("conv", [nn.Conv1d(3, 5, 3), nn.ConvTranspose1d(3, 5, 4), nn.Conv1d(4, 1, 7)])
def test_folded_weight_norm_is_what_torch_computes(style: Callable[[nn.Module], nn.Module], conv: nn.Module) -> None:
    normed = style(type(conv)(conv.in_channels, conv.out_channels, conv.kernel_size[0]))  # type: ignore[call-arg]
    with torch.no_grad():
        for parameter in normed.parameters():
            parameter.copy_(torch.randn_like(parameter))
    state = {f"a.b.{key}": tensor for key, tensor in normed.state_dict().items()}
    folded = fold_weight_norm(state)
    assert set(folded) == {"a.b.weight", "a.b.bias"}
    normed(torch.zeros(1, conv.in_channels, 8))  # the old style computes the weight when it is called
    assert torch.equal(folded["a.b.weight"], normed.weight.detach())


@pytest.mark.parametrize(
    ("state", "key"),
    [
        ({"a.weight_g": torch.ones(2, 1)}, "a.weight_v"),
        ({"a.weight_v": torch.ones(2, 3)}, "a.weight_g"),
        ({"a.weight_g": torch.ones(3, 1), "a.weight_v": torch.ones(2, 3)}, "a.weight_g"),
        ({"a.weight_g": torch.ones(2, 3), "a.weight_v": torch.ones(2, 3)}, "a.weight_g"),
        ({"a.weight_g": torch.ones(2, 1), "a.weight_v": torch.ones(2, 3), "a.weight": torch.ones(2, 3)}, "a.weight_g"),
    ],
)
def test_half_a_weight_norm_is_refused(state: dict[str, Tensor], key: str) -> None:
    with pytest.raises(ModelError) as caught:
        fold_weight_norm(state, file=FILE)
    assert key in str(caught.value) and FILE in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "key", "shape"),
    [
        ("classifier", "enc.attn.0.qkv.weight", (6, 2)),
        ("autoregressive", "gpt.h.0.mlp.c_fc.weight", (4,)),
        ("clvp", "text_transformer.transformer.attn_layers.rotary_pos_emb.inv_freq", ()),
    ],
)
def test_a_weight_of_too_few_dimensions_is_named(kind: str, key: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=FILE) as caught:
        convert(kind, {key: torch.zeros(shape)}, file=FILE)
    assert caught.value.key == key
