"""Windows of a signal that come out as in the whole: linear stretching by global positions, how far layers see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn

__all__ = ["Span", "Stretch", "seen", "seen_transposed", "union"]

Span = tuple[int, int]
"""First and last place of a stretch of signal."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Linear interpolation by exact `ratios`, one after the other, of which any part can be had alone.

    It is `torch.nn.functional.interpolate(mode="linear")` of the whole signal, with exact positions (and without its
    exception: it copies what keeps its length). Output f lies at (f + 1/2) / ratio - 1/2 of the input, between two
    inputs; before the first and after the last it is held.
    """

    ratios: tuple[Fraction, ...]

    def counts(self, inputs: int) -> list[int]:
        """Lengths: of the input, and after each ratio."""
        lengths = [inputs]
        for ratio in self.ratios:
            lengths.append(lengths[-1] * ratio.numerator // ratio.denominator)
        return lengths

    def settled(self, inputs: int) -> int:
        """How many outputs stay as they are whatever follows after the first `inputs` inputs."""
        for ratio in self.ratios:
            reached = ratio.numerator * (2 * inputs - 1) - ratio.denominator
            inputs = max(0, -(-reached // (2 * ratio.denominator)))
        return inputs

    def needed(self, first: int, last: int, inputs: int) -> Span:
        """The first input that outputs first..last need, and the last, when there are `inputs` of them."""
        return self._spans(first, last, self.counts(inputs))[0]

    def __call__(self, x: Tensor, first: int, end: int, *, start: int = 0, inputs: int | None = None) -> Tensor:
        """Outputs first..end-1, (B, C, end - first), of a signal of `inputs` inputs; x (B, C, n) are those from
        `start` on, at least what is needed."""
        lengths = self.counts(x.shape[-1] if inputs is None else inputs)
        spans = [*self._spans(first, end - 1, lengths), (first, end - 1)]
        for ratio, length, (wanted, last) in zip(self.ratios, lengths, spans[1:], strict=False):
            x = _linear(x, ratio, (wanted, last), start, length)
            start = wanted
        return x

    def _spans(self, first: int, last: int, lengths: list[int]) -> list[Span]:
        """What is needed of the input and of all results but the last."""
        spans: list[Span] = []
        for ratio, length in zip(reversed(self.ratios), reversed(lengths[:-1]), strict=True):
            step = 2 * ratio.numerator
            first, last = (max(0, (2 * at + 1) * ratio.denominator - ratio.numerator) // step for at in (first, last))
            last = min(last + 1, length - 1)
            spans.insert(0, (first, last))
        return spans


def _linear(x: Tensor, ratio: Fraction, wanted: Span, start: int, length: int) -> Tensor:
    step = 2 * ratio.numerator
    places = torch.arange(wanted[0], wanted[1] + 1)
    places = ((2 * places + 1) * ratio.denominator - ratio.numerator).clamp(min=0)
    left = (places // step).clamp(max=length - 1)
    right = (left + 1).clamp(max=length - 1)
    share = ((places % step).double() / step).to(x.dtype).to(x.device)
    low, high = (x.index_select(-1, (index - start).to(x.device)) for index in (left, right))
    return torch.lerp(low, high, share)


def seen(span: Span, *layers: nn.Module) -> Span:
    """Which inputs of a chain of convolutions and paddings its outputs first..last depend on.

    TypeError for a layer that is neither.
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
    """The same for a transposed convolution or an overlap-add of frames of `size`."""
    return -((size - 1 - padding - span[0]) // stride), (span[1] + padding) // stride


def union(spans: Iterable[Span]) -> Span:
    """The smallest span that holds them all."""
    firsts, lasts = zip(*spans, strict=True)
    return min(firsts), max(lasts)
