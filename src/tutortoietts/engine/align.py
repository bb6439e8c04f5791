"""Alignment of codes with text, read off the autoregressive model itself: word times, cuts, losses.

Some attention heads of the decoder follow the text while it speaks. One forward pass over a text and its codes gives
the attention of every head. Heads whose centre moves on steadily are averaged, unless the model names its own; the
most likely monotonic path through them gives each code its token, and the mean over all monotonic paths gives each
token the moment at which it begins to sound, finer than a code lasts. A model without such heads (or whose attention
cannot be looked at) is aligned in proportion to the number of tokens, with confidence 0.

alignment = align(model, speaker, text, codes, spec.alignment.heads)
times = word_times(alignment, word_tokens(tokenizer, passage, written), bias=spec.alignment.bias_seconds)
times = retime(times, kept=[(0.05, 2.9)], at=7.2)                # as the sound was cut and joined
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.errors import OptionError
from tutortoietts.core.types import Word
from tutortoietts.nn.gpt import Gpt, GptBlock
from tutortoietts.text.words import WordTokens

__all__ = [
    "CODE_SECONDS",
    "Alignment",
    "CodeModel",
    "align",
    "begins",
    "code_losses",
    "gazes",
    "head_worths",
    "retime",
    "steady_heads",
    "text_path",
    "word_times",
]

CODE_SECONDS = 1024 / 22050  # of sound that one code stands for
_STEADY = 0.8  # correlation of a head's centre with time, from which on it counts as following the text
_HEADS = 6  # at most this many are averaged
_LEAST = 1e-6  # attention below this counts as this, so that no path is impossible


class CodeModel(Protocol):
    """The parts of an autoregressive model that are used here. Its prefix ends in the text and one stop token."""

    @property
    def cfg(self) -> Any: ...
    @property
    def gpt(self) -> Gpt: ...
    @property
    def final_norm(self) -> nn.Module: ...
    def prefix(self, speaker: Tensor, text: Tensor, /) -> Tensor: ...
    def embed_codes(self, codes: Tensor, /) -> Tensor: ...
    def hidden_states(self, x: Tensor, /) -> Tensor: ...
    def mel_logits(self, hidden: Tensor, /) -> Tensor: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alignment:
    """S codes against T tokens, on the CPU.

    `path` (S,) int64, the token that each code speaks, never falling; None where no head follows the text.
    `begins` (T + 1,) float64, the moment, counted in codes, at which each token begins to sound, and S.
    `attention` (S, T) float32, mean over the heads used of the attention to the text, rows of sum 1.
    `losses` (S,) float32, nats: how unlikely each code was under the text and the codes before it.
    """

    path: Tensor | None
    begins: Tensor
    attention: Tensor
    losses: Tensor

    @property
    def confidence(self) -> Tensor:
        """Attention to the token that each code speaks (S,), 0..1; 0 without a path."""
        if self.path is None:
            return torch.zeros(len(self.attention))
        return self.attention.gather(1, self.path[:, None])[:, 0]


@torch.inference_mode()
def align(
    model: CodeModel, speaker: Tensor, text: Tensor, codes: Tensor, heads: Sequence[Sequence[int]] = ()
) -> Alignment:
    """Return which token each code speaks, from one forward pass.

    model: an autoregressive model, in any precision. speaker (1, D), text (1, T) with its stop token, codes (1, S)
    without stop codes. heads: (layer, head) of those to average; empty: the steadiest are found.
    Raises OptionError for a head that the model does not have.
    """
    steps, tokens = codes.shape[1], text.shape[1]
    if getattr(model, "gpt", None) is None or steps < 2:
        return _in_proportion(steps, tokens, torch.zeros(steps))
    spread, hidden = _read(model, speaker, text, codes)
    losses = F.cross_entropy(model.mel_logits(hidden)[0], codes[0], reduction="none").cpu()
    likely = _mean(spread, _numbers(heads, model)) if heads else steady_heads(spread)
    if likely is None:
        return _in_proportion(steps, tokens, losses)
    likely = likely.cpu()
    return Alignment(path=_monotonic(likely), begins=begins(likely), attention=likely, losses=losses)


@torch.inference_mode()
def text_path(model: CodeModel, speaker: Tensor, text: Tensor, codes: Tensor) -> Tensor | None:
    """Return `Alignment.path` (S,) alone, by the steadiest heads. Arguments as `align`."""
    if getattr(model, "gpt", None) is None or codes.shape[1] < 2:
        return None
    likely = steady_heads(gazes(model, speaker, text, codes))
    return None if likely is None else _monotonic(likely)


@torch.inference_mode()
def code_losses(model: CodeModel, speaker: Tensor, text: Tensor, codes: Tensor) -> Tensor:
    """Return `Alignment.losses` (S,) alone, of any number of codes. Arguments as `align`.

    A word that was left out, repeated or replaced shows as some codes in a row of high loss.
    """
    hidden = model.hidden_states(_inputs(model, speaker, text, codes))[:, -codes.shape[1] :]
    return F.cross_entropy(model.mel_logits(hidden)[0], codes[0], reduction="none").cpu()


def gazes(model: CodeModel, speaker: Tensor, text: Tensor, codes: Tensor) -> Tensor:
    """Return each head's attention to the text when a code is drawn: (layers * heads, S, T), rows of sum 1.

    Arguments as `align`.
    """
    return _read(model, speaker, text, codes)[0]


def _inputs(model: CodeModel, speaker: Tensor, text: Tensor, codes: Tensor) -> Tensor:
    """Return the sequence (1, P + S, D) from whose last S positions the codes are drawn."""
    start = codes.new_full((1, 1), model.cfg.start_mel_token)
    inputs = model.embed_codes(torch.cat([start, codes[:, :-1]], dim=1))
    return torch.cat([model.prefix(speaker, text), inputs], dim=1)


def _read(model: CodeModel, speaker: Tensor, text: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Return `gazes`, and the hidden states (1, S, D) from which the codes are drawn."""
    x = _inputs(model, speaker, text, codes)
    first, tokens = x.shape[1] - codes.shape[1], text.shape[1]
    begin = first - 1 - tokens  # the text is the prefix's end, but for its stop token
    spread = []
    for layer, module in enumerate(model.gpt.blocks):
        block = cast(GptBlock, module)
        q, k, _ = block.qkv(block.ln_1(x)).float().unflatten(-1, (3, block.heads, -1)).permute(2, 0, 3, 1, 4)[:, 0]
        scores = q[:, first:] @ k[:, begin : begin + tokens].transpose(1, 2) / q.shape[-1] ** 0.5
        spread.append(scores.softmax(dim=-1))
        x = block(x, layer, None, 0, None)
    return torch.cat(spread), model.final_norm(model.gpt.ln_f(x[:, first:]))


def _numbers(heads: Sequence[Sequence[int]], model: CodeModel) -> list[int]:
    """Return the rows of `gazes` that belong to the (layer, head) pairs."""
    layers, width = len(model.gpt.blocks), cast(GptBlock, model.gpt.blocks[0]).heads
    for layer, head in heads:
        if not (0 <= layer < layers and 0 <= head < width):
            raise OptionError(f"attention head ({layer}, {head}) is outside ({layers}, {width}), all that there are")
    return [layer * width + head for layer, head in heads]


def _mean(spread: Tensor, chosen: Sequence[int] | Tensor) -> Tensor:
    return spread[torch.as_tensor(chosen, device=spread.device)].mean(dim=0)


def head_worths(spread: Tensor) -> Tensor:
    """Return how well each head of spread (heads, S, T) follows the text (heads,); 0 for one that does not."""
    steps, tokens = spread.shape[1:]
    place = torch.arange(tokens, device=spread.device, dtype=spread.dtype)
    time = torch.arange(steps, device=spread.device, dtype=spread.dtype)
    where = spread @ place
    where, time = where - where.mean(dim=1, keepdim=True), time - time.mean()
    steady = (where @ time) / (where.norm(dim=1) * time.norm()).clamp(min=1e-6)
    span = where.amax(dim=1) - where.amin(dim=1)
    return torch.where((steady > _STEADY) & (span > tokens / 2), steady * spread.amax(dim=2).mean(dim=1), 0.0)


def steady_heads(spread: Tensor) -> Tensor | None:
    """Return the mean (S, T) of the heads of spread (heads, S, T) that follow the text best; None if none does."""
    worth = head_worths(spread)
    chosen = worth.topk(min(_HEADS, len(worth))).indices
    chosen = chosen[worth[chosen] > 0]
    return None if len(chosen) == 0 else _mean(spread, chosen)


def _monotonic(likely: Tensor) -> Tensor:
    """Return the path through (S, T) of greatest product that never falls."""
    logs = likely.clamp(min=_LEAST).log().cpu()
    total, came = logs[0], []
    for row in logs[1:]:
        kept = total.cummax(dim=0)
        came.append(kept.indices)
        total = kept.values + row
    path = [int(total.argmax())]
    for back in reversed(came):
        path.append(int(back[path[-1]]))
    return torch.tensor(path[::-1])


def begins(likely: Tensor) -> Tensor:
    """Return when each token begins, in codes, as the mean over all paths that never fall: (S, T) -> (T + 1,) float64.

    A path counts by its product. The first is 0, the last S; none is before the one before it.
    """
    logs = likely.cpu().double().clamp(min=_LEAST).log()
    before, after = [logs[0]], [torch.zeros_like(logs[0])]
    for row in logs[1:]:
        before.append(before[-1].logcumsumexp(dim=0) + row)
    for row in logs[1:].flip(0):
        after.append((after[-1] + row).flip(0).logcumsumexp(dim=0).flip(0))
    reached = (torch.stack(before) + torch.stack(after[::-1])).softmax(dim=1).cumsum(dim=1).sum(dim=0)
    reached[-1] = len(logs)
    return F.pad(reached, (1, 0))


def _in_proportion(steps: int, tokens: int, losses: Tensor) -> Alignment:
    """Return an alignment in which all tokens last equally long."""
    even = torch.full((steps, tokens), 1 / max(tokens, 1))
    places = torch.linspace(0, steps, tokens + 1, dtype=torch.float64)
    return Alignment(path=None, begins=places, attention=even, losses=losses)


def word_times(
    alignment: Alignment, words: Sequence[WordTokens], *, bias: float = 0.0, code_seconds: float = CODE_SECONDS
) -> list[Word]:
    """Return when each word sounds, in seconds from the beginning of the passage's sound.

    words: of `text.words.word_tokens`, of the text that was aligned. bias: seconds by which times read off this model
    come late (`ModelSpec.alignment.bias_seconds`, mostly negative); it is taken off. Starts never fall. Confidence is
    the mean share of attention to the word while it sounds, 0..1.
    """
    path, total = alignment.path, len(alignment.attention) * code_seconds
    bias = 0.0 if path is None else bias
    times = [min(max(place * code_seconds - bias, 0.0), total) for place in alignment.begins.tolist()]
    timed = []
    for word, chars, (first, last) in words:
        confidence = 0.0
        if path is not None:
            own = alignment.attention[(path >= first) & (path < last), first:last]
            confidence = float(own.sum(dim=1).mean()) if len(own) else 0.0
        timed.append(Word(word, times[first], times[last], confidence, chars))
    return timed


def retime(words: Sequence[Word], kept: Sequence[tuple[float, float]], at: float = 0.0) -> list[Word]:
    """Return the words as they sound when only the stretches `kept` of the sound are left.

    kept: (start, end) in seconds, in order, laid end to end from the second `at` on. A time in what was cut moves to
    the cut; no word is lost. A trimmed clip has one stretch; what is only moved has one of its whole length.
    """
    lengths = accumulate((end - start for start, end in kept), initial=at)
    placed = [(start, end, begin) for (start, end), begin in zip(kept, lengths, strict=False)]

    def moved(second: float) -> float:
        place = at
        for start, end, begin in placed:
            if second < start:
                break
            place = begin + min(second, end) - start
        return place

    return [word._replace(start=moved(word.start), end=moved(word.end)) for word in words]
