"""Loudness against known signals and pyloudnorm; limiter, high-pass, stretch, FIR streams against references."""

from __future__ import annotations

import math

import pytest
import torch

from tutortoietts.audio.limiter import Limiter
from tutortoietts.audio.loudness import FirStream, Meter, TruePeak, highpass_taps, integrated_loudness, measure
from tutortoietts.audio.stretch import stretch, stretched_length
from tutortoietts.core.errors import OptionError


def sine(seconds: float, hertz: float, rate: int, level: float = 0.0) -> torch.Tensor:
    return 10 ** (level / 20) * torch.sin(torch.arange(round(seconds * rate)) * (2 * math.pi * hertz / rate))


def noise(seconds: float, rate: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(round(seconds * rate), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rate", [24000, 44100, 48000])
@pytest.mark.parametrize("level", [-20.0, -33.0])
def test_the_sine_of_the_standard(rate: int, level: float) -> None:
    """BS.1770: a sine of 997 Hz in one channel has its peak level less 3.01 dB as its loudness (ITU-R BS.2217)."""
    assert measure(sine(5, 997, rate, level), rate).lufs == pytest.approx(level - 3.01, abs=0.05)


def test_gates() -> None:
    """Silence and what is 10 LU under the rest do not count."""
    loud = sine(5, 997, 24000, -20)
    assert measure(torch.cat([loud, torch.zeros(24000 * 20)]), 24000).lufs == pytest.approx(-23.0, abs=0.15)
    assert measure(torch.zeros(24000), 24000).lufs == -200


@pytest.mark.parametrize("rate", [24000, 48000])
def test_against_pyloudnorm(rate: int) -> None:
    pyloudnorm = pytest.importorskip("pyloudnorm")
    wave = 0.2 * noise(12, rate) * (0.1 + sine(12, 0.3, rate).clamp(0))
    oracle = pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(wave.double().numpy())
    meter = Meter(rate)
    for block in wave.split(7777):  # type: ignore[no-untyped-call]
        meter.push(block)
    assert meter.result().lufs == pytest.approx(oracle, abs=0.01)


@pytest.mark.parametrize("seconds", [0.05, 1, 7.03])
def test_the_loudness_alone_is_that_of_the_meter(seconds: float) -> None:
    wave = noise(seconds, 24000) * 0.1
    assert integrated_loudness(wave, 24000) == pytest.approx(measure(wave, 24000).lufs, abs=1e-4)


def test_rms_floor_and_peak() -> None:
    quiet, loud = sine(1, 997, 24000, -70), sine(3, 997, 24000, -10)
    found = measure(torch.cat([loud, quiet, loud]), 24000)
    assert found.floor == pytest.approx(-73.0, abs=0.1)
    assert found.true_peak == pytest.approx(-10.0, abs=0.1)
    assert found.seconds == 7


def test_peaks_between_samples() -> None:
    """A sine of a quarter of the rate, sampled beside its peaks, is 3 dB higher than its samples."""
    wave = 0.5 * torch.sin(torch.arange(4800) * (math.pi / 2) + math.pi / 4)
    assert 20 * math.log10(float(wave.abs().max())) == pytest.approx(-9.03, abs=0.01)
    assert measure(wave, 48000).true_peak == pytest.approx(-6.02, abs=0.2)


def test_passing_over_quiet_stretches_changes_no_peak() -> None:
    wave = noise(3, 24000) * torch.linspace(0, 0.1, 3 * 24000)
    slow, quick = TruePeak(above=0.0), TruePeak()
    slow.push(wave)
    quick.push(wave)
    assert slow.flush() == quick.flush()


def test_fir_streams_are_convolutions() -> None:
    taps, wave = noise(0.01, 24000, 1).double(), noise(2, 24000, 2)
    whole = torch.nn.functional.conv1d(
        torch.nn.functional.pad(wave.double(), (len(taps) - 1, 0))[None, None], taps.flip(0)[None, None]
    )[0, 0]
    stream = FirStream(taps)
    blocks = [stream.push(block) for block in wave.split([5, 20000, 0, 1, 7994, 20000])]  # type: ignore[no-untyped-call]
    torch.testing.assert_close(torch.cat(blocks).double(), whole, atol=1e-4, rtol=0)


def test_highpass() -> None:
    stream = FirStream(highpass_taps(24000))
    kept, cut = (stream.push(sine(2, hertz, 24000))[24000:] for hertz in (200, 5))
    assert float(kept.square().mean()) == pytest.approx(0.5, rel=0.02)
    assert float(cut.square().mean()) < 0.005


@pytest.mark.parametrize("size", [1, 997, 24000])
def test_limiter(size: int) -> None:
    wave = noise(0.5 if size == 1 else 3, 24000) * 0.2
    wave[5], wave[-3] = 2.0, -2.0
    limiter = Limiter(24000, 0.5)
    blocks = [limiter.push(block) for block in wave.split(size)]  # type: ignore[no-untyped-call]
    out = torch.cat([*blocks, limiter.flush()])
    assert out.shape == wave.shape and limiter.reduced
    assert float(out.abs().max()) <= 0.5 + 1e-6
    assert measure(out, 24000).true_peak < 20 * math.log10(0.5) + 0.1
    gain = (out / wave)[wave.abs() > 0.05]
    assert float(gain.max()) <= 1 + 1e-6 and float(gain.min()) > 0.2


def test_limiter_leaves_quiet_sound_alone() -> None:
    wave, limiter = noise(1, 24000) * 0.01, Limiter(24000, 0.5)
    assert torch.equal(torch.cat([limiter.push(wave), limiter.flush()]), wave) and not limiter.reduced


@pytest.mark.parametrize("rate", [0.5, 0.8, 1.0, 1.25, 2.0])
def test_stretch(rate: float) -> None:
    wave = sine(3, 200, 24000, -6)
    out = stretch(wave, 24000, rate)
    assert len(out) == stretched_length(len(wave), rate) == round(len(wave) / rate)
    peak = int(torch.fft.rfft(out).abs().argmax()) * 24000 / len(out)
    assert peak == pytest.approx(200, abs=1)
    assert float(out.square().mean()) == pytest.approx(float(wave.square().mean()), rel=0.02)


def test_stretch_of_little_and_of_too_much() -> None:
    assert len(stretch(torch.zeros(10), 24000, 2.0)) == 5
    with pytest.raises(OptionError):
        stretch(torch.zeros(10), 24000, 5.0)
