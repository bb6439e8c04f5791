"""Where models come from: directories, the public checkpoints, overrides; loading once, replacing."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest
import torch

from tiny_model import FILES, make_tiny_model
from tutortoietts.accelerate import why_not
from tutortoietts.accelerate.rotary import AcceleratedEncoder
from tutortoietts.accelerate.vocoder import AcceleratedHifigan
from tutortoietts.core.errors import FetchError, ModelError, OptionError
from tutortoietts.core.presets import preset_options
from tutortoietts.engine.families.tortoise import TORTOISE
from tutortoietts.engine.pipeline import Pipeline
from tutortoietts.engine.progress import Progress
from tutortoietts.engine.request import Request
from tutortoietts.models.hifigan import Hifigan
from tutortoietts.native.build import VARIABLE
from tutortoietts.native.vocoder_conv import can_convolve
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.runtime.offload import Copier
from tutortoietts.runtime.source import ModelSource, open_source
from tutortoietts.text.brackets import Passage
from tutortoietts.voices.files import read_voice

CPU = torch.device("cpu")


def parts_of(folder: Path, **options) -> LoadedModels:
    return LoadedModels(open_source(folder, **options), device=CPU, dtype=torch.float32)


@pytest.fixture
def copied(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "copy"))


def test_parts_are_loaded_once_and_may_be_replaced(tiny_model: Path) -> None:
    parts = parts_of(tiny_model)
    found: list[torch.nn.Module] = []
    threads = [threading.Thread(target=lambda: found.append(parts.get("diffusion"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len({id(module) for module in found}) == 1
    other = torch.nn.Identity()
    parts.replace("diffusion", other)
    with parts.use("diffusion") as module:
        assert module is other


def test_half_is_for_all_but_the_vocoder(tiny_model: Path) -> None:
    parts = LoadedModels(open_source(tiny_model), device=CPU, dtype=torch.bfloat16, offload=True)
    assert not parts.offload  # there is nowhere to go
    assert next(parts.get("autoregressive").parameters()).dtype == torch.bfloat16
    assert next(parts.get("vocoder").parameters()).dtype == torch.float32


class Diary(Copier):
    """A device that fits nothing for good, and writes down how many bytes it is sent."""

    def __init__(self) -> None:
        super().__init__(CPU)
        self.sent: list[int] = []

    def send(self, tensors):
        self.sent.append(sum(tensor.numel() * tensor.element_size() for tensor in tensors))
        return super().send(tensors)

    def free(self) -> int:
        return 2 * max(self.sent, default=0) + (1 << 18)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_decoders_are_as_fast_as_this_machine_can(tmp_path: Path, dtype: torch.dtype, monkeypatch) -> None:
    source = open_source(make_tiny_model(tmp_path / "tiny", streaming="hifigan"))
    decoder = LoadedModels(source, device=CPU, dtype=dtype).get("stream_decoder")
    assert isinstance(decoder, AcceleratedHifigan) == can_convolve()
    if isinstance(decoder, AcceleratedHifigan):
        assert decoder.network.start.split == (dtype == torch.bfloat16 and can_convolve(split=True))
        assert not decoder.network.end.split and decoder.conv_pre.weight.dtype == torch.float32
    monkeypatch.setenv(VARIABLE, "0")
    decoder = LoadedModels(source, device=CPU, dtype=dtype).get("stream_decoder")
    assert type(decoder) is Hifigan and decoder.conv_pre.weight.dtype == dtype


def test_models_are_accelerated_when_they_are_loaded_or_replaced(tmp_path: Path) -> None:
    parts = parts_of(make_tiny_model(tmp_path / "tiny"))
    assert why_not(parts.get("diffusion")) == why_not(parts.get("autoregressive"))  # None, or no compiler
    assert isinstance(parts.get("clvp").text_encoder, AcceleratedEncoder)
    for part in ("autoregressive", "diffusion"):
        plain = type(parts.get(part)).__mro__[1](parts.get(part).cfg)
        parts.replace(part, plain)
        assert parts.get(part) is plain and type(plain) is type(parts_of(tmp_path / "tiny").get(part))


def test_weights_are_ordinary_tensors(tmp_path: Path) -> None:
    """So that a change to them in place is seen."""
    parts = parts_of(make_tiny_model(tmp_path / "tiny"))
    for part in ("autoregressive", "diffusion", "clvp", "vocoder"):
        assert not any(tensor.is_inference() for tensor in parts.get(part).parameters())


def offloaded(folder: Path, copier: Copier) -> LoadedModels:
    return LoadedModels(open_source(folder), device=CPU, dtype=torch.float32, offload=True, copier=copier)


def test_offload_moves_a_part_for_the_length_of_its_work(tiny_model: Path) -> None:
    parts, never = offloaded(tiny_model, Diary()), parts_of(tiny_model)
    weight = next(parts.get("vocoder").parameters())
    assert parts.get("diffusion") and parts.offload and not never.offload
    home = weight.data_ptr()
    with pytest.raises(KeyboardInterrupt), parts.use("vocoder") as module:
        assert module is parts.get("vocoder") and weight.data_ptr() != home
        raise KeyboardInterrupt
    assert weight.data_ptr() == home
    assert torch.equal(weight, next(never.get("vocoder").parameters()))


def test_a_request_moves_each_part_once_and_says_the_same(tiny_model: Path) -> None:
    diary = Diary()
    parts, never = offloaded(tiny_model, diary), parts_of(tiny_model)
    request = Request(
        family=TORTOISE,
        text="one two",
        passages=(Passage(text="one"), Passage(text="two")),
        voice=read_voice(tiny_model / "voices" / "anna.safetensors"),
        options=preset_options("tiny", {"num_autoregressive_samples": 3}, own=never.spec.presets),
        seed=1,
        k=2,
    )
    ours, wanted = (
        [[one.samples for one in results] for results in Pipeline(each, request, Progress()).passages()]
        for each in (parts, never)
    )
    for readings, plain in zip(ours, wanted, strict=True):
        for one, other in zip(readings, plain, strict=True):
            torch.testing.assert_close(one, other)
    size = {part: sum(p.numel() * 4 for p in parts.get(part).parameters()) for part in FILES}
    order = [size[part] for part in ("autoregressive", "clvp", "diffusion", "vocoder")]
    assert diary.sent == [*order, *order]


def test_tokenizer_limit_and_norms(tiny_model: Path) -> None:
    parts = parts_of(tiny_model)
    assert parts.tokenizer is parts.tokenizer
    assert parts.tokenizer.limit == 400
    assert parts.mel_norms.shape == (80,)
    basic = parts_of(tiny_model, tokenizer_basic=True)
    assert basic.tokenizer.clean("Dr. No") == "dr. no" and parts.tokenizer.clean("Dr. No") == "doctor no"


def test_other_weights_make_other_voices(tiny_model: Path, copied: Path) -> None:
    usual = open_source(tiny_model)
    other = open_source(tiny_model, overrides={"autoregressive": copied / "autoregressive.safetensors"})
    ranked = open_source(tiny_model, overrides={"clvp": copied / "clvp.safetensors", "diffusion": None})
    assert usual.model_id == "tiny" == ranked.model_id
    assert other.model_id.startswith("tiny-") and other.model_id != usual.model_id


def test_public_files_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"^tokenizer\.json .* Not here either: autoregressive\.pth .*mel_norms\.pth"):
        open_source("tortoise-v2", models_dir=tmp_path)
    with pytest.raises(FetchError) as caught:
        open_source("tortoise-v2", models_dir=tmp_path, overrides={"autoregressive": tmp_path / "mine.pth"})
    assert "autoregressive" not in str(caught.value)


@pytest.mark.parametrize("part", ["autoregressive", "diffusion", "clvp", "vocoder", "mel_norms"])
def test_a_missing_file_is_named_before_anything_is_loaded(copied: Path, part: str) -> None:
    (copied / f"{part}.safetensors").unlink()
    with pytest.raises(ModelError, match=rf"{part}\.safetensors: there is no such file") as error:
        open_source(copied)
    assert error.value.file == copied / f"{part}.safetensors"


def test_bad_directories(tmp_path: Path, copied: Path) -> None:
    with pytest.raises(ModelError, match='give "bundled", "tortoise-v2" or a directory'):
        open_source(tmp_path)
    for text, message in (("{", "not JSON"), ("[]", "holds a list"), ('{"format": 9}', "format")):
        (copied / "model.json").write_text(text)
        with pytest.raises(ModelError, match=message) as error:
            open_source(copied)
        assert error.value.file == copied / "model.json"


def test_what_a_model_does_not_have(copied: Path) -> None:
    values = json.loads((copied / "model.json").read_text())
    (copied / "model.json").write_text(json.dumps({**values, "clvp": None}))
    (copied / "clvp.safetensors").unlink()
    parts = parts_of(copied)
    assert not parts.has("clvp") and parts.has("vocoder")
    for part in ("clvp", "cvvp", "stream_decoder"):
        with pytest.raises(OptionError, match=f"has no {part}"):
            parts.get(part)


def test_options_are_checked(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="vocoder is 'hifi', must be one of bigvgan_base"):
        open_source(tiny_model, vocoder="hifi")
    with pytest.raises(ModelError, match=r"none\.pth: there is no such file"):
        open_source(tiny_model, overrides={"clvp": tmp_path / "none.pth"})
    with pytest.raises(ModelError, match=r"none\.json: there is no such file"):
        open_source(tiny_model, tokenizer_file=tmp_path / "none.json")
    with pytest.raises(FetchError, match="univnet"):
        open_source(tiny_model, vocoder="univnet", models_dir=tmp_path)


def test_sources_name_the_public_vocoder() -> None:
    source = ModelSource(spec=open_source_spec(), vocoder="univnet")
    assert type(source.config("vocoder")).__name__ == "UnivNetConfig"


def open_source_spec():
    from tutortoietts.runtime.source import public_spec

    spec = public_spec()
    assert (spec.calm_token, spec.reference_mel, spec.default_preset) == (83, "nats", "fast")
    return spec


def test_a_source_made_elsewhere_is_taken_as_it_is(tiny_model: Path) -> None:
    class Own(ModelSource):
        def load(self, part: str, device: torch.device, dtype: torch.dtype) -> torch.nn.Module:
            return torch.nn.Linear(2, 2, device=device, dtype=dtype)

    opened = open_source(tiny_model)
    source = Own(spec=opened.spec, folder=opened.folder)
    assert open_source(source, overrides={"clvp": None}, tokenizer_basic=False) is source
    assert isinstance(LoadedModels(source, device=CPU, dtype=torch.float32).get("clvp"), torch.nn.Linear)
    with pytest.raises(OptionError, match="vocoder='univnet' cannot be given with a ready model source"):
        open_source(source, vocoder="univnet")
