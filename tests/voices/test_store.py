"""Clips to latents, once; names, paths and mixes; and no way out of the folder."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

import pytest
import torch

from tutortoietts.audio.io import save_audio
from tutortoietts.core.errors import AudioError, OptionError, OutputError, TutortoieError, VoiceError
from tutortoietts.core.types import Voice
from tutortoietts.voices import files, shelf
from tutortoietts.voices.store import VoiceStore, default_folder

SPEAKER, DIFFUSION = 4, 6


class Compute:
    """Latents that tell which clips they are of; counts how often it is asked."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, clips: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        assert all(clip.ndim == 2 and clip.shape[0] == 1 and clip.dtype == torch.float32 for clip in clips)
        self.calls.append([clip.shape[1] for clip in clips])
        value = float(sum(clip.shape[1] for clip in clips)) / 22050
        return torch.full((1, SPEAKER), value), torch.full((1, DIFFUSION), -value)


def clip(path: Path, seconds: float = 1.0, hertz: float = 200.0) -> Path:
    wave = 0.5 * torch.sin(2 * math.pi * hertz * torch.arange(round(22050 * seconds)) / 22050)
    path.parent.mkdir(parents=True, exist_ok=True)
    return save_audio(path, wave, 22050)


def latents(name: str, model: str, value: float, size: int = SPEAKER) -> Voice:
    return Voice(name=name, model=model, speaker=torch.full((1, size), value), diffusion=torch.full((1, 6), value))


@pytest.fixture
def store(tmp_path: Path) -> VoiceStore:
    return VoiceStore(tmp_path / "voices", builtin_folders=())


@pytest.fixture
def compute() -> Compute:
    return Compute()


def test_clips_become_latents_once(store: VoiceStore, compute: Compute, tmp_path: Path) -> None:
    store.add("anna", [clip(tmp_path / "b.wav", 1.0), clip(tmp_path / "a.flac", 2.0)])
    first = store.get("anna", "m1", compute)
    again = store.get("anna", "m1")  # nothing to compute with, nothing to compute
    assert compute.calls == [[22050, 44100]]
    assert (first.name, first.model) == ("anna", "m1") and float(first.speaker[0, 0]) == 3.0
    assert torch.equal(first.speaker, again.speaker)
    assert again.diffusion is not None and float(again.diffusion[0, 0]) == -3.0
    assert store.find("anna").models == ("m1",)


def test_another_model_and_changed_clips_are_computed_anew(store: VoiceStore, compute: Compute, tmp_path: Path) -> None:
    source = store.add("anna", [clip(tmp_path / "a.wav", 1.0)])
    store.get("anna", "m1", compute)
    store.get("anna", "m2", compute)
    assert len(compute.calls) == 2
    clip(source.path / "001.wav", 2.0)
    assert float(store.get("anna", "m1", compute).speaker[0, 0]) == 3.0
    assert float(store.get("anna", "m1").speaker[0, 0]) == 3.0


def test_latents_are_never_fed_to_another_model(store: VoiceStore, compute: Compute) -> None:
    store.save("robot", latents("x", "m1", 1.0))
    assert float(store.get("robot", "m1", compute).speaker[0, 0]) == 1.0
    with pytest.raises(VoiceError, match="'robot' was made for m1, not for m2: clone it again"):
        store.get("robot", "m2", compute)
    assert not compute.calls


def test_clips_without_a_way_to_compute(store: VoiceStore, tmp_path: Path) -> None:
    store.add("anna", [clip(tmp_path / "a.wav")])
    with pytest.raises(VoiceError, match="no latents for m1 yet"):
        store.get("anna", "m1")


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_clips_elsewhere_are_computed_once_and_nothing_is_left_beside_them(
    store: VoiceStore, compute: Compute, tmp_path: Path, kind: str
) -> None:
    file = clip(tmp_path / "elsewhere" / "me.wav", 2.0)
    path = file if kind == "file" else file.parent
    for _ in range(2):
        assert float(store.get(str(path), "m1", compute).speaker[0, 0]) == 2.0
    assert len(compute.calls) == 1
    assert list(file.parent.iterdir()) == [file]
    assert store.voices() == [], "what is kept is not a voice of its own"


def test_the_same_clips_under_another_name_are_not_computed_again(
    store: VoiceStore, compute: Compute, tmp_path: Path
) -> None:
    file = clip(tmp_path / "one" / "a.wav")
    shutil.copytree(file.parent, tmp_path / "two")
    store.get(str(tmp_path / "one"), "m1", compute)
    store.get(str(tmp_path / "two"), "m1", compute)
    assert len(compute.calls) == 1


def test_a_folder_that_cannot_be_written_still_speaks(
    store: VoiceStore, compute: Compute, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = clip(tmp_path / "elsewhere" / "me.wav")
    store.folder.write_text("a file where the folder should be")
    assert float(store.get(str(file), "m1", compute).speaker[0, 0]) == 1.0
    assert "are not kept" in caplog.text


def test_folders_are_searched_in_order(tmp_path: Path, compute: Compute) -> None:
    extra, own, builtin = (tmp_path / name for name in ("extra", "own", "builtin"))
    for folder, value in [(extra, 1.0), (own, 2.0), (builtin, 3.0)]:
        files.write_voice(folder / "anna.safetensors", latents("anna", "m1", value))
        files.write_voice(folder / f"only-{folder.name}.safetensors", latents("x", "m1", value))
    store = VoiceStore(own, extra_folders=[extra], builtin_folders=[builtin])
    assert float(store.get("anna", "m1").speaker[0, 0]) == 1.0
    assert float(store.get("only-builtin", "m1").speaker[0, 0]) == 3.0
    assert [source.name for source in store.voices()] == ["anna", "only-builtin", "only-extra", "only-own"]
    assert float(VoiceStore(own, builtin_folders=[builtin]).get("anna", "m1").speaker[0, 0]) == 2.0
    with pytest.raises(VoiceError, match="no folder of voices at"):
        VoiceStore(own, extra_folders=[tmp_path / "missing"])


def test_mixes(store: VoiceStore) -> None:
    for name, value in [("a", 1.0), ("b", 4.0), ("c", 10.0)]:
        store.save(name, latents(name, "m1", value))
    assert float(store.get("a+b", "m1").speaker[0, 0]) == 2.5
    mixed = store.get(" a*2 + b ", "m1")
    assert float(mixed.speaker[0, 0]) == 2.0 and mixed.diffusion is not None
    assert float(mixed.diffusion[0, 0]) == 2.0
    assert float(store.get("a+b+c", "m1").speaker[0, 0]) == 5.0
    assert float(store.get("c*0.25", "m1").speaker[0, 0]) == 10.0


def test_a_mix_with_a_voice_that_can_only_stream(store: VoiceStore) -> None:
    store.save("a", latents("a", "m1", 1.0))
    store.save("b", Voice(name="b", model="m1", speaker=torch.zeros(1, SPEAKER)))
    assert store.get("a+b", "m1").diffusion is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("a+", "empty name"),
        ("", "empty name"),
        ("a*", "weight '', must be a number above 0"),
        ("a*0+b", "weight '0'"),
        ("a*-1", "weight '-1'"),
        ("a*nan", "weight 'nan'"),
        ("a*inf+b", "weight 'inf'"),
        ("a+random", "cannot be mixed"),
        ("random", "not a stored voice"),
        ("a+other", "differ in size"),
    ],
)
def test_bad_mixes(store: VoiceStore, spec: str, message: str) -> None:
    store.save("a", latents("a", "m1", 1.0))
    store.save("b", latents("b", "m1", 1.0))
    store.save("other", latents("other", "m1", 1.0, size=9))
    with pytest.raises(VoiceError, match=message):
        store.get(spec, "m1")


def test_an_unknown_voice_gets_a_suggestion(store: VoiceStore) -> None:
    with pytest.raises(VoiceError, match="no voice named 'geralt', known are none yet"):
        store.find("geralt")
    store.save("geralt", latents("x", "m1", 1.0))
    with pytest.raises(VoiceError, match="did you mean 'geralt'"):
        store.find("gerald")
    with pytest.raises(VoiceError, match="no voice at"):
        store.find("./nowhere")
    with pytest.raises(VoiceError, match="no voice named"):
        store.find("x" * 5000)


@pytest.mark.parametrize(
    "name",
    ["../escape", "a/b", "a\\b", "/etc", ".hidden", "..", "", "a+b", "a*b", "a\0b", "a\nb", "x" * 65, "random", "a."],
)
def test_names_that_are_not_safe(store: VoiceStore, tmp_path: Path, name: str) -> None:
    good = clip(tmp_path / "good.wav")
    for attempt in (
        lambda: store.add(name, [good]),
        lambda: store.save(name, latents("x", "m1", 1.0)),
        lambda: store.remove(name),
    ):
        with pytest.raises(VoiceError, match="name"):
            attempt()
    assert [path.name for path in tmp_path.iterdir()] == ["good.wav"]


@pytest.mark.parametrize("name", ["anna", "José", "Old Man 2", "v1.5-x_y", "日本", "E"])
def test_names_that_are_safe(store: VoiceStore, name: str) -> None:
    store.save(name, latents("x", "m1", 1.0))
    assert store.get(name, "m1").name == name
    assert store.remove(name).parent == store.folder
    assert store.voices() == []


def test_a_store_of_names_only(tmp_path: Path) -> None:
    file = clip(tmp_path / "secret.wav")
    store = VoiceStore(tmp_path / "voices", builtin_folders=(), paths=False)
    for name in (str(file), "./secret.wav", "../secret.wav"):
        with pytest.raises(VoiceError, match="only names of voices"):
            store.find(name)


def test_a_folder_of_clips_here_needs_no_slash(
    store: VoiceStore, compute: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clip(tmp_path / "mine" / "a.wav", 1.0)
    assert store.get("mine", "m1", compute).speaker[0, 0] == 1.0
    store.save("mine", latents("x", "m1", 9.0))
    assert store.get("mine", "m1").speaker[0, 0] == 9.0  # a voice's name comes first
    with pytest.raises(VoiceError, match="no voice named 'min', did you mean 'mine'"):
        store.find("min")


def test_adding_is_whole_or_not_at_all(store: VoiceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = clip(tmp_path / "good.wav"), tmp_path / "bad.wav"
    bad.write_bytes(b"no audio")
    with pytest.raises(AudioError, match=r"bad\.wav is not audio"):
        store.add("anna", [good, bad])
    with pytest.raises(VoiceError, match="at least one clip"):
        store.add("anna", [])
    assert not store.folder.exists()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(OutputError, match=r"'anna' cannot be saved .*No space left"):
        store.add("anna", [good])
    assert list(store.folder.iterdir()) == []


def test_a_taken_name_is_replaced_only_when_told(store: VoiceStore, compute: Compute, tmp_path: Path) -> None:
    store.add("anna", [clip(tmp_path / "a.wav", 1.0)])
    store.get("anna", "m1", compute)
    with pytest.raises(VoiceError, match="already a voice 'anna'"):
        store.add("anna", [clip(tmp_path / "b.wav", 2.0)])
    store.add("anna", [tmp_path / "b.wav"], replace=True)
    assert float(store.get("anna", "m1", compute).speaker[0, 0]) == 2.0
    store.save("anna", latents("x", "m1", 7.0), replace=True)
    assert float(store.get("anna", "m1").speaker[0, 0]) == 7.0
    assert store.find("anna").clips == ()


def test_only_own_voices_are_removed(tmp_path: Path) -> None:
    files.write_voice(tmp_path / "builtin" / "anna.safetensors", latents("anna", "m1", 1.0))
    store = VoiceStore(tmp_path / "own", builtin_folders=[tmp_path / "builtin"])
    with pytest.raises(VoiceError, match="not yours to remove"):
        store.remove("anna")
    with pytest.raises(VoiceError, match="no voice named 'ben'"):
        store.remove("ben")
    outside = clip(tmp_path / "outside" / "a.wav")
    store.folder.mkdir()
    (store.folder / "link").symlink_to(outside.parent)
    store.remove("link")
    assert outside.exists() and not (store.folder / "link").exists()


def test_unusable_clips_are_named(store: VoiceStore, compute: Compute, tmp_path: Path) -> None:
    clip(tmp_path / "short" / "a.wav", 0.2)
    with pytest.raises(AudioError, match=r"a\.wav lasts 0\.20 s"):
        store.get(str(tmp_path / "short"), "m1", compute)
    (tmp_path / "empty").mkdir()
    with pytest.raises(VoiceError, match="holds no voice"):
        store.get(str(tmp_path / "empty"), "m1", compute)


def test_the_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTORTOIETTS_VOICES", str(tmp_path / "here"))
    assert default_folder() == tmp_path / "here" == VoiceStore().folder
    monkeypatch.delenv("TUTORTOIETTS_VOICES")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".local/share/tutortoietts/voices"


def test_more_folders_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, shared = tmp_path / "own", tmp_path / "shared"
    VoiceStore(shared).save("anna", latents("anna", "m1", 1.0))
    VoiceStore(shared).save("ben", latents("ben", "m1", 1.0))
    VoiceStore(own).save("ben", latents("ben", "m1", 2.0))
    monkeypatch.setenv("TUTORTOIETTS_VOICES", os.pathsep.join(map(str, (own, shared))))
    store = VoiceStore(builtin_folders=())
    assert store.folder == own and [source.name for source in store.voices()] == ["anna", "ben"]
    assert store.get("ben", "m1").speaker[0, 0] == 2.0  # the first folder first
    with pytest.raises(VoiceError, match="not yours to remove"):
        store.remove("anna")
    assert VoiceStore(own, builtin_folders=()).folders == (own,)
    monkeypatch.setenv("TUTORTOIETTS_VOICES", os.pathsep.join((str(own), str(tmp_path / "missing"))))
    with pytest.raises(OptionError, match=r"TUTORTOIETTS_VOICES .*missing' does not exist"):
        VoiceStore()


def test_every_refusal_is_one_of_ours() -> None:
    assert issubclass(VoiceError, TutortoieError)


def test_a_failed_replacement_keeps_the_old_voice(store: VoiceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save("anna", latents("anna", "m1", 1.0))
    move = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.parent.name.endswith(".part"):
            raise OSError(28, "No space left on device")
        return move(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OutputError, match=r"'anna' cannot be saved .*No space left"):
        store.save("anna", latents("anna", "m1", 2.0), replace=True)
    assert float(store.get("anna", "m1").speaker[0, 0]) == 1.0
    assert [path.name for path in store.folder.iterdir()] == ["anna"]


def test_a_voice_being_added_is_kept_only_when_all_went_well(
    store: VoiceStore, compute: Compute, tmp_path: Path
) -> None:
    store.add("anna", [clip(tmp_path / "a.wav", 1.0)])
    with pytest.raises(KeyboardInterrupt), store.adding("anna", [clip(tmp_path / "b.wav", 2.0)], replace=True) as new:
        assert float(store.get(str(new.path), "m1", compute).speaker[0, 0]) == 2.0
        assert float(store.get("anna", "m1", compute).speaker[0, 0]) == 1.0
        raise KeyboardInterrupt
    assert float(store.get("anna", "m1", compute).speaker[0, 0]) == 1.0
    assert [path.name for path in store.folder.iterdir()] == ["anna"]
    with store.adding("anna", [tmp_path / "b.wav"], replace=True) as new:
        store.get(str(new.path), "m1", compute)
    made = len(compute.calls)
    assert float(store.get("anna", "m1", compute).speaker[0, 0]) == 2.0 and len(compute.calls) == made
    assert [path.name for path in store.folder.iterdir()] == ["anna"]


def test_two_at_once_under_one_name(store: VoiceStore, compute: Compute, tmp_path: Path) -> None:
    first, second = clip(tmp_path / "a.wav", 1.0), clip(tmp_path / "b.wav", 2.0)
    with pytest.raises(VoiceError, match="already a voice 'anna'"), store.adding("anna", [first]):
        store.add("anna", [second])
    assert float(store.get("anna", "m1", compute).speaker[0, 0]) == 2.0
    with store.adding("anna", [first], replace=True):
        store.add("anna", [second, second], replace=True)
    assert float(store.get("anna", "m1", compute).speaker[0, 0]) == 1.0
    assert [path.name for path in store.folder.iterdir()] == ["anna"]


def test_another_process_may_be_faster_at_the_last_moment(store: VoiceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    move, rivals = Path.rename, [latents("anna", "m1", 1.0)]

    def meanwhile(self: Path, target: Path) -> Path:
        if target == store.folder / "anna" and rivals:
            store.save("anna", rivals.pop(), replace=True)
        return move(self, target)

    monkeypatch.setattr(Path, "rename", meanwhile)
    store.save("anna", latents("anna", "m1", 2.0), replace=True)
    assert not rivals and float(store.get("anna", "m1").speaker[0, 0]) == 2.0
    store.remove("anna")
    rivals.append(latents("anna", "m1", 3.0))
    with pytest.raises(VoiceError, match="already a voice 'anna'"):
        store.save("anna", latents("anna", "m1", 4.0))
    assert float(store.get("anna", "m1").speaker[0, 0]) == 3.0


def test_damaged_latents_are_made_again_from_the_clips(store: VoiceStore, compute: Compute, tmp_path: Path) -> None:
    store.add("anna", [clip(tmp_path / "a.wav", 1.0)])
    store.get("anna", "m1", compute)
    (file,) = store.find("anna").latents
    file.write_bytes(file.read_bytes()[:40])
    assert store.find("anna").models == ()
    assert float(store.get("anna", "m1", compute).speaker[0, 0]) == 1.0
    assert len(compute.calls) == 2 and store.find("anna").models == ("m1",)


@pytest.mark.parametrize("name", ["", " ", "~nobody-here/x", "./" + "a" * 5000, "a" * 5000])
def test_names_that_no_voice_can_have(store: VoiceStore, tmp_path: Path, name: str) -> None:
    clip(store.folder / "loose.wav")
    with pytest.raises(VoiceError):
        store.find(name)
    with pytest.raises(VoiceError, match="no folder of voices"):
        VoiceStore(tmp_path, extra_folders=["a" * 5000])


# names as they were made


def voice_folder(store: VoiceStore, name: str) -> Path:
    clip_file(store.folder / name / "a.wav")
    return store.folder / name


def clip_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.2 * torch.randn(1, 22050, generator=torch.Generator().manual_seed(3))
    return save_audio(path, wave, 22050)


def test_a_name_is_found_in_either_form_of_unicode(tmp_path: Path) -> None:
    store = VoiceStore(tmp_path / "voices", builtin_folders=())
    clip = clip_file(tmp_path / "c.wav")
    composed, apart = "Zo\u00e9", "Zoe\u0301"
    store.add(apart, [clip])
    assert store.find(apart).path == store.find(composed).path
    voice_folder(store, "Ame\u0301lie")
    assert store.find("Am\u00e9lie").clips and store.terms("Am\u00e9lie") == [("Am\u00e9lie", 1.0)]
    store.remove(apart)
    assert [source.name for source in store.voices()] == ["Ame\u0301lie"]


@pytest.mark.parametrize("name", ["R&B+Soul", "jack*2", "two words", "a\\b", "~tilde", "x.pth"])
def test_what_is_listed_is_found_and_removed(tmp_path: Path, name: str) -> None:
    store = VoiceStore(tmp_path / "voices", builtin_folders=())
    folder = voice_folder(store, name)
    assert [source.name for source in store.voices()] == [name]
    assert store.find(name).path == folder and store.terms(name) == [(name, 1.0)]
    assert store.remove(name) == folder and store.voices() == []


def test_a_folder_that_no_name_reaches_is_not_listed(tmp_path: Path) -> None:
    store = VoiceStore(tmp_path / "voices", builtin_folders=())
    voice_folder(store, "Random")
    assert store.voices() == []


def test_no_voice_is_removed_by_anothers_name(tmp_path: Path) -> None:
    store = VoiceStore(tmp_path / "voices", builtin_folders=())
    clip = clip_file(tmp_path / "c.wav")
    for name in ("x", "x.safetensors", "x.pth"):
        store.add(name, [clip])
    store.remove("x")
    assert [source.name for source in store.voices()] == ["x.pth", "x.safetensors"]
    for name in ("..", ".", "../voices", str(store.folder / "x.pth")):
        with pytest.raises(VoiceError):
            store.remove(name)
    assert len(store.voices()) == 2


def test_paths_that_no_folder_can_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTORTOIETTS_VOICES", str(tmp_path / ("v" * 5000)))
    store = VoiceStore(builtin_folders=())
    assert store.voices() == []
    with pytest.raises(VoiceError, match="no voice named 'anna'"):
        store.find("anna")
    with pytest.raises(OutputError):
        store.add("anna", [clip_file(tmp_path / "c.wav")])
    for name in ("~\ud800", "\ud800", "a\0b", "~\ud800/x"):
        with pytest.raises(VoiceError):
            store.find(name)


# what a process that was killed leaves


def test_leftovers_are_deleted_and_a_replaced_voice_is_put_back(tmp_path: Path) -> None:
    folder = tmp_path / "voices"
    dead, old, busy, young = (folder / f".{name}.part" for name in ("dead", "old", "busy", "young"))
    clip_file(dead / "eve" / "000.wav")
    clip_file(dead / "anna.old" / "0" / "anna" / "000.wav")
    (dead / "lock").touch()
    for hidden in (old, young):
        clip_file(hidden / "eve" / "000.wav")
    os.utime(old, (0, 0))
    with shelf.new_voice(folder, "ben", replace=False) as part:
        clip_file(part / "000.wav")
        (busy_one,) = [path for path in folder.iterdir() if path not in (dead, old, busy, young)]
        names = [source.name for source in VoiceStore(folder, builtin_folders=()).voices()]
        assert names == ["anna"] and busy_one.exists()
    assert not dead.exists() and not old.exists() and young.exists()
    assert [source.name for source in VoiceStore(folder, builtin_folders=()).voices()] == ["anna", "ben"]
