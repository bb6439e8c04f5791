"""Windows of a signal with the numbers of the whole: linear stretching by global positions, and receptive fields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn

__all__ = ["Span", "Stretch", "seen", "seen_transposed", "union"]

Span = tuple[int, int]
"""First and last position of a part of a signal."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Linear interpolation by exact `ratios`, one after the other; any part can be computed alone.

    It is `torch.nn.functional.interpolate(mode="linear")` of the whole signal, with exact positions (torch copies a
    signal that keeps its length). Output f lies at (f + 1/2) / ratio - 1/2 of the input, between two inputs; before the
    first and after the last, those are held.
    """

    ratios: tuple[Fraction, ...]

    def counts(self, inputs: int) -> list[int]:
        """Return the lengths of the input and after each ratio."""
        lengths = [inputs]
        for ratio in self.ratios:
            lengths.append(lengths[-1] * ratio.numerator // ratio.denominator)
        return lengths

    def settled(self, inputs: int) -> int:
        """Return the number of outputs that no input after the first `inputs` changes."""
        for ratio in self.ratios:
            reached = ratio.numerator * (2 * inputs - 1) - ratio.denominator
            inputs = max(0, -(-reached // (2 * ratio.denominator)))
        return inputs

    def needed(self, first: int, last: int, inputs: int) -> Span:
        """Return the first and last input, of `inputs`, that outputs first..last depend on."""
        return self._spans(first, last, self.counts(inputs))[0]

    def __call__(self, x: Tensor, first: int, end: int, *, start: int = 0, inputs: int | None = None) -> Tensor:
        """Return outputs first..end-1, (B, C, end - first), of a signal of `inputs` inputs.

        x (B, C, n): inputs from `start` on, with all that are `needed`.
        """
        lengths = self.counts(x.shape[-1] if inputs is None else inputs)
        spans = [*self._spans(first, end - 1, lengths), (first, end - 1)]
        for ratio, length, (low, high) in zip(self.ratios, lengths, spans[1:], strict=False):
            x = _linear(x, ratio, (low, high), start, length)
            start = low
        return x

    def _spans(self, first: int, last: int, lengths: list[int]) -> list[Span]:
        """Return the needed spans of the input and of all results but the last."""
        spans: list[Span] = []
        for ratio, length in zip(reversed(self.ratios), reversed(lengths[:-1]), strict=True):
            step = 2 * ratio.numerator
            first, last = (max(0, (2 * at + 1) * ratio.denominator - ratio.numerator) // step for at in (first, last))
            last = min(last + 1, length - 1)
            spans.insert(0, (first, last))
        return spans


def _linear(x: Tensor, ratio: Fraction, span: Span, start: int, length: int) -> Tensor:
    step = 2 * ratio.numerator
    places = torch.arange(span[0], span[1] + 1)
    places = ((2 * places + 1) * ratio.denominator - ratio.numerator).clamp(min=0)
    left = (places // step).clamp(max=length - 1)
    right = (left + 1).clamp(max=length - 1)
    share = ((places % step).double() / step).to(x.dtype).to(x.device)
    low, high = (x.index_select(-1, (index - start).to(x.device)) for index in (left, right))
    return torch.lerp(low, high, share)


def seen(span: Span, *layers: nn.Module) -> Span:
    """Return the inputs that outputs first..last of a chain of convolutions and paddings depend on.

    Raises TypeError for another layer.
    """
    first, last = span
    for layer in reversed(layers):
        if isinstance(layer, nn.Sequential):
            first, last = seen((first, last), *layer)
        elif isinstance(layer, nn.ConstantPad1d):
            first, last = first - layer.padding[0], last - layer.padding[0]
        elif isinstance(layer, nn.ConvTranspose1d):
            size = (layer.kernel_size[0] - 1) * layer.dilation[0] + 1
            first, last = seen_transposed((first, last), size, layer.stride[0], int(layer.padding[0]))
        elif isinstance(layer, nn.Conv1d):
            size = (layer.kernel_size[0] - 1) * layer.dilation[0]
            first, last = (at * layer.stride[0] - int(layer.padding[0]) for at in (first, last))
            last += size
        else:
            raise TypeError(f"how far a {type(layer).__name__} sees is not known")
    return first, last


def seen_transposed(span: Span, size: int, stride: int, padding: int) -> Span:
    """Return the inputs that outputs of a transposed convolution, or an overlap-add of `size`, depend on."""
    return -((size - 1 - padding - span[0]) // stride), (span[1] + padding) // stride


def union(spans: Iterable[Span]) -> Span:
    """Return the smallest span that holds all spans."""
    firsts, lasts = zip(*spans, strict=True)
    return min(firsts), max(lasts)
