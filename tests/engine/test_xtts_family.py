"""XTTS-v2 end to end on a tiny release: it speaks, streams the same, learns voices, refuses what it cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch
from typer.testing import CliRunner

from tiny_xtts import GOLDEN, make_tiny_release
from tutortoietts import TextToSpeech
from tutortoietts.bench.random_model import RandomXtts, random_xtts
from tutortoietts.core.errors import FetchError, ModelError, OptionError, VoiceError
from tutortoietts.core.types import Voice
from tutortoietts.engine.decoding.latents import second_pass
from tutortoietts.engine.families import family_of
from tutortoietts.engine.families.xtts import XTTS_FAMILY
from tutortoietts.runtime.source import open_source

pytestmark = pytest.mark.skipif(not GOLDEN.is_file(), reason="the golden files of ../shared are absent")
TEXT = "hello there, 5 cats"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_release(tmp_path_factory.mktemp("xtts") / "tiny")


@pytest.fixture
def tts(release: Path) -> TextToSpeech:
    return TextToSpeech(model=release, device="cpu")


def clip(seconds: float = 3.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(1, round(22050 * seconds), generator=generator)


def test_it_speaks_the_same_for_the_same_seed(tts: TextToSpeech) -> None:
    first, again, other = (tts.speak(TEXT, seed=seed).samples for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert tts.sample_rate == 24000 and bool(first.isfinite().all()) and len(first) > 1000


@pytest.mark.parametrize("size", [1, 5, 8, 500])
def test_a_stream_joined_is_the_whole(size: int, tts: TextToSpeech) -> None:
    whole = tts.speak(TEXT, seed=3, voice="Bo Sample", redraws=0).samples
    chunks = list(tts.stream(TEXT, seed=3, voice="Bo Sample", stream_chunk_size=size))
    assert size == 500 or len(chunks) > 2
    joined = torch.cat(chunks)
    assert joined.shape == whole.shape and float((joined - whole).norm() / whole.norm()) < 1e-4


def test_the_end_does_not_click(tts: TextToSpeech) -> None:
    samples = tts.speak("hi", seed=3).samples
    assert float(samples[-1]) == 0.0 and float(samples[-240:].abs().max()) > 0


def test_the_latent_of_the_stop_code_is_sounded(tts: TextToSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the original: 4 frames a latent, stretched, for every code and the stop code."""
    gpt = tts.autoregressive
    logits = gpt.mel_logits

    def stopping(hidden: torch.Tensor) -> torch.Tensor:
        found = logits(hidden)
        found[..., gpt.cfg.stop_mel_token] += 4.0
        return found

    monkeypatch.setattr(gpt, "mel_logits", stopping)
    for seed in range(20):
        speech = tts.speak("hi", seed=seed)
        frames = len(speech.samples) // 256
        assert len(speech.samples) == frames * 256
        if frames < 4 * 43 * 24000 // 22050:
            latents = round(frames * 22050 / 24000 / 4)
            assert frames == 4 * latents * 24000 // 22050
            return
    pytest.fail("no seed ends before the limit")


def faulty(tts: TextToSpeech, monkeypatch: pytest.MonkeyPatch, faults: list[str | None]) -> list[str | None]:
    """Let the attempts have these faults, one after the other."""
    left = list(faults)
    monkeypatch.setattr("tutortoietts.engine.pipeline.code_fault", lambda codes, **rest: left.pop(0))
    monkeypatch.setattr("tutortoietts.engine.pipeline.sound_fault", lambda wave, rate: None)
    return left


def test_a_passage_with_a_fault_is_drawn_again(tts: TextToSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
    left = faulty(tts, monkeypatch, ["repeated", "unfinished", None])
    third = tts.speak("hi", seed=3)
    assert not left and (third.report.redraws, third.report.faults) == (2, {"repeated": 1, "unfinished": 1})
    faulty(tts, monkeypatch, [None])
    first = tts.speak("hi", seed=3)
    assert (first.report.redraws, first.report.faults) == (0, {}) and not torch.equal(first.samples, third.samples)


def test_of_attempts_that_all_have_faults_the_least_bad_is_kept(
    tts: TextToSpeech, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    faulty(tts, monkeypatch, ["unfinished", None])
    want = tts.speak("hi", seed=3).samples
    left = faulty(tts, monkeypatch, ["unfinished", "repeated", "short"])
    assert torch.equal(tts.speak("hi", seed=3).samples, want) and not left
    assert "is said again" in caplog.text
    left = faulty(tts, monkeypatch, ["repeated", None])
    assert tts.speak("hi", seed=3, redraws=0).report.redraws == 0 and len(left) == 1


def test_a_stream_tells_its_faults(
    tts: TextToSpeech, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    faulty(tts, monkeypatch, ["repeated"])
    stream = tts.stream("hi", seed=3)
    assert list(stream) and (stream.report.redraws, stream.report.faults) == (0, {"repeated": 1})
    assert "is said again" in caplog.text
    with pytest.raises(OptionError, match="cannot take back"):
        tts.stream("hi", redraws=1)


@pytest.mark.parametrize("rule", ["stretch", "latents"])
def test_speed_whole_and_streamed(rule: str, tts: TextToSpeech) -> None:
    usual = tts.speak(TEXT, seed=3, redraws=0)
    for speed in (0.75, 1.5):
        whole = tts.speak(TEXT, seed=3, redraws=0, speed=speed, speed_rule=rule)
        assert whole.seconds == pytest.approx(usual.seconds / speed, abs=0.06)
        joined = torch.cat(list(tts.stream(TEXT, seed=3, speed=speed, speed_rule=rule, stream_chunk_size=5)))
        assert joined.shape == whole.samples.shape
        assert float((joined - whole.samples).norm() / whole.samples.norm()) < 1e-4
        ends = [(mine.end, word.end / speed) for mine, word in zip(whole.words, usual.words, strict=True)]
        assert all(mine == pytest.approx(want, abs=0.06) for mine, want in ends)


def test_the_rule_of_the_original_is_on_the_latents(tts: TextToSpeech) -> None:
    from tutortoietts.models.xtts import at_speed

    seen: list[torch.Tensor] = []
    decoder = tts.stream_decoder
    frames = decoder.frames
    decoder.frames = lambda latents, *rest: seen.append(latents) or frames(latents, *rest)
    for speed in (1.0, 1.3):
        tts.speak(TEXT, seed=3, redraws=0, speed=speed, speed_rule="latents")
    torch.testing.assert_close(seen[1], at_speed(seen[0], 1.3))
    with pytest.raises(OptionError, match="cannot cut"):
        tts.speak("hello [there] you", speed=1.3, speed_rule="latents")


def test_the_language_of_the_text(tts: TextToSpeech) -> None:
    said = tts.say_as("das sind 7 und nicht 8", language="auto")
    assert " ".join(one["spoken"] for one in said) == "das sind sieben und nicht acht"
    with pytest.raises(OptionError, match="not certain"):
        tts.speak("hi", language="auto")


def test_codes_are_limited_by_the_length_of_the_text(tts: TextToSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
    """Babble behind a short text ends; a full passage may be as long as the model allows; a minimum is kept."""
    assert XTTS_FAMILY.most_codes("hi", "en", 602) == 69 and XTTS_FAMILY.most_codes("x" * 250, "en", 602) == 602
    assert XTTS_FAMILY.most_codes("你好", "zh-cn", 602) > XTTS_FAMILY.most_codes("hi", "en", 602)
    monkeypatch.setattr(XTTS_FAMILY, "most_codes", lambda text, language, limit: 6, raising=False)
    frames = [len(tts.speak("hi", seed=3, **given).samples) // 256 for given in ({}, {"min_mel_tokens": 20})]
    assert frames[0] <= 6 * 4 * 24000 // 22050 and frames[1] == 20 * 4 * 24000 // 22050


def test_calls_that_share_a_batch_sound_as_alone(release: Path, tts: TextToSpeech) -> None:
    shared = TextToSpeech(model=release, device="cpu", shared_batch_rows=4)
    for seed in (3, 4):
        want = tts.speak(TEXT, seed=seed, redraws=0).samples
        torch.testing.assert_close(shared.speak(TEXT, seed=seed, redraws=0).samples, want, rtol=0, atol=1e-5)
        torch.testing.assert_close(torch.cat(list(shared.stream(TEXT, seed=seed))), want, rtol=0, atol=1e-5)


def test_random_weights_in_place_of_files(release: Path, tts: TextToSpeech) -> None:
    """At tiny size here; `random_xtts` has the public sizes, and the same way through the engine."""
    assert random_xtts().spec.autoregressive.number_text_tokens == 6681
    source = RandomXtts(spec=tts.spec, seed=1)
    random = TextToSpeech(model=source, device="cpu")
    speech = random.tts("hello", conditioning_latents=source.voice(), use_deterministic_seed=1, max_mel_tokens=20)
    assert random.model == "random-xtts" and bool(speech.isfinite().all()) and speech.numel() > 1000
    with pytest.raises(OptionError, match="autoregressive of random-xtts has random weights and no file"):
        source.file("autoregressive")


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
def test_files_name_the_licence_of_their_sound(ending: str, tts: TextToSpeech, tmp_path: Path) -> None:
    speech = tts.speak("hi", seed=1)
    for mark in (True, False):
        with soundfile.SoundFile(speech.save(tmp_path / f"a.{ending}", mark=mark)) as file:
            assert "https://coqui.ai/cpml.txt" in file.comment and ("AI-generated" in file.comment) == mark


def test_a_streamed_file_names_the_licence_too(release: Path, tmp_path: Path) -> None:
    from tutortoietts.cli.main import app

    for ending in ("wav", "flac"):
        path = tmp_path / f"a.{ending}"
        words = ["generate", "hi", "--model", str(release), "--seed", "1", "-q", "--streaming", "-o", str(path)]
        assert CliRunner().invoke(app, words).exit_code == 0
        with soundfile.SoundFile(path) as file:
            assert "https://coqui.ai/cpml.txt" in file.comment


def test_a_second_pass_gives_the_same_latents(tts: TextToSpeech) -> None:
    gpt = tts.autoregressive
    prefix = gpt.prefix(torch.randn(1, 32 * 48), torch.tensor([[5, 6, 7]]))
    codes = torch.tensor([[3, 4, 5, gpt.cfg.stop_mel_token]])
    with torch.no_grad():
        latents, _, _ = gpt(torch.randn(1, 32, 48), torch.tensor([[5, 6, 7]]), codes)
        prompt = torch.randn(1, 32, 48)
        want, _, _ = gpt(prompt, torch.tensor([[5, 6, 7]]), codes)
        got = second_pass(gpt, gpt.prefix(prompt.flatten(1), torch.tensor([[5, 6, 7]])), codes)
    assert latents.shape == want.shape and prefix.shape[1] == 32 + 5
    torch.testing.assert_close(got, want)


def test_voices_by_name_mixed_random_and_from_clips(tts: TextToSpeech, tmp_path: Path) -> None:
    assert {"Ana Example", "Bo Sample"} <= {voice.name for voice in tts.voices.voices()}
    sounds = [tts.speak(TEXT, seed=1, voice=voice).samples for voice in ("Ana Example", "Bo Sample")]
    assert not torch.equal(*sounds)
    assert len(tts.speak(TEXT, seed=1, voice="Ana Example+Bo Sample").samples)
    assert len(tts.speak(TEXT, seed=1, voice="random").samples)
    made = tts.speak(TEXT, seed=1, voice=[clip(), clip(1.0, seed=2)]).samples
    assert len(made) and bool(made.isfinite().all())
    prompt, vector = tts.get_conditioning_latents(clip())
    assert prompt.shape == (1, 32 * 48) and vector.shape == (1, 24)
    assert float(vector.norm()) == pytest.approx(1.0, abs=1e-4)


def test_one_clip_in_one_chunk_is_the_original_rule(tts: TextToSpeech) -> None:
    from tutortoietts.audio.mel import XTTS_N_FFT, conditioning_mel

    prompt, _ = tts.get_conditioning_latents(clip(2.0))
    source = tts._models.source
    with torch.no_grad():
        want = tts.autoregressive.conditioning(conditioning_mel(clip(2.0), source.mel_norms, XTTS_N_FFT))
    torch.testing.assert_close(prompt, want.flatten(1))


@pytest.mark.parametrize("language", ["de", "es-MX", "zh-cn", "ZH", "hi", "ja"])
def test_languages(language: str, tts: TextToSpeech) -> None:
    for module, needed in (("pypinyin", "zh"), ("cutlet", "ja")):
        if language.lower().startswith(needed):
            pytest.importorskip(module)
    assert len(tts.speak("a 5 b", language=language, seed=1).samples)
    assert not any(char.isdigit() for said in tts.say_as("a 7 b", language="de") for char in said["spoken"])


def test_normalize_off_is_the_original_cleaner(tts: TextToSpeech) -> None:
    (said,) = tts.say_as("Es waren 50. ", language="de", normalize=False)
    assert said["spoken"] == "es waren fünfzigste"
    (said,) = tts.say_as("Es waren 50. ", language="de")
    assert said["spoken"] == "es waren funfzig."  # the tiny vocabulary has no ü


def test_what_it_cannot_do_is_refused(tts: TextToSpeech, release: Path) -> None:
    with pytest.raises(OptionError, match="speaks en, en-US"):
        tts.speak(TEXT, language="sv")
    with pytest.raises(OptionError, match="has no diffusion"):
        tts.stream(TEXT, decoder="diffusion")
    with pytest.raises(OptionError, match="no diffusion"):
        tts.speak(TEXT, diffusion_iterations=10)
    with pytest.raises(OptionError, match=r"1\.\.1"):
        tts.speak_candidates(TEXT, 2)
    with pytest.raises(OptionError, match="latent_averaging_mode"):
        tts.speak(TEXT, voice=clip(), latent_averaging_mode=1)
    with pytest.raises(VoiceError, match="needs 1536 and 24"):
        tts.speak(TEXT, voice=Voice(name="x", model=tts.model, speaker=torch.zeros(1, 8)))
    with pytest.raises(OptionError, match="Tortoise family"):
        TextToSpeech(model=release, vocoder="univnet")


def test_long_text_is_split_below_the_token_limit(tts: TextToSpeech) -> None:
    spoken = tts.say_as("word word, word. " * 8)
    tokenizer = tts.tokenizer
    assert len(spoken) > 1 and all(tokenizer.count(piece["spoken"]) < tokenizer.limit for piece in spoken)


def test_words_have_times(tts: TextToSpeech) -> None:
    words = tts.speak(TEXT, seed=3).words
    assert [word.word for word in words] == ["hello", "there", "5", "cats"]
    assert all(0 <= word.start <= word.end for word in words)


def test_heads_of_a_calibration_are_used(tmp_path: Path) -> None:
    folder = make_tiny_release(tmp_path / "calibrated")
    (folder / "alignment.json").write_text('{"heads": [[1, 0]]}', encoding="utf-8")
    calibrated = TextToSpeech(model=folder, device="cpu")
    assert calibrated.spec.alignment.heads == ((1, 0),)
    assert any(word.confidence > 0 for word in calibrated.speak(TEXT, seed=3).words)
    (folder / "alignment.json").write_text('{"heads": [[1]]}', encoding="utf-8")
    with pytest.raises(ModelError, match=r"alignment\.json.*calibrate again"):
        TextToSpeech(model=folder)


def test_voices_of_another_model_are_refused(tts: TextToSpeech, tmp_path: Path) -> None:
    other = TextToSpeech(model=make_tiny_release(tmp_path / "other"), device="cpu")
    voice = other._voices.voice("Ana Example", None)[0]
    with pytest.raises(VoiceError, match="was made for"):
        tts.speak(TEXT, voice=voice)


def test_a_folder_that_is_not_whole(release: Path, tmp_path: Path) -> None:
    folder = make_tiny_release(tmp_path / "broken")
    (folder / "model.pth").unlink()
    with pytest.raises(ModelError, match=r"model\.pth"):
        TextToSpeech(model=folder)
    (folder / "vocab.json").write_text("{}")
    with pytest.raises(ModelError, match=r"vocab\.json"):
        TextToSpeech(model=folder)


def test_the_public_release_asks_for_agreement_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("TUTORTOIETTS_ACCEPT_CPML", raising=False)
    with pytest.raises(FetchError, match="non-commercial"):
        TextToSpeech(model="xtts-v2")


def test_int8_speaks(release: Path) -> None:
    speech = TextToSpeech(model=release, device="cpu", precision="int8").speak(TEXT, seed=3)
    assert bool(speech.samples.isfinite().all()) and len(speech.samples) > 1000


def test_the_family_of_a_release(release: Path) -> None:
    source = open_source(release)
    assert family_of(source.spec) is XTTS_FAMILY and open_source(source) is source
    assert source.spec.presets["xtts"]["repetition_penalty"] == 5.0
