"""Curves as a PNG: a logarithmic upright axis, named points on the level one, letters of 3 by 5 pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from picture import write_png

Pixels = npt.NDArray[np.uint8]

# five rows of three pixels, an octal digit each
_GLYPHS = {
    **dict(zip("0123456789", "75557 26227 71747 71717 55711 74717 74757 71111 75757 75717".split(), strict=True)),
    **dict(
        zip(
            "abcdefghijklm",
            "25755 65656 34443 65556 74647 74644 34553 55755 72227 11152 55655 44447 57755".split(),
            strict=True,
        )
    ),
    **dict(
        zip(
            "nopqrstuvwxyz",
            "65555 25552 65644 25573 65655 34216 72222 55557 55552 55775 55255 55222 71247".split(),
            strict=True,
        )
    ),
    **dict(zip(" .,+-:/()_", "00000 00002 00024 02720 00700 02020 11244 12221 42224 00007".split(), strict=True)),
}
_COLOURS = (
    (31, 119, 180),
    (214, 39, 40),
    (44, 160, 44),
    (255, 127, 14),
    (148, 103, 189),
    (23, 190, 207),
    (140, 86, 75),
)
_GREY, _BLACK = (220, 220, 220), (40, 40, 40)
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 960, 540, 90, 230, 50, 60


def curves(path: Path, title: str, places: Sequence[float], lines: Mapping[str, Sequence[float]]) -> None:
    """One line a name: its value, above 0, at each of `places`, which lie evenly. Values that are not finite are left
    out. Raises ValueError for none at all."""
    known = [value for line in lines.values() for value in line if math.isfinite(value) and value > 0]
    if not known:
        raise ValueError("there is nothing to draw")
    low, high = math.floor(4 * math.log10(min(known))) / 4, math.ceil(4 * math.log10(max(known)) + 1e-9) / 4
    high = max(high, low + 0.25)
    pixels = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT

    def row(value: float) -> int:
        return round(bottom - (math.log10(value) - low) / (high - low) * (bottom - _TOP))

    def column(place: int) -> int:
        return _LEFT + 30 + round(place * (right - _LEFT - 60) / max(1, len(places) - 1))

    for tick in _ticks(low, high):
        pixels[row(tick), _LEFT:right] = _GREY
        _write(pixels, f"{tick:g}", _LEFT - 12 - _wide(f"{tick:g}"), row(tick) - 7)
    for i, place in enumerate(places):
        _write(pixels, f"{place:g}", column(i) - _wide(f"{place:g}") // 2, bottom + 14)
    _write(pixels, title.lower(), _LEFT, 16)
    for number, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [(column(i), row(v)) for i, v in enumerate(line) if math.isfinite(v) and v > 0]
        for start, end in pairwise(points):
            _stroke(pixels, start, end, colour, dashed=number >= len(_COLOURS))
        for x, y in points:
            pixels[y - 4 : y + 5, x - 4 : x + 5] = colour
        y = _TOP + 6 + 26 * number
        pixels[y : y + 15, right + 10 : right + 25] = colour
        _write(pixels, name.lower(), right + 34, y)
    pixels[_TOP:bottom, _LEFT : _LEFT + 2] = pixels[bottom - 2 : bottom, _LEFT:right] = _BLACK
    write_png(path, pixels)


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between 10 ** low and 10 ** high."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    return [tick for tick in ticks if low - 1e-9 <= math.log10(tick) <= high + 1e-9]


def _stroke(pixels: Pixels, start: tuple[int, int], end: tuple[int, int], colour: Sequence[int], dashed: bool) -> None:
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    for i in range(steps + 1):
        if dashed and i // 8 % 2:
            continue
        x, y = (round(a + (b - a) * i / steps) for a, b in zip(start, end, strict=True))
        pixels[y - 1 : y + 2, x - 1 : x + 2] = colour


def _write(pixels: Pixels, text: str, x: int, y: int, size: int = 3) -> None:
    for letter in text:
        for row, bits in enumerate(_GLYPHS.get(letter, "77777")):
            for column in range(3):
                if int(bits) >> (2 - column) & 1:
                    top, left = y + row * size, x + column * size
                    pixels[top : top + size, left : left + size] = _BLACK
        x += 4 * size


def _wide(text: str, size: int = 3) -> int:
    return 4 * size * len(text)
