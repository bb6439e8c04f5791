"""Joins without clicks, pauses of the stated length, and cuts."""

from __future__ import annotations

import math

import pytest
import torch

from tutortoietts.audio.stitch import fade, join, remove_spans, trim
from tutortoietts.core.errors import AudioError, OptionError

RATE = 24000


def hum(seconds: float = 0.5) -> torch.Tensor:
    """(1, N), loud from the first sample to the last: a cosine of 200 Hz."""
    return 0.8 * torch.cos(2 * math.pi * 200 * torch.arange(round(seconds * RATE)) / RATE)[None]


def largest_step(wav: torch.Tensor) -> float:
    return float(wav.diff(dim=-1).abs().max())


def test_hard_joins_click_and_ours_do_not() -> None:
    parts = [hum(), hum(0.3), hum(0.2)]
    silence = torch.zeros(1, 1000)
    hard = torch.cat([parts[0], silence, parts[1], silence, parts[2]], -1)
    assert largest_step(hard) > 0.5
    assert largest_step(join(parts, RATE)) <= largest_step(hum()) * 1.1


def test_pauses_are_what_they_say() -> None:
    parts = [hum(), hum(0.3), hum(0.2)]
    assert join(parts, RATE, pause_seconds=[0.1, 0.4]).shape == (1, round(1.5 * RATE))
    padded = [torch.nn.functional.pad(part, (RATE, RATE)) for part in parts]
    joined = join(padded, RATE, pause_seconds=0.25)
    inner = joined[0, RATE + RATE // 2 :]  # after the first part, whose leading silence is trimmed too
    assert joined.shape[-1] == pytest.approx(RATE * (1.0 + 0.5 + 6 * 0.05), abs=6 * 240)
    assert float(inner.abs().max()) > 0.5


def test_join_keeps_every_sample_of_untrimmed_parts() -> None:
    parts = [hum(), torch.zeros(1, 100), hum()]
    assert join(parts, RATE, pause_seconds=0, trimmed=False).shape[-1] == sum(part.shape[-1] for part in parts)


def test_one_part_is_left_alone() -> None:
    part = hum()
    assert join([part], RATE) is part


def test_the_outer_edges_are_not_faded_by_a_join() -> None:
    joined = join([hum(), hum()], RATE)
    assert float(joined[0, 0]) == pytest.approx(0.8)


def test_batches_and_types_go_through() -> None:
    parts = [hum().expand(2, 1, -1).double(), hum(0.1).expand(2, 1, -1).double()]
    joined = join(parts, RATE)
    assert joined.shape[:2] == (2, 1) and joined.dtype == torch.float64


def test_bad_joins() -> None:
    with pytest.raises(AudioError, match="at least one part"):
        join([], RATE)
    with pytest.raises(AudioError, match="shapes"):
        join([hum(), hum()[None]], RATE)
    for pause in (-0.1, [0.1], [0.1, 0.1, 0.1], [0.1, -0.1]):
        with pytest.raises(OptionError, match="do not fit 3 parts"):
            join([hum()] * 3, RATE, pause_seconds=pause)


def test_fade_reaches_zero_and_leaves_the_middle() -> None:
    wav = hum()
    faded = fade(wav, RATE, seconds_in=0.01, seconds_out=0.02)
    assert float(faded[0, 0]) == 0 and abs(float(faded[0, -1])) < 1e-6
    assert torch.equal(faded[0, 240:-480], wav[0, 240:-480])
    assert float(wav[0, 0]) == pytest.approx(0.8), "the input is not touched"


@pytest.mark.parametrize("samples", range(7))
def test_fades_of_tiny_clips(samples: int) -> None:
    faded = fade(torch.ones(1, samples), RATE)
    assert faded.shape == (1, samples)
    assert samples == 0 or float(faded[0, 0]) == 0


def test_fades_must_not_be_negative() -> None:
    with pytest.raises(OptionError, match="must not be negative"):
        fade(hum(), RATE, seconds_in=-1)


def test_trim_cuts_silence_but_no_speech() -> None:
    wav = torch.nn.functional.pad(hum(), (RATE, 2 * RATE))
    wav = wav + 1e-4 * torch.randn(wav.shape, generator=torch.Generator().manual_seed(0))
    short = trim(wav, RATE, keep_seconds=0.0)
    assert RATE // 2 <= short.shape[-1] <= RATE // 2 + 480
    assert trim(wav, RATE, keep_seconds=0.1).shape[-1] == pytest.approx(short.shape[-1] + 4800)
    assert trim(wav, RATE, keep_seconds=10).shape == wav.shape


def test_trim_keeps_quiet_inner_parts_and_silence_alone() -> None:
    wav = torch.cat([hum(), torch.zeros(1, RATE), hum()], -1)
    assert trim(wav, RATE).shape == wav.shape
    assert trim(torch.zeros(1, 100), RATE).shape == (1, 100)
    assert trim(torch.zeros(1, 0), RATE).shape == (1, 0)


def test_remove_spans() -> None:
    wav = torch.cat([hum(), torch.full((1, RATE), 0.9), hum()], -1)
    cut = remove_spans(wav, [(RATE // 2, RATE // 2 + RATE)], RATE)
    assert cut.shape[-1] == RATE and float(cut.max()) < 0.85
    assert largest_step(cut) <= largest_step(hum()) * 1.1
    assert torch.equal(remove_spans(wav, [], RATE), wav)
    tail = remove_spans(wav, [(0, 100)], RATE)
    assert float(tail[0, 0]) == 0 and torch.equal(tail[0, 200:], wav[0, 300:])


def test_spans_must_fit() -> None:
    for spans in [[(0, 200), (100, 300)], [(-5, 10)], [(0, RATE * 9)], [(30, 10)]]:
        with pytest.raises(OptionError, match="in order"):
            remove_spans(hum(), spans, RATE)
    with pytest.raises(AudioError, match="leaves nothing"):
        remove_spans(hum(), [(0, hum().shape[-1])], RATE)
