"""From files to modules: everything strict, nothing executed, nothing half-loaded, converted once."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tutortoietts.core.config import ClassifierConfig, Config, RandomLatentConfig, UnivNetConfig
from tutortoietts.core.errors import ModelError
from tutortoietts.weights.load import (
    build,
    cache_dir,
    load_model,
    load_state,
    load_tensor,
    model_class,
    save_state,
)

CONFIG = RandomLatentConfig(channels=8)


@pytest.fixture
def original() -> dict[str, Tensor]:
    """A checkpoint of the smallest public kind, with the originals' keys."""
    generator = torch.Generator().manual_seed(5)
    state = {}
    for layer in range(6):
        state[f"layers.{layer}.weight"] = torch.randn(8, 8, generator=generator)
        state[f"layers.{layer}.bias"] = torch.randn(8, generator=generator)
    return state


@pytest.fixture
def checkpoint(tmp_path: Path, original: dict[str, Tensor]) -> Path:
    path = tmp_path / "rlg_auto.pth"
    torch.save(original, path)
    return path


def converted_files() -> list[Path]:
    return sorted((cache_dir() / "converted").glob("*"))


def same(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_pickle_is_converted_once(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_model("random_latent", checkpoint, CONFIG)
    assert not first.training and not any(parameter.requires_grad for parameter in first.parameters())
    (kept,) = converted_files()
    assert kept.stat().st_mode & 0o444 == 0o444
    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", lambda *_, **__: pytest.fail("unpickled again"))
        assert same(load_model("random_latent", checkpoint, CONFIG), first)
    kept.write_bytes(kept.read_bytes()[:-8])  # a damaged cache is made anew
    assert same(load_model("random_latent", checkpoint, CONFIG), first)
    assert load_file(kept).keys() == first.state_dict().keys()


def test_a_changed_source_is_converted_again(checkpoint: Path, original: dict[str, Tensor]) -> None:
    load_model("random_latent", checkpoint, CONFIG)
    (before,) = converted_files()
    original["layers.5.bias"] += 1
    torch.save(original, checkpoint)
    os.utime(checkpoint, ns=(1, 1))
    module = load_model("random_latent", checkpoint, CONFIG)
    assert torch.equal(module.state_dict()["out.bias"], original["layers.5.bias"])
    (after,) = converted_files()  # the older conversion is gone
    assert after != before


def test_no_cache_writes_nothing(checkpoint: Path) -> None:
    load_model("random_latent", checkpoint, CONFIG, cache=False)
    assert not converted_files()


def test_a_cache_that_cannot_be_written_costs_nothing(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("TUTORTOIETTS_CACHE", str(blocked))
    load_model("random_latent", checkpoint, CONFIG)
    assert "could not keep" in caplog.text


def test_all_the_ways_to_the_same_module(checkpoint: Path, original: dict[str, Tensor], tmp_path: Path) -> None:
    module = load_model("random_latent", checkpoint, CONFIG)
    save_file(original, tmp_path / "original keys.safetensors")
    save_state(tmp_path / "ours.safetensors", module.state_dict(), kind="random_latent")
    save_file(module.state_dict(), tmp_path / "unmarked.safetensors")
    save_state(tmp_path / "directory" / "random_latent.safetensors", module.state_dict())
    save_state(tmp_path / "directory" / "other.safetensors", module.state_dict())
    torch.save(original, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    for name in ("original keys.safetensors", "ours.safetensors", "unmarked.safetensors", "directory", "legacy.pt"):
        assert same(load_model("random_latent", tmp_path / name, CONFIG), module), name
    assert same(load_model("random_latent", tmp_path / "directory", CONFIG, name="other"), module)


def test_nested_checkpoints(tmp_path: Path) -> None:
    config = UnivNetConfig(noise_dim=4, channel_size=4, n_mel_channels=5, strides=(2, 2), hop_length=4, dilations=(1,))
    state = model_class("univnet")(config).state_dict()
    names = {"blocks": "res_stack", "upsample": "convt_pre.1", "convs.0": "conv_blocks.0.1", "conv_post": "conv_post.1"}
    names |= {"predictor.input": "kernel_predictor.input_conv.0", "predictor.bias": "kernel_predictor.bias_conv"}
    names |= {"predictor.kernel": "kernel_predictor.kernel_conv"}
    for pair in range(3):
        for place, theirs in ((0, 1), (1, 3)):
            names[f"predictor.residual.{pair}.{place}"] = f"kernel_predictor.residual_convs.{pair}.{theirs}"
    theirs_state = {}
    for key, tensor in state.items():
        for ours, theirs in names.items():
            key = key.replace(ours, theirs)
        theirs_state[key] = tensor
    for content in ({"model_g": theirs_state, "epoch": 3}, theirs_state):
        torch.save(content, tmp_path / "vocoder.pth")
        loaded = load_model("univnet", tmp_path / "vocoder.pth", config, cache=False)
        assert all(torch.equal(loaded.state_dict()[key], tensor) for key, tensor in state.items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_half_on_disk_becomes_the_wanted_type(checkpoint: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    module = load_model("random_latent", checkpoint, CONFIG)
    save_state(tmp_path / "half.safetensors", module.state_dict(), dtype=torch.float16)
    assert {t.dtype for t in load_file(tmp_path / "half.safetensors").values()} == {torch.float16}
    loaded = load_model("random_latent", tmp_path / "half.safetensors", CONFIG, dtype=dtype)
    for key, tensor in loaded.state_dict().items():
        assert tensor.dtype == dtype
        assert torch.equal(tensor, module.state_dict()[key].half().to(dtype))


def with_key(state: dict[str, Tensor]) -> str:
    state["layers.0.gain"] = torch.ones(1)
    return "layers.0.gain"


def without_key(state: dict[str, Tensor]) -> str:
    del state["layers.3.bias"]
    return "layers.3.bias"


def with_other_shape(state: dict[str, Tensor]) -> str:
    state["layers.2.weight"] = torch.ones(8, 7)
    return "layers.2.weight"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("damage", [with_key, without_key, with_other_shape])
def test_wrong_keys_and_shapes_name_file_and_key(
    original: dict[str, Tensor], damage: Callable[[dict[str, Tensor]], str], suffix: str, tmp_path: Path
) -> None:
    key = damage(original)
    path = tmp_path / f"damaged{suffix}"
    torch.save(original, path) if suffix == ".pth" else save_file(original, path)
    with pytest.raises(ModelError) as caught:
        load_model("random_latent", path, CONFIG)
    assert caught.value.key == key and Path(str(caught.value.file)) == path
    assert key in str(caught.value) and str(path) in str(caught.value)
    assert not converted_files()


def test_wrong_keys_of_our_own_files(checkpoint: Path, tmp_path: Path) -> None:
    state = load_model("random_latent", checkpoint, CONFIG).state_dict()
    for key, change in (("new", torch.ones(1)), ("out.bias", None), ("out.bias", torch.ones(9))):
        changed = {k: v for k, v in {**state, key: change}.items() if v is not None}
        save_state(tmp_path / "random_latent.safetensors", changed)
        with pytest.raises(ModelError, match=key) as caught:
            load_model("random_latent", tmp_path, CONFIG)
        assert caught.value.key == key and caught.value.file == tmp_path / "random_latent.safetensors"


def test_another_configuration_is_an_error_with_a_warm_cache_too(checkpoint: Path) -> None:
    load_model("random_latent", checkpoint, CONFIG)
    with pytest.raises(ModelError, match=r"layers\.0\.weight has shape \(8, 8\)"):
        load_model("random_latent", checkpoint, RandomLatentConfig(channels=16))


class Malice:
    """Unpickled with care for nothing, this makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str, int], int], tuple[str, int]]:
        return os.open, (str(self.target), os.O_CREAT | os.O_WRONLY)


@pytest.mark.parametrize("way", ["protocol 0", "protocol 2", "protocol 4", "zip", "legacy", "nested"])
def test_code_in_a_pickle_is_never_run(original: dict[str, Tensor], tmp_path: Path, way: str) -> None:
    mark, path = tmp_path / "executed", tmp_path / "evil.pth"
    content = {"layers.0.bias": torch.ones(8), "layers.3.bias": Malice(mark), **original}
    if way.startswith("protocol"):
        path.write_bytes(pickle.dumps({"layers.0.bias": 3, "layers.3.bias": Malice(mark)}, int(way[-1])))
    elif way == "nested":
        torch.save({"model_g": original, "layers.3.bias": Malice(mark)}, path)
    else:
        torch.save(content | {"layers.3.bias": Malice(mark)}, path, _use_new_zipfile_serialization=way == "zip")
    pattern = rf"evil\.pth.*entry layers\.3\.bias asks for {os.open.__module__}\.open; nothing was executed"
    with pytest.raises(ModelError, match=pattern) as caught:
        load_model("random_latent", path, CONFIG)
    assert (caught.value.file, caught.value.key) == (path, "layers.3.bias")
    assert not mark.exists() and not converted_files()


def test_an_unknown_class_in_a_pickle_is_refused(original: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({**original, "args": nn.Linear(1, 1)}, tmp_path / "odd.pth")
    with pytest.raises(ModelError, match=r"entry args asks for torch\.nn\.modules\.linear\.Linear"):
        load_model("random_latent", tmp_path / "odd.pth", CONFIG)


@pytest.mark.parametrize("suffix", [".pth", ".legacy.pth", ".safetensors"])
def test_a_truncated_file_at_any_length(original: dict[str, Tensor], tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"short{suffix}"
    if suffix == ".safetensors":
        save_file(original, path)
    else:
        torch.save(original, path, _use_new_zipfile_serialization=suffix == ".pth")
    whole = path.read_bytes()
    for length in (0, 1, 3, 4, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError) as caught:
            load_model("random_latent", path, CONFIG)
        assert caught.value.file == path
    assert not converted_files()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([torch.ones(2)], "list"),
        ({"layers.0.bias": 3.5}, "layers.0.bias is a float"),
        ({"epoch": 3, "state": {"a": torch.ones(1)}}, "epoch is a int"),
        ({3: torch.ones(2)}, "entry 3"),
        ({"layers.0.weight": torch.ones(1).expand(10_000_000_000, 8)}, "plain dense"),
        ({"layers.0.weight": torch.eye(3).to_sparse()}, "plain dense"),
    ],
)
def test_what_is_not_tensors_by_name_is_refused(content: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.pth"
    torch.save(content, path)
    with pytest.raises(ModelError, match=words):
        load_model("random_latent", path, CONFIG)


def test_missing_files_and_kinds(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        load_model("random_latent", tmp_path / "absent.pth", CONFIG)
    with pytest.raises(ModelError, match=r"random_latent\.safetensors: there is no such file"):
        load_model("random_latent", tmp_path, CONFIG)
    with pytest.raises(ModelError, match="no model of kind 'wavenet'"):
        load_model("wavenet", tmp_path, CONFIG)


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "state.safetensors"
    save_state(target, {"a": torch.ones(1)})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tutortoietts.weights.load.save_file", full)
    with pytest.raises(OSError, match="No space"):
        save_state(target, {"a": torch.zeros(1)})
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]
    assert load_state(target)["a"].item() == 1


def test_save_state_takes_views_and_shared_tensors(tmp_path: Path) -> None:
    base = torch.arange(12.0).view(3, 4)
    state = {"whole": base, "again": base, "turned": base.T, "part": base[1], "count": torch.tensor(7)}
    save_state(tmp_path / "a.safetensors", state, dtype=torch.bfloat16)
    loaded = load_state(tmp_path / "a.safetensors")
    assert all(torch.equal(loaded[key].to(tensor.dtype), tensor) for key, tensor in state.items())
    assert loaded["count"].dtype == torch.int64


def test_load_tensor(tmp_path: Path) -> None:
    norms = torch.rand(80)
    torch.save(norms, tmp_path / "mel_norms.pth")
    assert torch.equal(load_tensor(tmp_path / "mel_norms.pth"), norms)
    save_file({"mel_norms": norms}, tmp_path / "mel_norms.safetensors")
    assert torch.equal(load_tensor(tmp_path / "mel_norms.safetensors"), norms)
    torch.save([norms], tmp_path / "list.pth")
    with pytest.raises(ModelError, match="holds a list"):
        load_tensor(tmp_path / "list.pth")


class _Forgetful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.ones(3), persistent=False)


def test_a_constant_left_without_memory_is_found() -> None:
    with pytest.raises(ModelError, match="constant window of _Forgetful"):
        build(_Forgetful, {})


@pytest.mark.parametrize(("kind", "config"), [("classifier", ClassifierConfig()), ("univnet", UnivNetConfig())])
def test_nothing_is_allocated_before_the_keys_are_right(kind: str, config: Config) -> None:
    made: list[nn.Module] = []

    def factory() -> nn.Module:
        made.append(model_class(kind)(config))
        return made[-1]

    with pytest.raises(ModelError, match="missing key"):
        build(factory, {})
    assert all(parameter.is_meta for parameter in made[0].parameters())


def test_whole_numbers_are_no_weights(checkpoint: Path, original: dict[str, Tensor]) -> None:
    original["layers.5.weight"] = torch.zeros(8, 8, dtype=torch.int64)
    torch.save(original, checkpoint)
    with pytest.raises(ModelError, match=r"rlg_auto\.pth: out\.weight holds torch\.int64") as caught:
        load_model("random_latent", checkpoint, CONFIG, cache=False)
    assert caught.value.key == "out.weight"


@pytest.mark.parametrize("shape", [(), (8,), (2, 2, 2, 2)])
def test_too_few_dimensions_name_file_and_key(
    checkpoint: Path, original: dict[str, Tensor], shape: tuple[int, ...]
) -> None:
    original["layers.1.weight"] = torch.zeros(shape)
    torch.save(original, checkpoint)
    with pytest.raises(ModelError, match=r"rlg_auto\.pth: layers\.1\.weight has shape") as caught:
        load_model("random_latent", checkpoint, CONFIG, cache=False)
    assert caught.value.key == "layers.1.weight"
