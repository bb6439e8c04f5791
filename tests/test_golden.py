"""Every golden file replays: the same numbers as the original modules, from the original keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from conformance import SHARED, Golden, greedy, make_model, read, relative_error, replay
from tutortoietts.accelerate import accelerate
from tutortoietts.models.autoregressive import Autoregressive

GOLDEN = SHARED / "golden"
LIMIT = 1e-4
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden files of ../shared are absent")
FILES = sorted(GOLDEN.glob("*.safetensors"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_replays(path: Path) -> None:
    theirs, ours = read(path).outputs, replay(path)
    assert ours.keys() == theirs.keys()
    errors = {name: relative_error(ours[name], theirs[name]) for name in theirs}
    assert max(errors.values()) < max(LIMIT, own_rounding(path)), errors


def own_rounding(path: Path) -> float:
    """Return how far the recorded float32 numbers of UnivNet lie from exact ones: its random weights magnify rounding,
    so that processors differ by more than the limit. 0 for other models."""
    golden = read(path)
    if not path.name.startswith("univnet"):
        return 0.0
    model = make_model("univnet", golden).double()
    with torch.no_grad():
        exact = model(golden.inputs["mel"].double(), golden.inputs["z"].double())
    return relative_error(exact, golden.outputs["waveform"])


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(("name", "inputs"), [("bigvgan", ["mel"]), ("hifigan_decoder", ["latents", "speaker"])])
def test_accelerated_vocoders_replay(name: str, inputs: list[str], half: bool) -> None:
    golden = read(GOLDEN / f"{name}.safetensors")
    model = make_model(name.removesuffix("_decoder"), golden)
    accelerate(model, precision="bf16" if half else None)
    with torch.no_grad():
        wave = model(*(golden.inputs[key] for key in inputs))
    assert relative_error(wave, golden.outputs["waveform"]) < LIMIT


@pytest.mark.parametrize("cached", [True, False], ids=["cached", "uncached"])
@pytest.mark.parametrize(("name", "penalty", "may_stop"), [("greedy_codes", 2.0, False), ("greedy_plain", 1.0, True)])
def test_greedy_decoding(cached: bool, name: str, penalty: float, may_stop: bool) -> None:
    golden = read(GOLDEN / "autoregressive.safetensors")
    model = make_model("autoregressive", golden)
    assert isinstance(model, Autoregressive)
    want = golden.outputs[name]
    with torch.no_grad():
        speaker = model.conditioning(golden.inputs["mel"])
        codes = greedy(model, speaker, golden.inputs["text"], want.shape[1], penalty, may_stop, cached)
    assert torch.equal(codes, want)


def _write(path: Path, golden: Golden) -> None:
    """A golden file without outputs but the greedy ones, whose length says how many codes to decode."""
    tensors = {f"weight.{key}": value for key, value in golden.weights.items()}
    tensors |= {f"input.{key}": value.contiguous() for key, value in golden.inputs.items()}
    tensors |= {f"output.{key}": value for key, value in golden.outputs.items() if key.startswith("greedy")}
    save_file(tensors, path, metadata={"config": json.dumps(golden.config)})


def test_other_sizes_replay(tmp_path: Path) -> None:
    """One layer less, shorter inputs and a name that says nothing: all sizes come from the file."""
    golden = read(GOLDEN / "autoregressive.safetensors")
    last = golden.config["layers"] - 1
    golden.config["layers"] = last
    for key in [key for key in golden.weights if f".h.{last}." in key]:
        del golden.weights[key]
    for key, size in {"codes": 9, "text": 5, "mel": 21}.items():
        golden.inputs[key] = golden.inputs[key][..., :size]
    _write(tmp_path / "unnamed.safetensors", golden)
    ours = replay(tmp_path / "unnamed.safetensors")
    width, classes = golden.config["model_dim"], golden.config["number_mel_codes"]
    assert ours["latents"].shape == (2, 9, width)
    assert ours["mel_logits"].shape == (2, classes, 9 + 2)
    assert ours["text_logits"].shape[2] == 5 + 2
    assert relative_error(ours["conditioning"], golden.outputs["conditioning"]) > LIMIT


def test_a_changed_weight_is_noticed(tmp_path: Path) -> None:
    """The comparison can fail."""
    golden = read(GOLDEN / "dvae.safetensors")
    golden.weights["decoder.5.bias"].add_(0.01)
    _write(tmp_path / "dvae.safetensors", golden)
    ours = replay(tmp_path / "dvae.safetensors")
    assert relative_error(ours["codes"], golden.outputs["codes"]) == 0
    assert relative_error(ours["reconstruction"], golden.outputs["reconstruction"]) > LIMIT
