"""Voice files: tagged, complete or absent, and nothing in them is executed."""

from __future__ import annotations

import math
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tutortoietts.core.errors import AudioError, OutputError, VoiceError
from tutortoietts.core.types import Voice
from tutortoietts.voices import clips, files

VOICE = Voice(name="anna", model="m/1:x", speaker=torch.randn(1, 8), diffusion=torch.randn(1, 16))


def test_written_and_read_again(tmp_path: Path) -> None:
    path = files.write_voice(tmp_path / "new" / files.file_name(VOICE.model), VOICE, clips="abc")
    assert path.name == "m_1_x.safetensors"
    voice = files.read_voice(path)
    assert (voice.name, voice.model) == ("anna", "m/1:x")
    assert torch.equal(voice.speaker, VOICE.speaker) and voice.diffusion is not None
    assert files.read_tags(path)["clips"] == "abc"
    assert list(path.parent.iterdir()) == [path]


def test_half_precision_is_widened_and_streaming_voices_have_no_diffusion(tmp_path: Path) -> None:
    half = Voice(name="a", model="m", speaker=torch.ones(1, 8, dtype=torch.float16))
    voice = files.read_voice(files.write_voice(tmp_path / "a.safetensors", half))
    assert voice.speaker.dtype == torch.float32 and voice.diffusion is None


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files.write_voice(tmp_path / "a.safetensors", VOICE)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OutputError, match="No space left"):
        files.write_voice(path, VOICE, clips="changed")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_files_that_are_no_voice(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(VoiceError, match="no voice file"):
        files.read_voice(path)
    path.write_bytes(b"rubbish")
    with pytest.raises(VoiceError, match="no voice file"):
        files.read_voice(path)
    save_file({"speaker": torch.zeros(1, 8)}, path)
    with pytest.raises(VoiceError, match="not tagged"):
        files.read_voice(path)
    whole = files.write_voice(path, VOICE).read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(VoiceError, match="no voice file"):
        files.read_voice(path)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"diffusion": torch.zeros(1, 16)}, "must hold speaker and diffusion"),
        ({"speaker": torch.zeros(1, 8), "extra": torch.zeros(1)}, "must hold speaker and diffusion"),
        ({"speaker": torch.zeros(8)}, r"shape \(8,\), must be \(1, any\)"),
        ({"speaker": torch.full((1, 8), math.nan)}, "not numbers"),
    ],
)
def test_wrong_contents(tmp_path: Path, tensors: dict[str, torch.Tensor], message: str) -> None:
    path = tmp_path / "a.safetensors"
    save_file(tensors, path, metadata={"format": "tutortoietts-voice-1", "model": "m"})
    with pytest.raises(VoiceError, match=message):
        files.read_voice(path)


def test_latents_saved_by_the_originals(tmp_path: Path) -> None:
    torch.save((torch.ones(1, 1024), torch.zeros(1, 2048)), tmp_path / "tom.pth")
    voice = files.read_original(tmp_path / "tom.pth", "tortoise-v2")
    assert (voice.name, voice.model) == ("tom", "tortoise-v2") and voice.speaker.shape == (1, 1024)
    for i, wrong in enumerate([torch.ones(3), (torch.ones(1, 4),), (torch.ones(4), torch.ones(1, 4)), {"a": 1}]):
        torch.save(wrong, tmp_path / f"{i}.pth")
        with pytest.raises(VoiceError, match=f"{i}.pth"):
            files.read_original(tmp_path / f"{i}.pth", "tortoise-v2")


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ["TRAP"],)


def test_a_pickle_with_code_in_it_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAP", str(tmp_path / "sprung"))
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Trap()))
    torch.save((Trap(), torch.ones(1, 4)), tmp_path / "evil2.pth")
    for name in ("evil.pth", "evil2.pth"):
        with pytest.raises(VoiceError, match="cannot be read as saved latents"):
            files.read_original(tmp_path / name, "tortoise-v2")
    assert not (tmp_path / "sprung").exists()


def test_crops_are_the_middle_and_pads_are_zeros() -> None:
    clip = torch.arange(10.0)[None]
    assert clips.crop_clip(clip, 4).tolist() == [[3, 4, 5, 6]]
    assert clips.crop_clip(clip, 12).tolist() == [[*range(10), 0, 0]]
    assert torch.equal(clips.crop_clip(clip, 10), clip)


def test_samples_are_files_folders_and_patterns(tmp_path: Path) -> None:
    for name in ("b.wav", "a.MP3", "note.txt", ".hidden.wav", "sub.wav/c.flac"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    a, b = tmp_path / "a.MP3", tmp_path / "b.wav"
    assert clips.expand_samples(tmp_path) == [a, b]
    assert clips.expand_samples([str(tmp_path / "*.wav"), a, b]) == [b, a]
    for missing in (tmp_path / "c.wav", str(tmp_path / "*.ogg")):
        with pytest.raises(AudioError, match="no sound files at"):
            clips.expand_samples(missing)


def test_digests_are_of_contents_in_order(tmp_path: Path) -> None:
    for name, content in [("a", b"1"), ("b", b"2"), ("c", b"1"), ("d", b"12"), ("e", b"")]:
        (tmp_path / name).write_bytes(content)
    of = lambda *names: clips.digest([tmp_path / name for name in names])  # noqa: E731
    assert of("a", "b") == of("c", "b")
    assert len({of("a", "b"), of("b", "a"), of("d", "e"), of("d"), of("a")}) == 5
    with pytest.raises(AudioError, match="cannot be read"):
        of("missing")
