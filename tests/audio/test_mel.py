"""Mels and the conditioning resampler against the recorded ones."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tutortoietts.audio.mel import conditioning_mel, denormalize_mel, diffusion_mel, normalize_mel
from tutortoietts.audio.resample import resample_sinc
from tutortoietts.core.errors import AudioError, OptionError

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
GOLDEN = SHARED / "golden" / "audio_features.safetensors"
needs_shared = pytest.mark.skipif(not GOLDEN.exists(), reason=f"{GOLDEN} is not here")


def _error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).norm() / theirs.norm())


@needs_shared
def test_recorded_features() -> None:
    golden = load_file(GOLDEN)
    norms = load_file(SHARED / "audio" / "mel_norms.safetensors")["mel_norms"]
    wav24 = resample_sinc(golden["input.wav"], 22050, 24000)
    assert _error(wav24, golden["output.wav24"]) < 1e-5
    assert _error(conditioning_mel(golden["input.wav"], norms)[0], golden["output.mel80"]) < 1e-5
    assert _error(diffusion_mel(wav24), golden["output.mel100"]) < 1e-5
    assert _error(normalize_mel(diffusion_mel(wav24)), golden["output.normalized"]) < 1e-5


def test_a_tone_lands_in_its_bin() -> None:
    time = torch.arange(24000) / 24000
    mel = diffusion_mel(torch.sin(2 * math.pi * 500 * time)[None])[0]
    assert mel.shape == (100, 94)
    # slaney: 200/3 Hz a mel below 1000 Hz; 102 edges from 0 to 12000 Hz (51.15 mels) put 500 Hz at centre 13.8
    assert mel[:, 40].argmax() in (13, 14)


def test_batches_equal_rows_and_lone_clips() -> None:
    wav = torch.randn(3, 5000, generator=torch.Generator().manual_seed(0))
    for mel in (conditioning_mel, diffusion_mel):
        whole = mel(wav)
        assert whole.shape[0] == 3 and whole.shape[2] == 1 + 5000 // 256
        torch.testing.assert_close(whole[1:2], mel(wav[1]))


def test_norms_divide() -> None:
    wav = torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    norms = torch.linspace(1, 2, 80)
    torch.testing.assert_close(conditioning_mel(wav, norms) * norms[:, None], conditioning_mel(wav))
    with pytest.raises(OptionError, match=r"shape \(79,\), must be \(80,\)"):
        conditioning_mel(wav, norms[1:])


def test_silence_is_the_floor_and_normalises_to_minus_one() -> None:
    mel = diffusion_mel(torch.zeros(1, 4000))
    assert torch.allclose(mel, torch.tensor(1e-5).log())
    torch.testing.assert_close(normalize_mel(mel), torch.full_like(mel, -1.0), atol=1e-5, rtol=0)


def test_normalising_is_undone() -> None:
    mel = torch.linspace(-11.5, 2.3, 100)[None, :, None]
    torch.testing.assert_close(denormalize_mel(normalize_mel(mel)), mel, atol=1e-5, rtol=1e-5)


def test_gradients_flow_even_after_inference_asked_first() -> None:
    with torch.inference_mode():
        diffusion_mel(torch.zeros(1, 1024))
    wav = (torch.randn(1, 2048, generator=torch.Generator().manual_seed(0)) * 0.1).requires_grad_()
    diffusion_mel(wav).sum().backward()
    assert wav.grad is not None and bool(wav.grad.isfinite().all()) and float(wav.grad.abs().sum()) > 0


def test_what_is_no_clip() -> None:
    with pytest.raises(AudioError, match="512 samples is too short for a mel: give more than 512"):
        diffusion_mel(torch.zeros(1, 512))
    with pytest.raises(OptionError, match=r"\(1, 1, 4000\), must be \(batch, samples\)"):
        conditioning_mel(torch.zeros(1, 1, 4000))


@pytest.mark.parametrize(("source", "target"), [(22050, 24000), (44100, 22050), (48000, 22050), (8000, 22050)])
def test_resampling_keeps_length_and_tone(source: int, target: int) -> None:
    time = torch.arange(source // 2 + 17, dtype=torch.float64) / source
    wav = torch.sin(2 * math.pi * 440 * time).float()[None]
    out = resample_sinc(wav, source, target)
    assert out.shape == (1, -(-wav.shape[-1] * target // source))
    wanted = torch.sin(2 * math.pi * 440 * torch.arange(out.shape[-1], dtype=torch.float64) / target).float()
    inner = slice(target // 100, -target // 100)
    assert float((out[0] - wanted)[inner].abs().max()) < 0.01


def test_resampling_edges() -> None:
    wav = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0))
    assert resample_sinc(wav, 16000, 16000).equal(wav)
    together = resample_sinc(wav, 22050, 24000)
    assert together.shape == (2, 3, 55)
    torch.testing.assert_close(together[1, 2], resample_sinc(wav[1, 2], 22050, 24000))
    assert resample_sinc(torch.zeros(1, 0), 22050, 24000).shape == (1, 0)
    with pytest.raises(OptionError, match="must be positive"):
        resample_sinc(wav, 0, 24000)
    with pytest.raises(OptionError, match="filter phases, limit 4096"):
        resample_sinc(wav, 22051, 24000)
