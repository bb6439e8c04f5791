"""Import lines and calls of scripts written for the original."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.torch import save_file

from tutortoietts.api import TextToSpeech
from tutortoietts.core.config import ClassifierConfig
from tutortoietts.core.errors import AudioError, FetchError, OptionError
from tutortoietts.engine import detect as detect_room
from tutortoietts.engine.detect import classify, detect
from tutortoietts.models.classifier import Classifier

LINES = """
from tortoise.api import TextToSpeech, MODELS_DIR, pick_best_batch_size_for_gpu, classify_audio_clip, \
format_conditioning, TorchMelSpectrogram
from tortoise.api_fast import TextToSpeech
from tortoise.utils.audio import load_audio, load_voice, load_voices, get_voices, get_voice_dir, BUILTIN_VOICES_DIR, \
wav_to_univnet_mel, load_wav_to_torch
from tortoise.utils.text import split_and_recombine_text
from tortoise.utils.tokenizer import VoiceBpeTokenizer
from tortoise.utils.device import get_device
from tortoise.models.vocoder import UnivNetGenerator, BigVGAN
from tortoise.models.diffusion_decoder import DiffusionTts
from tortoise.models.autoregressive import UnifiedVoice
from tortoise.models.clvp import CLVP
from tortoise.do_tts import do_tts_app
from tortoise.read import read_app
"""


@pytest.mark.parametrize("line", LINES.strip().splitlines())
def test_import_lines_hold(line: str) -> None:
    exec(line, {})


@pytest.fixture(scope="module")
def tts(tiny_model: Path) -> TextToSpeech:
    return TextToSpeech(tiny_model, device="cpu")


@pytest.mark.parametrize("seed", [numpy.int64(3), numpy.uint32(3), 3.0, numpy.float64(3), torch.tensor(3)])
def test_numbers_of_other_libraries(tts: TextToSpeech, seed: object) -> None:
    want = tts.tts("Hi.", use_deterministic_seed=3, num_autoregressive_samples=2, temperature=0.5, verbose=False)
    tuned = {"num_autoregressive_samples": numpy.int64(2), "temperature": numpy.float32(0.5)}
    assert torch.equal(tts.tts("Hi.", use_deterministic_seed=seed, verbose=False, **tuned), want)
    assert len(tts.tts("Hi.", k=numpy.int32(2), num_autoregressive_samples=2.0, verbose=False)) == 2


@pytest.mark.parametrize("options", [{"use_deterministic_seed": 2.5}, {"num_autoregressive_samples": 1.5}, {"k": "1"}])
def test_other_things_are_no_numbers(tts: TextToSpeech, options: dict) -> None:
    with pytest.raises(OptionError, match="must be an integer"):
        tts.tts("Hi.", verbose=False, **options)


def test_options_of_the_original_decoder(tts: TextToSpeech) -> None:
    assert tts.tts("Hi.", verbose=False, do_sample=True, typical_sampling=False, num_beams=1).shape[0] == 1
    for options, remedy in (
        ({"typical_sampling": True}, "use top_p and top_k"),
        ({"do_sample": False}, "top_k=1 takes the likeliest"),
        ({"num_return_sequences": 4}, "num_autoregressive_samples"),
    ):
        with pytest.raises(OptionError, match=remedy):
            tts.tts_with_preset("Hi.", preset="ultra_fast", verbose=False, **options)


def test_voices_by_their_folders() -> None:
    from tortoise.utils.audio import BUILTIN_VOICES_DIR, get_voice_dir, get_voices

    voices = get_voices()
    assert "joe" in voices and all(Path(file).is_file() for files in voices.values() for file in files)
    assert Path(BUILTIN_VOICES_DIR).is_dir() and get_voice_dir().endswith("voices")


def test_mels_and_batch_sizes(tmp_path: Path) -> None:
    from tortoise.api import TorchMelSpectrogram, format_conditioning, pick_best_batch_size_for_gpu
    from tortoise.utils.audio import wav_to_univnet_mel

    save_file({"mel_norms": torch.full((80,), 2.0)}, tmp_path / "mel_norms.safetensors")
    noise = 0.1 * torch.randn(1, 22050)
    mel = TorchMelSpectrogram(tmp_path / "mel_norms.safetensors")(noise[:, None])
    assert mel.shape == (1, 80, 87)
    with pytest.raises(OptionError, match="hop_length is 300, but here it has 256 only"):
        TorchMelSpectrogram(tmp_path / "mel_norms.safetensors", hop_length=300)
    assert pick_best_batch_size_for_gpu() >= 1
    assert wav_to_univnet_mel(noise).shape == (1, 100, 87) and wav_to_univnet_mel(noise, True).abs().max() <= 1.1
    with pytest.raises(FetchError):
        format_conditioning(noise)


def test_the_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = (
        Classifier(ClassifierConfig(embedding_dim=32, base_channels=8, depth=3, attn_blocks=1))
        .eval()
        .requires_grad_(False)
    )
    clip = 0.1 * torch.randn(1, 30_000)
    want = float(model(clip[None]).softmax(-1)[0, 0])
    assert classify(model, clip) == pytest.approx(want) and 0 < want < 1
    with pytest.raises(FetchError, match="classifier"):
        detect(clip)
    monkeypatch.setattr(detect_room, "fetch", lambda *_: tmp_path)
    monkeypatch.setattr(detect_room, "_classifier", lambda *_: model)
    assert detect(clip[0]) == pytest.approx(want)
    with pytest.raises(AudioError, match="too short to classify"):
        detect(clip[:, :100])
    with pytest.raises(AudioError, match="not finite"):
        detect(clip * torch.nan)


def test_do_tts_and_read(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("One two.|Three.", encoding="utf-8")
    common = ["--model", str(tiny_model), "--voice", "anna&ben", "--preset", "tiny", "--seed", "1"]
    for command in (
        ["tortoise.do_tts", "--text", "One two.", "--candidates", "2", "--output_path", "out", *common],
        ["tortoise.read", "--textfile", "text.txt", "--output_path", "long", *common],
    ):
        done = subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    made = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.wav"))
    assert made == [
        *(f"long/anna&ben/{name}.wav" for name in ("0", "1", "combined")),
        *(f"out/anna&ben_0_{number}.wav" for number in (0, 1)),
    ]
