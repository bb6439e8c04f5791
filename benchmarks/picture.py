"""Spectrograms as a PNG, written with zlib alone."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from acoustics import mel_filters

# dark violet, red, yellow, white: brightness rises evenly
_COLOURS = np.array([[0, 0, 4], [60, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]], float)


def log_mel(samples: npt.NDArray[np.float32], rate: int, bins: int = 128) -> npt.NDArray[np.float64]:
    """(N,) -> decibels (bins, F), hop 10 ms, up to 7.6 kHz."""
    size = 1024 if rate > 12000 else 512
    padded = np.pad(np.asarray(samples, float), (size // 2, size))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, size)[:: rate // 100] * np.hanning(size)
    power = np.abs(np.fft.rfft(pieces)) ** 2
    return np.asarray(10 * np.log10(power @ mel_filters(rate, size, bins).T + 1e-9).T)


def spectrograms(path: Path, clips: Sequence[tuple[npt.NDArray[np.float32], int]], depth_db: float = 70.0) -> None:
    """One row a clip, (samples (N,), rate), all on one scale of time: 2 pixels each 10 ms, low notes at the bottom."""
    mels = [log_mel(samples, rate) for samples, rate in clips]
    width = max(mel.shape[1] for mel in mels)
    rows = []
    for mel in mels:
        scaled = np.clip((mel - mel.max()) / depth_db + 1, 0, 1)
        rows += [np.pad(scaled, ((0, 0), (0, width - mel.shape[1])))[::-1], np.ones((3, width))]
    grey = np.repeat(np.repeat(np.concatenate(rows[:-1]), 2, 0), 2, 1)
    place = grey * (len(_COLOURS) - 1)
    low = np.minimum(place.astype(int), len(_COLOURS) - 2)
    part = (place - low)[..., None]
    write_png(path, np.round(_COLOURS[low] * (1 - part) + _COLOURS[low + 1] * part).astype(np.uint8))


def write_png(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """pixels (H, W, 3)."""
    height, width, _ = pixels.shape
    raw = np.concatenate((np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)), 1).tobytes()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw, 6)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
