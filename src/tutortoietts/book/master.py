"""Mastering: one gain a voice, one gain a chapter, a limiter; measured, streamed, never louder than its preset."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tutortoietts.audio.limiter import Limiter
from tutortoietts.audio.loudness import SILENCE, FirStream, Loudness, Meter, highpass_taps
from tutortoietts.audio.stretch import stretch
from tutortoietts.book.takes import decode_take
from tutortoietts.book.timeline import Chapter, Placed, Timeline
from tutortoietts.core.errors import OptionError

__all__ = ["PRESETS", "LoudnessPreset", "Mastering", "Measured", "loudness_preset"]

BLOCK_SECONDS = 10
FAR = 3.0
MOST_MOVED = 3.0
MOST_GAIN = 40.0
PASSES = 3
MAIN = "\0"
CLOSE = 0.05
MARGIN = 0.1
ROOM_TONE_DECIBELS = -66.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoudnessPreset:
    """A loudness to reach: `target` LUFS (or dB RMS), within `tolerance`; peaks under `true_peak` dBTP.

    head, tail: seconds of silence that a chapter must have, None: the pauses' own; floor: loudest noise, dB RMS.
    """

    name: str
    target: float
    tolerance: float
    true_peak: float
    rms: bool = False
    head: float | None = None
    tail: float | None = None
    floor: float | None = None


PRESETS = {
    "book": LoudnessPreset(name="book", target=-19.0, tolerance=0.3, true_peak=-3.0),
    "acx": LoudnessPreset(
        name="acx", target=-20.5, tolerance=1.0, true_peak=-3.2, rms=True, head=0.75, tail=2.0, floor=-60.0
    ),
    "podcast": LoudnessPreset(name="podcast", target=-16.0, tolerance=0.3, true_peak=-1.0),
    "ebu": LoudnessPreset(name="ebu", target=-23.0, tolerance=0.3, true_peak=-1.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Measurements of a mastered chapter, and its faults by the preset."""

    title: str
    loudness: Loudness
    faults: tuple[str, ...]


def loudness_preset(name: str) -> LoudnessPreset | None:
    """Return the preset of a name, None for "off". Raises OptionError for an unknown one."""
    if name == "off":
        return None
    if name not in PRESETS:
        raise OptionError(f"--loudness is {name!r}, must be one of {', '.join(PRESETS)}, off")
    return PRESETS[name]


class Mastering:
    """Turns the chapters of a timeline into mastered sound, block by block."""

    def __init__(
        self, timeline: Timeline, preset: LoudnessPreset | None, *, gains: Mapping[str, float] | None = None,
        room_tone: bool = False,
    ) -> None:  # fmt: skip
        self.timeline, self.preset, self.room_tone = timeline, preset, room_tone
        self._speaker_gains = dict(gains or {})
        self._medians = _medians(timeline)
        self._chapter_gains: dict[int, float] = {}
        self.measured: dict[int, Measured] = {}

    def chapter(self, chapter: Chapter) -> Iterator[Tensor]:
        """Yield the mastered samples of a chapter in blocks (N,); what they measure is in `measured` afterwards."""
        if self.preset is None:
            meter = Meter(self.timeline.sample_rate)
            for block in self._raw(chapter):
                meter.push(block)
                yield block
        else:
            meter = Meter(self.timeline.sample_rate)
            for block in self._limited(chapter, self._chapter_gain(chapter)):
                meter.push(block)
                yield block
        self.measured[chapter.number] = _measured(chapter, meter.result(), self.preset)

    def _chapter_gain(self, chapter: Chapter) -> float:
        """The gain in dB with which the limited chapter has the preset's loudness."""
        if chapter.number in self._chapter_gains:
            return self._chapter_gains[chapter.number]
        assert self.preset is not None
        loudness = self._measure(self._filtered(chapter))
        level = self._level(loudness)
        gain = max(-MOST_GAIN, min(MOST_GAIN, self.preset.target - level)) if level > SILENCE else 0.0
        for _ in range(PASSES if loudness.true_peak + gain > self.preset.true_peak - MARGIN else 0):
            error = self.preset.target - self._level(self._measure(self._limited(chapter, gain)))
            if abs(error) < CLOSE or level <= SILENCE:
                break
            gain = min(MOST_GAIN, gain + error)
        self._chapter_gains[chapter.number] = gain
        return gain

    def _measure(self, blocks: Iterator[Tensor]) -> Loudness:
        meter = Meter(self.timeline.sample_rate)
        for block in blocks:
            meter.push(block)
        return meter.result()

    def _level(self, loudness: Loudness) -> float:
        return loudness.rms if self.preset is not None and self.preset.rms else loudness.lufs

    def _limited(self, chapter: Chapter, gain: float) -> Iterator[Tensor]:
        assert self.preset is not None
        limiter = Limiter(self.timeline.sample_rate, 10 ** ((self.preset.true_peak - MARGIN) / 20))
        factor = 10 ** (gain / 20)
        for block in self._filtered(chapter):
            yield limiter.push(block * factor)
        yield limiter.flush()

    def _filtered(self, chapter: Chapter) -> Iterator[Tensor]:
        """The chapter after the 20 Hz high-pass."""
        highpass = FirStream(highpass_taps(self.timeline.sample_rate))
        for block in self._raw(chapter):
            yield highpass.push(block)

    def _raw(self, chapter: Chapter) -> Iterator[Tensor]:
        """The chapter before mastering, the gains of voices and segments applied, in blocks of about ten seconds."""
        pending: list[Tensor] = []
        waiting = 0
        noise = _RoomTone(chapter.number) if self.room_tone else None
        for piece in self._pieces(chapter, noise):
            pending.append(piece)
            waiting += len(piece)
            if waiting >= BLOCK_SECONDS * self.timeline.sample_rate:
                yield torch.cat(pending)
                pending, waiting = [], 0
        if pending:
            yield torch.cat(pending)

    def _pieces(self, chapter: Chapter, noise: _RoomTone | None) -> Iterator[Tensor]:
        silence: Callable[[int], Tensor] = torch.zeros if noise is None else noise
        yield silence(chapter.head)
        for placed in chapter.segments:
            samples, rate = decode_take(placed.take.data())
            if placed.rate != 1:
                samples = stretch(samples, rate, placed.rate)
            yield samples * 10 ** (self._segment_gain(placed) / 20)
            yield silence(placed.pause)

    def _segment_gain(self, placed: Placed) -> float:
        """dB that bring the voice to the others, a segment far from its voice nearer, and what markup asks for."""
        segment = placed.segment
        wanted = segment.volume + self._speaker_gains.get(segment.speaker, 0.0)
        if self.preset is None or segment.voice not in self._medians:
            return wanted
        median = self._medians[segment.voice]
        away = float(placed.take.info.get("lufs", median)) - median
        moved = 0.0
        if abs(away) > FAR and away > SILENCE / 2:
            moved = -max(-MOST_MOVED, min(MOST_MOVED, away - FAR if away > 0 else away + FAR))
        return wanted + moved + self._medians[MAIN] - median


class _RoomTone:
    """Quiet noise in place of digital silence, falling towards high frequencies; the same for the same chapter."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, samples: int) -> Tensor:
        if samples == 0:
            return torch.zeros(0)
        white = torch.randn(samples + 15, generator=self._generator)
        noise = torch.nn.functional.avg_pool1d(white[None, None], 16, 1)[0, 0] * 4
        return noise * 10 ** (ROOM_TONE_DECIBELS / 20)


def _medians(timeline: Timeline) -> dict[str, float]:
    """Loudness of each voice, by the median of its segments; that of the voice that says most under MAIN."""
    levels: dict[str, list[float]] = {}
    said: dict[str, int] = {}
    for chapter in timeline.chapters:
        for placed in chapter.segments:
            level = float(placed.take.info.get("lufs", SILENCE))
            if level > SILENCE / 2:
                levels.setdefault(placed.segment.voice, []).append(level)
            said[placed.segment.voice] = said.get(placed.segment.voice, 0) + placed.end - placed.start
    medians = {voice: statistics.median(values) for voice, values in levels.items()}
    if medians:
        medians[MAIN] = medians[max(medians, key=lambda voice: said.get(voice, 0))]
    return medians


def _measured(chapter: Chapter, loudness: Loudness, preset: LoudnessPreset | None) -> Measured:
    faults = []
    if preset is not None:
        level, name = (loudness.rms, "RMS") if preset.rms else (loudness.lufs, "LUFS")
        if abs(level - preset.target) > preset.tolerance:
            faults.append(f"{name} {level:.1f}, must be {preset.target:.1f} +-{preset.tolerance}")
        if loudness.true_peak > preset.true_peak:
            faults.append(f"true peak {loudness.true_peak:.1f} dB, limit {preset.true_peak}")
        if preset.floor is not None and loudness.floor > preset.floor:
            faults.append(f"noise floor {loudness.floor:.1f} dB, limit {preset.floor}")
    return Measured(title=chapter.title, loudness=loudness, faults=tuple(faults))
