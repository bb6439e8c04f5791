"""`TextToSpeech` as scripts use it, on a tiny model: results, seeds, options honoured or refused, old names."""

from __future__ import annotations

import inspect
import logging
import shutil
import threading
from pathlib import Path

import pytest
import torch

import tortoise.api
import tortoise.utils.audio
from tortoise.models.diffusion_decoder import DiffusionTts
from tortoise.models.vocoder import BigVGAN
from tutortoietts.api import TextToSpeech
from tutortoietts.audio.io import save_audio
from tutortoietts.core.errors import Cancelled, FetchError, ModelError, OptionError, TextError, VoiceError
from tutortoietts.core.presets import known_names

TEXT = "One two three."


@pytest.fixture(scope="module")
def tts(tiny_model: Path) -> TextToSpeech:
    return TextToSpeech(model=tiny_model)


def say(tts: TextToSpeech, text: str = TEXT, **options):
    return tts.tts(text, **{"use_deterministic_seed": 1, "verbose": False, **options})


def test_the_shape_of_a_result(tts: TextToSpeech) -> None:
    wave = say(tts)
    assert wave.shape[:2] == (1, 1) and wave.shape[2] % 256 == 0
    assert wave.dtype == torch.float32 and wave.device.type == "cpu" and not wave.is_inference()
    assert wave.abs().max() <= 1
    assert wave.squeeze(0).cpu().shape[0] == 1  # what old scripts give to their save function
    two = say(tts, k=2)
    assert isinstance(two, list) and len(two) == 2
    assert all(reading.shape[:2] == (1, 1) for reading in two)


def test_the_same_seed_is_the_same_sound(tts: TextToSpeech, tiny_model: Path) -> None:
    first = say(tts)
    state = torch.get_rng_state()
    assert torch.equal(first, say(tts)) and torch.equal(first, say(TextToSpeech(model=tiny_model)))
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's random numbers are touched
    other = say(tts, use_deterministic_seed=2)
    assert other.shape != first.shape or not torch.equal(other, first)


def test_the_state_reproduces_a_result(tts: TextToSpeech) -> None:
    wave, (seed, text, samples, latents) = say(
        tts, use_deterministic_seed=None, return_deterministic_state=True, voice_samples="ben"
    )
    assert torch.equal(wave, say(tts, text, use_deterministic_seed=seed, voice_samples=samples))
    assert latents is None


def test_presets(tts: TextToSpeech) -> None:
    wave = tts.tts_with_preset(TEXT, preset="tiny", use_deterministic_seed=1, verbose=False)
    assert torch.equal(wave, say(tts))  # the model's own default
    assert tts.default_preset == "tiny" and {"tiny", "fast", "ultra_fast_optimized"} <= set(tts.presets)
    other = tts.tts_with_preset("test", preset="ultra_fast", verbose=False, diffusion_iterations=1)
    assert other.shape[:2] == (1, 1)
    assert tts.last_report is not None and tts.last_report.candidates == 16
    assert inspect.signature(tts.tts_with_preset).parameters["preset"].default == "fast"


def test_every_option_of_the_issue_is_taken(tts: TextToSpeech) -> None:
    wave = say(
        tts,
        num_autoregressive_samples=3,
        temperature=0.7,
        length_penalty=1.5,
        repetition_penalty=2.5,
        top_p=0.9,
        top_k=20,
        max_mel_tokens=8,
        cvvp_amount=0.0,
        diffusion_iterations=3,
        cond_free=True,
        cond_free_k=1.5,
        diffusion_temperature=0.9,
        sampler="ddim",
        latent_averaging_mode=0,
    )
    assert wave.shape[:2] == (1, 1)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 3.0},
        {"repetition_penalty": 9.0},
        {"top_k": 1},
        {"top_p": 0.01},
        {"max_mel_tokens": 5},
        {"num_autoregressive_samples": 1},
        {"diffusion_iterations": 5},
        {"cond_free": False},
        {"cond_free_k": 9.0},
        {"diffusion_temperature": 0.2},
        {"sampler": "ancestral"},
        {"sampler": "unipc"},
        {"diffusion_spacing": "uniform"},
        {"diffusion_start": "regressed"},
        {"voice_samples": "ben"},
    ],
    ids=str,
)
def test_options_change_the_sound(tts: TextToSpeech, options: dict) -> None:
    usual = {"num_autoregressive_samples": 4, "sampler": "dpm++2m", "diffusion_iterations": 3, "max_mel_tokens": 9}
    for seed in range(8):
        first = say(tts, **usual, use_deterministic_seed=seed)
        other = say(tts, **{**usual, **options}, use_deterministic_seed=seed)
        if first.shape != other.shape or not torch.allclose(first, other, atol=1e-6):
            return
    pytest.fail(f"{options} changes nothing")


def test_a_streamed_start_is_another_sound(streaming_model: Path) -> None:
    tts = TextToSpeech(model=streaming_model)
    usual = {"sampler": "dpm++2m", "min_mel_tokens": 9, "max_mel_tokens": 9}
    first, regressed = (say(tts, diffusion_start=start, **usual) for start in ("streamed", "regressed"))
    alone = say(tts, diffusion_start="streamed", **{**usual, "diffusion_iterations": 0})
    assert first.shape == regressed.shape == alone.shape
    assert not torch.allclose(first, regressed, atol=1e-6) and not torch.allclose(first, alone, atol=1e-6)


def test_attributes_are_readable_and_models_replaceable(tiny_model: Path) -> None:
    tts = TextToSpeech(model=tiny_model, kv_cache=False, half=True, device="cpu")
    assert (tts.kv_cache, tts.half, tts.use_deepspeed, tts.device) == (False, True, False, torch.device("cpu"))
    assert tts.autoregressive.mel_head.weight.dtype == torch.bfloat16
    assert say(tts).isfinite().all()

    class Silence(torch.nn.Module):
        def forward(self, mel: torch.Tensor) -> torch.Tensor:
            return torch.zeros(mel.shape[0], 1, mel.shape[2] * 256)

    tts.vocoder = Silence()
    assert say(tts).abs().max() == 0 and isinstance(tts.vocoder, Silence)
    with pytest.raises(OptionError, match=r"tts\.diffusion must be a torch\.nn\.Module, not a str"):
        tts.diffusion = "small"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when its compiler is imported
def test_a_compiled_model_may_take_the_place_of_ours(tiny_model: Path, tts: TextToSpeech) -> None:
    own = TextToSpeech(model=tiny_model)
    own.autoregressive = torch.compile(own.autoregressive, backend="eager")
    torch.testing.assert_close(say(own), say(tts), rtol=0, atol=1e-4)  # ours adds in another order, in `accelerate.gpt`


def test_deepspeed_is_warned_of_once(tiny_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tutortoietts"):
        tts = TextToSpeech(model=tiny_model, use_deepspeed=True, kv_cache=True, half=True, cpu_offload=True)
        assert sum("use_deepspeed" in record.message for record in caplog.records) == 1
        wave = tts.tts_with_preset("test", preset="ultra_fast", verbose=False)
    assert sum("use_deepspeed" in record.message for record in caplog.records) == 1
    assert tts.use_deepspeed and wave.isfinite().all()


def test_streaming(tts: TextToSpeech) -> None:
    text = "The first sentence is this one here now. The second one follows the first. And a third."
    chunks = list(tts.tts_stream(text, use_deterministic_seed=1))
    assert len(chunks) > 1
    assert all(chunk.ndim == 1 and chunk.dtype == torch.float32 for chunk in chunks)
    again = tts.tts_stream(text, use_deterministic_seed=1, preset="tiny")
    assert torch.equal(next(again), chunks[0])
    again.close()
    for refused in ({"k": 2}, {"sampler": "fast"}, {"preset": "none"}, {"max_mel_tokens": 61}):
        with pytest.raises(OptionError):
            tts.tts_stream(text, **refused)
    with pytest.raises(TextError):
        tts.tts_stream("")


def test_streaming_from_latents(streaming_model: Path) -> None:
    tts = TextToSpeech(model=streaming_model)
    text = "The first sentence is this one here now. The second one follows the first. And a third."
    chunks = list(tts.tts_stream(text, use_deterministic_seed=1))
    assert all(chunk.ndim == 1 and chunk.dtype == torch.float32 and not chunk.is_inference() for chunk in chunks)
    report = tts.last_report
    assert report is not None and report.candidates == 1 and {"codes", "decoder"} <= report.stages.keys()
    assert report.audio_seconds == sum(map(len, chunks)) / 24000
    other = torch.cat(list(tts.tts_stream(text, use_deterministic_seed=1, stream_chunk_size=3)))
    torch.testing.assert_close(other, torch.cat(chunks), rtol=0, atol=1e-5)
    plain = list(tts.tts_stream(text, use_deterministic_seed=1, decoder="diffusion", num_autoregressive_samples=2))
    assert tts.last_report is not None and "diffusion" in tts.last_report.stages and len(plain) > 1
    speaker, _ = tts.get_conditioning_latents("anna")
    assert next(tts.tts_stream(text, conditioning_latents=(speaker, None), use_deterministic_seed=1)).isfinite().all()


def test_the_codes_of_a_stream_are_those_of_one_candidate(
    streaming_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tts, seen = TextToSpeech(model=streaming_model), []
    monkeypatch.setattr(tts.autoregressive, "mel_logits", _noting(tts.autoregressive.mel_logits, seen))
    list(tts.tts_stream("One two three.", use_deterministic_seed=4, preset="fast", max_mel_tokens=10))
    streamed = torch.cat(seen)
    seen.clear()
    whole = {"num_autoregressive_samples": 1, "diffusion_iterations": 1, "max_mel_tokens": 10}
    tts.tts_with_preset("One two three.", preset="fast", use_deterministic_seed=4, verbose=False, **whole)
    torch.testing.assert_close(streamed, torch.cat(seen))


def _noting(function, seen: list[torch.Tensor]):
    def noted(hidden: torch.Tensor) -> torch.Tensor:
        seen.append(hidden.clone())
        return function(hidden)

    return noted


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_autoregressive_samples": 4}, 'num_autoregressive_samples is 4, .* give decoder="diffusion"'),
        ({"k": 2}, "k must be 1"),
        ({"cvvp_amount": 0.5}, "ranks none"),
        ({"diffusion_iterations": 5}, "diffusion_iterations is 5, but a stream from latents has no diffusion"),
        ({"sampler": "ddim"}, "sampler is 'ddim'"),
        ({"decoder": "diffusion", "stream_chunk_size": 8}, "remove them"),
        ({"decoder": "both"}, "decoder is 'both'"),
        ({"stream_chunk_size": 0}, "stream_chunk_size is 0"),
        ({"max_mel_tokens": 61}, "max_mel_tokens is 61"),
    ],
)
def test_a_stream_refuses_what_it_cannot_do(streaming_model: Path, options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TextToSpeech(model=streaming_model).tts_stream(TEXT, **options)


def test_a_model_without_a_streaming_decoder_says_so(tts: TextToSpeech) -> None:
    with pytest.raises(OptionError, match="has no streaming decoder"):
        tts.tts_stream(TEXT, decoder="stream")
    with pytest.raises(OptionError, match="remove them"):
        tts.tts_stream(TEXT, stream_chunk_size=4)


def test_conditioning_latents(tts: TextToSpeech, tmp_path: Path) -> None:
    clip = torch.sin(torch.arange(40000) * 0.05)[None] * 0.3
    speaker, diffusion = tts.get_conditioning_latents([clip])
    assert speaker.shape == (1, 64) and diffusion.shape == (1, 128)
    direct = say(tts, voice_samples=[clip])
    assert torch.equal(direct, say(tts, conditioning_latents=(speaker, diffusion)))
    path = save_audio(tmp_path / "a.wav", clip, 22050)
    assert tts.get_conditioning_latents(str(path))[0].shape == (1, 64)
    *_, mels = tts.get_conditioning_latents([clip, clip], return_mels=True)
    assert mels.shape[:3] == (1, 2, 80)
    with pytest.raises(OptionError, match="has no clips"):
        tts.get_conditioning_latents("anna", return_mels=True)
    one, two = tts.get_random_conditioning_latents(), tts.get_random_conditioning_latents()
    assert not torch.equal(one[0], two[0])
    assert say(tts, conditioning_latents=one).shape[:2] == (1, 1)


def test_long_text_is_spoken_in_passages(tts: TextToSpeech) -> None:
    text = "All these words are said, one after the other. " * 6
    wave = say(tts, text, max_mel_tokens=4, num_autoregressive_samples=1)
    assert tts.last_report is not None and tts.last_report.passages > 5
    short = say(tts, "All these words", max_mel_tokens=4, num_autoregressive_samples=1)
    assert wave.shape[-1] > 4 * short.shape[-1]


def test_brackets(tts: TextToSpeech, tiny_model: Path) -> None:
    # with this seed the random model draws enough sound to cut
    plain, cut = (say(tts, text, use_deterministic_seed=6) for text in ("so sad, feed me", "[so sad,] feed me"))
    assert 0 < cut.shape[-1] < plain.shape[-1]
    heard = TextToSpeech(model=tiny_model, enable_redaction=False)
    assert torch.equal(say(heard, "[so sad,] feed me", use_deterministic_seed=6), plain)
    with pytest.raises(TextError, match="all of the text is in"):
        say(tts, "[hush]")


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "nothing to say"), ("   \n", "nothing to say"), ("?!... --", "nothing to say"), ("\0", "nothing to say")],
)
def test_text_that_says_nothing(tts: TextToSpeech, text: str, says: str) -> None:
    with pytest.raises(TextError, match=says):
        say(tts, text)


@pytest.mark.parametrize("text", ["Привет", "one\0two", "[unpaired", "a" * 700, "😀 fine"])
def test_odd_text_is_spoken(tts: TextToSpeech, text: str) -> None:
    assert say(tts, text, max_mel_tokens=3, num_autoregressive_samples=1).shape[-1] > 0


def test_text_must_be_text(tts: TextToSpeech) -> None:
    with pytest.raises(TextError, match="text is a bytes"):
        say(tts, b"hello")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"temprature": 1.0}, TypeError, "unknown option 'temprature'; did you mean 'temperature'"),
        ({"voice_sample": "anna"}, TypeError, "did you mean 'voice_samples'"),
        ({"k": 5}, OptionError, r"k is 5, outside 1\.\.2"),
        ({"max_mel_tokens": 61}, OptionError, r"max_mel_tokens is 61, outside 1\.\.60"),
        ({"sampler": "euler"}, OptionError, "sampler is 'euler', must be one of"),
        ({"cvvp_amount": 0.5}, OptionError, "the model 'tiny' has no cvvp; use model='tortoise-v2'"),
        ({"voice_samples": "nobody"}, VoiceError, "no voice named 'nobody'"),
        ({"use_deterministic_seed": 1.5}, OptionError, "use_deterministic_seed is 1.5"),
        ({"k": 1.5}, OptionError, r"k is 1\.5, must be an integer"),
        ({"k": "2"}, OptionError, "k is '2', must be an integer"),
        ({"num_autoregressive_samples": 10**400}, OptionError, r"is enormous, outside 1\.\.4096"),
        ({"voice_samples": 123}, OptionError, "voice_samples is a int, must be a voice's name"),
        ({"voice_samples": [None]}, OptionError, "voice_samples holds a NoneType, must be"),
        ({"diffusion_start_step": 9}, OptionError, "diffusion_start_step is 9, but diffusion_start is 'noise'"),
        ({"diffusion_start": "streamed"}, OptionError, "the model 'tiny' has no small streaming decoder"),
        ({"cond_free": False, "cond_free_from": 9}, OptionError, "cond_free_from is 9, but cond_free is False"),
        ({"voice_samples": "random", "latent_averaging_mode": 1}, OptionError, "a random voice has no clips"),
    ],
)
def test_bad_options_are_refused(tts: TextToSpeech, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        say(tts, **options)
    with pytest.raises(error, match=message):
        tts.tts_with_preset(TEXT, preset="tiny", verbose=False, **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "nowhere"}, ModelError, "there is no nowhere"),
        ({"device": "quantum"}, OptionError, "device 'quantum' cannot be used here"),
        ({"autoregressive_batch_size": 0}, OptionError, "autoregressive_batch_size is 0"),
        ({"high_vram": True, "cpu_offload": True}, OptionError, "give one of them"),
        ({"vocoder": "hifi"}, OptionError, "vocoder is 'hifi'"),
        ({"ar_checkpoint": "gone.pth"}, ModelError, r"gone\.pth: there is no such file"),
        ({"tokenizer_vocab_file": "gone.json"}, ModelError, r"gone\.json: there is no such file"),
        ({"autoregressive_batch_size": "4"}, OptionError, "autoregressive_batch_size is '4', must be an integer"),
        ({"device": "meta"}, OptionError, "device 'meta' cannot be used here"),
        ({"model": None}, OptionError, "model is None, must be"),
        ({"models_dir": "gone"}, OptionError, "models_dir 'gone' does not exist"),
        ({"model": "~nobody-here"}, OptionError, "home folder '~nobody-here' is not known"),
        ({"models_dir": "~nobody-here/x"}, OptionError, "home folder '~nobody-here' is not known"),
        ({"clvp_checkpoint": "~nobody-here/x.pth"}, OptionError, "home folder '~nobody-here' is not known"),
        ({"tokenizer_vocab_file": "~nobody-here/x"}, OptionError, "home folder '~nobody-here' is not known"),
    ],
)
def test_bad_arguments_are_refused(tiny_model: Path, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TextToSpeech(**{"model": tiny_model, **options})


def test_the_public_model_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"tokenizer\.json"):
        TextToSpeech(model="tortoise-v2", models_dir=tmp_path)


def test_other_checkpoints_are_used(tiny_model: Path, tmp_path: Path, tts: TextToSpeech) -> None:
    other = shutil.copy(tiny_model / "autoregressive.safetensors", tmp_path / "other.safetensors")
    same = TextToSpeech(model=tiny_model, ar_checkpoint=other)
    assert same.model != tts.model  # its voices are not taken for those of the usual weights
    latents = tts.get_conditioning_latents("anna")
    assert torch.equal(say(same, conditioning_latents=latents), say(tts))


def test_progress_goes_to_stderr(tts: TextToSpeech, capsys: pytest.CaptureFixture[str]) -> None:
    say(tts, verbose=True)
    assert capsys.readouterr().out == ""


def test_the_report(tts: TextToSpeech) -> None:
    wave = say(tts)
    report = tts.last_report
    assert report is not None and report.seed == 1 and report.passages == 1
    assert report.audio_seconds == wave.shape[-1] / 24000
    assert report.real_time_factor == pytest.approx(report.seconds / report.audio_seconds)


def test_every_tuning_option_is_documented() -> None:
    from tutortoietts.core.presets import SpeechOptions

    assert all(f"`{name}`" in (SpeechOptions.__doc__ or "") for name in known_names())


def test_old_names(tts: TextToSpeech, tmp_path: Path) -> None:
    assert tortoise.api.TextToSpeech is TextToSpeech
    path = save_audio(tmp_path / "a.wav", torch.sin(torch.arange(30000) * 0.05)[None] * 0.3, 22050)
    assert tortoise.utils.audio.load_audio(str(path), 22050).shape == (1, 30000)
    assert tortoise.utils.audio.load_voice("random") == (None, None)
    with pytest.raises(FetchError, match="bigvgan_base"):
        BigVGAN()
    with pytest.raises(OptionError, match="no public BigVGAN 'small'"):
        BigVGAN("small")
    small = DiffusionTts(model_channels=64, num_layers=1, in_latent_channels=32, use_fp16=False, num_heads=2)
    assert small.cfg.model_channels == 64
    with pytest.raises(ModelError, match="did you mean 'model_channels'"):
        DiffusionTts(model_chanels=64)


def test_concurrent_calls_share_a_batch_and_sound_as_alone(streaming_model: Path) -> None:
    """Whole clips and streams from several threads; the batch is smaller than all their candidates."""
    alone, shared = TextToSpeech(streaming_model, device="cpu"), TextToSpeech(streaming_model, shared_batch_rows=4)
    texts = ["One two three.", "Four.", "Five six seven eight.", "Nine ten."]
    found: dict[int, torch.Tensor] = {}

    def clip(tts: TextToSpeech, number: int) -> torch.Tensor:
        return tts.speak(texts[number], seed=number).samples

    def stream(tts: TextToSpeech, number: int) -> torch.Tensor:
        return torch.cat(list(tts.stream(texts[number], seed=number)))

    jobs = [clip, stream, clip, stream]
    threads = [
        threading.Thread(target=lambda n=number: found.update({n: jobs[n](shared, n)})) for number in range(len(jobs))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, job in enumerate(jobs):
        torch.testing.assert_close(found[number], job(alone, number), rtol=0, atol=1e-6)
    with pytest.raises(OptionError, match="shared_batch_rows is 1, must be an integer"):
        TextToSpeech(streaming_model, shared_batch_rows=1)


def test_every_way_to_speak_can_be_stopped(streaming_model: Path) -> None:
    tts, stop = TextToSpeech(streaming_model, device="cpu"), threading.Event()
    stop.set()
    for way in (tts.speak, tts.tts, tts.tts_with_preset):
        with pytest.raises(Cancelled):
            way("Hi.", stop=stop, verbose=False)
    for stream in (tts.stream("Hi.", stop=stop), tts.tts_stream("Hi.", stop=stop)):
        with pytest.raises(Cancelled):
            next(iter(stream))
    assert tts.speak("Hi.").seconds > 0
