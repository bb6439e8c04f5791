"""Who speaks: names, mixes, files, clips, latents, random voices; latents from clips."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tutortoietts.audio.io import resample, save_audio
from tutortoietts.audio.mel import conditioning_mel, diffusion_mel, normalize_mel
from tutortoietts.core.errors import AudioError, OptionError, VoiceError
from tutortoietts.core.types import Voice
from tutortoietts.engine.conditioning import reference_mels, voice_latents
from tutortoietts.engine.voice_resolver import VoiceResolver
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.runtime.source import open_source


@pytest.fixture(scope="module")
def parts(tiny_model: Path) -> LoadedModels:
    return LoadedModels(open_source(tiny_model), device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture
def casting(parts: LoadedModels) -> VoiceResolver:
    return VoiceResolver(parts)


def clip(seconds: float, pitch: float = 0.05, rate: int = 22050) -> Tensor:
    time = torch.arange(round(seconds * rate))
    return (0.3 * torch.sin(time * pitch) * torch.sin(time * 0.0007))[None]


def test_latents_are_those_of_the_encoders(parts: LoadedModels) -> None:
    one, two = clip(2.0), clip(8.0, 0.08)
    speaker, diffusion = voice_latents(parts, [one, two])
    ours, theirs = parts.get("autoregressive"), parts.get("diffusion")
    padded = torch.nn.functional.pad(one, (0, 132300 - one.shape[1]))
    extra = two.shape[1] - 132300
    middle = two[:, extra // 2 : extra // 2 + 132300]
    mels = conditioning_mel(torch.cat([padded, middle]))[None]
    torch.testing.assert_close(speaker, ours.conditioning(mels))
    torch.testing.assert_close(mels, reference_mels(parts, [one, two]))
    wide = [resample(some, 22050, 24000, kernel="sinc") for some in (one, two)]
    wide[0] = torch.nn.functional.pad(wide[0], (0, 102400 - wide[0].shape[1]))
    spectra = torch.stack([normalize_mel(diffusion_mel(some[:, :102400]))[0] for some in wide])[None]
    torch.testing.assert_close(diffusion, theirs.conditioning(spectra), rtol=1e-4, atol=1e-5)
    assert not speaker.is_inference() and speaker.dtype == torch.float32


def test_averaging_modes_differ_as_they_say(parts: LoadedModels) -> None:
    long, short = clip(14.0), clip(3.0, 0.09)
    by_mode = [voice_latents(parts, [long, short], mode)[0] for mode in (0, 1, 2)]
    assert not any(torch.allclose(by_mode[a], by_mode[b], atol=1e-6) for a, b in ((0, 1), (0, 2), (1, 2)))
    alone = [voice_latents(parts, [some], 1)[0] for some in (long, short)]
    torch.testing.assert_close(by_mode[2], (alone[0] + alone[1]) / 2)
    torch.testing.assert_close(by_mode[1], (2 * alone[0] + alone[1]) / 3)  # 14 s: two pieces, the rest under half full
    with pytest.raises(OptionError, match="latent_averaging_mode is 3"):
        voice_latents(parts, [short], 3)


def test_names_mixes_and_the_default(casting: VoiceResolver) -> None:
    anna, ben, first = (casting.voice(name, None)[0] for name in ("anna", "ben", None))
    assert torch.equal(first.speaker, anna.speaker) and first.name == "anna"
    mixed = casting.voice("anna+ben", None)[0]
    torch.testing.assert_close(mixed.speaker, (anna.speaker + ben.speaker) / 2)
    with pytest.raises(VoiceError, match="did you mean 'anna'"):
        casting.voice("anne", None)


def test_clips_and_files_make_the_same_voice(casting: VoiceResolver, tmp_path: Path) -> None:
    path = save_audio(tmp_path / "her.flac", clip(1.5), 22050)
    stored = casting.voice([path], None)[0]
    for samples in (str(path), [str(path)]):
        voice, clips = casting.voice(samples, None)
        assert torch.equal(voice.speaker, stored.speaker) and len(clips) == 1
    direct = casting.voice(clip(1.5), None)[0]
    torch.testing.assert_close(direct.speaker, stored.speaker, atol=1e-2, rtol=1e-2)  # 16-bit file
    flat = casting.voice(clip(1.5)[0], None)[0]
    assert torch.equal(flat.speaker, direct.speaker)


def test_a_saved_voice_keeps_its_latents(
    casting: VoiceResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    casting.store.add("carla", [save_audio(tmp_path / "c.wav", clip(2.0), 22050)])
    voice, clips = casting.voice("carla", None, want_clips=True)
    assert len(clips) == 1
    pieces = casting.voice("carla", None, mode=1)[0]
    assert pieces.speaker.shape == voice.speaker.shape
    monkeypatch.setattr("tutortoietts.engine.families.tortoise.voice_latents", None)  # not computed again
    assert torch.equal(casting.voice("carla", None)[0].speaker, voice.speaker)


def test_given_latents(casting: VoiceResolver) -> None:
    pair = (torch.ones(1, 64), torch.zeros(1, 128))
    assert torch.equal(casting.voice(None, pair)[0].speaker, pair[0])
    voice = Voice(name="x", model="tiny", speaker=pair[0], diffusion=pair[1])
    assert casting.voice(None, voice)[0] is voice
    with pytest.raises(VoiceError, match="was made for other, not for tiny"):
        casting.voice(None, Voice(name="x", model="other", speaker=pair[0]))
    with pytest.raises(OptionError, match="must be the pair"):
        casting.voice(None, pair[:1])


def test_random_voices_follow_from_their_seed(casting: VoiceResolver) -> None:
    one, again, other = (casting.random(seed).speaker for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert torch.equal(casting.voice("random", None, seed=1)[0].speaker, one)


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([], OptionError, "voice_samples is empty"),
        (torch.zeros(1, 40000), AudioError, "clip 1 is silent"),
        ([clip(2.0), clip(0.2)], AudioError, r"clip 2 lasts 0\.20 s"),
        (torch.ones(2, 40000), AudioError, "clip 1 has shape"),
        (["anna", "ben"], OptionError, r"a mix of voices is written 'anna\+ben'"),
        (["anna.wav", "ben"], AudioError, r"no audio file at anna\.wav"),
    ],
)
def test_bad_samples(casting: VoiceResolver, samples, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        casting.voice(samples, None)


def test_contradictions(casting: VoiceResolver) -> None:
    with pytest.raises(OptionError, match="are both given"):
        casting.voice("anna", (torch.ones(1, 64), torch.zeros(1, 128)))
    with pytest.raises(OptionError, match="latent_averaging_mode is 2, but voice 'anna' is kept without clips"):
        casting.voice("anna", None, mode=2)
    with pytest.raises(OptionError, match="is 1, but conditioning_latents are made already: leave it 0"):
        casting.voice(None, (torch.ones(1, 64), torch.zeros(1, 128)), mode=1)
    for name in ("random", " Random"):
        with pytest.raises(OptionError, match="is 1, but a random voice has no clips"):
            casting.voice(name, None, mode=1)


def test_a_model_names_its_default_voice(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    names = [source.name for source in VoiceResolver(parts_of(folder)).own.voices()]  # type: ignore[union-attr]
    assert VoiceResolver(parts_of(folder)).voice(None, None)[0].name == names[0]
    spec = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(spec | {"default_voice": names[-1]}))
    assert VoiceResolver(parts_of(folder)).voice(None, None)[0].name == names[-1] != names[0]


def parts_of(folder: Path) -> LoadedModels:
    return LoadedModels(open_source(folder), device=torch.device("cpu"), dtype=torch.float32)


@pytest.mark.parametrize("name", ["x" * 5000, "~nobody-at-all/voice"])
def test_names_that_can_be_no_path_are_unknown_voices(casting: VoiceResolver, name: str) -> None:
    with pytest.raises(VoiceError):
        casting.voice(name, None)
    with pytest.raises(VoiceError):
        casting.voice([name], None)
