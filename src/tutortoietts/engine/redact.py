"""Bracketed text is spoken and then cut from the sound. Where it lies is read off the autoregressive model itself.

Some attention heads of the decoder follow the text while it speaks. Those whose gaze moves on steadily are averaged,
the most likely monotonic path through them gives each code its text token, and the cut is then moved to the quietest
moment nearby. A model without such heads (or without attention that can be looked at) is cut in proportion to the
number of tokens. No second model is needed; cuts are good to about a tenth of a second where there is a pause.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from tutortoietts.audio.stitch import remove_spans
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.nn.gpt import GptBlock

__all__ = ["cut_spans", "follow", "gazes", "redact", "text_path"]

_STEADY = 0.8  # correlation of a head's gaze with time, from which on it counts as following the text
_HEADS = 6  # at most so many are averaged
_SEARCH_SECONDS = 0.25
_FRAME_SECONDS = 0.02
_CODE_SECONDS = 1024 / 22050


@torch.inference_mode()
def text_path(model: Autoregressive, speaker: Tensor, text: Tensor, codes: Tensor) -> Tensor | None:
    """Which token each code speaks: speaker (1, D), text (1, T) ending in its 0, codes (1, S) without stop codes ->
    (S,) int64, never falling, 0..T-1; None where no head follows the text."""
    if getattr(model, "gpt", None) is None or codes.shape[1] < 2:
        return None
    return follow(gazes(model, speaker, text, codes))


def gazes(model: Autoregressive, speaker: Tensor, text: Tensor, codes: Tensor) -> Tensor:
    """How each head's attention to the text is spread over it when a code is drawn: (layers * heads, S, T), rows of
    sum 1. Arguments as `text_path`."""
    start = codes.new_full((1, 1), model.cfg.start_mel_token)
    inputs = model.embed_codes(torch.cat([start, codes[:, :-1]], dim=1))
    x = torch.cat([model.prefix(speaker, text), inputs], dim=1)
    first, tokens = x.shape[1] - codes.shape[1], text.shape[1]
    spread = []
    for layer, module in enumerate(model.gpt.blocks):
        block = cast(GptBlock, module)
        q, k, _ = block.qkv(block.ln_1(x)).float().unflatten(-1, (3, block.heads, -1)).permute(2, 0, 3, 1, 4)[:, 0]
        scores = q[:, first:] @ k[:, 2 : 2 + tokens].transpose(1, 2) / q.shape[-1] ** 0.5  # after speaker and start
        spread.append(scores.softmax(dim=-1))
        x = block(x, layer, None, 0, None)
    return torch.cat(spread)


def follow(spread: Tensor) -> Tensor | None:
    """spread (heads, S, T), rows of sum 1 -> the most likely path (S,) through the steadiest heads, or None."""
    steps, tokens = spread.shape[1:]
    place = torch.arange(tokens, device=spread.device, dtype=spread.dtype)
    time = torch.arange(steps, device=spread.device, dtype=spread.dtype)
    where = spread @ place
    where, time = where - where.mean(dim=1, keepdim=True), time - time.mean()
    steady = (where @ time) / (where.norm(dim=1) * time.norm()).clamp(min=1e-6)
    span = where.amax(dim=1) - where.amin(dim=1)
    worth = torch.where((steady > _STEADY) & (span > tokens / 2), steady * spread.amax(dim=2).mean(dim=1), 0.0)
    chosen = worth.topk(min(_HEADS, len(worth))).indices
    chosen = chosen[worth[chosen] > 0]
    if len(chosen) == 0:
        return None
    return _monotonic(spread[chosen].mean(dim=0))


def _monotonic(likely: Tensor) -> Tensor:
    """The path through (S, T) of greatest product that never falls."""
    logs = likely.clamp(min=1e-6).log().cpu()
    total, came = logs[0], []
    for row in logs[1:]:
        kept = total.cummax(dim=0)
        came.append(kept.indices)
        total = kept.values + row
    path = [int(total.argmax())]
    for back in reversed(came):
        path.append(int(back[path[-1]]))
    return torch.tensor(path[::-1])


def cut_spans(
    path: Tensor | None, codes: int, ends: Sequence[int], hidden: Sequence[bool]
) -> list[tuple[float, float | None]]:
    """Seconds (from, to) of the hidden pieces; `to` None: to the end.

    `path`: of `text_path`; None: in proportion. `codes`: how many were spoken. `ends`: tokens up to the end of each
    piece, `hidden`: whether it is cut.
    """
    spans: list[tuple[float, float | None]] = []
    begin = 0
    for index, (end, cut) in enumerate(zip(ends, hidden, strict=True)):
        if cut:
            stop = None if index + 1 == len(ends) else _seconds(path, codes, end, ends[-1])
            spans.append((_seconds(path, codes, begin, ends[-1]) if index else 0.0, stop))
        begin = end
    return spans


def _seconds(path: Tensor | None, codes: int, token: int, tokens: int) -> float:
    """When token number `token` begins to sound."""
    if path is None:
        return codes * token / max(tokens, 1) * _CODE_SECONDS
    return int((path < token).sum()) * _CODE_SECONDS


def redact(wave: Tensor, spans: Sequence[tuple[float, float | None]], rate: int) -> Tensor:
    """wave (..., N) without the spans (seconds), each inner edge moved to the quietest moment within 0.25 s."""
    samples = wave.shape[-1]
    edges: list[tuple[int, int]] = []
    floor = 0
    for begin, end in spans:
        first = _quietest(wave, begin, rate) if begin > 0 else 0
        last = samples if end is None else _quietest(wave, end, rate)
        first = min(max(first, floor), samples)
        last = min(max(last, first), samples)
        edges.append((first, last))
        floor = last
    if sum(last - first for first, last in edges) >= samples:
        return wave[..., :0]
    return remove_spans(wave, edges, rate)


def _quietest(wave: Tensor, seconds: float, rate: int) -> int:
    """The middle of the frame of least energy near a moment, the nearer of equals."""
    frame = round(_FRAME_SECONDS * rate)
    low = max(0, round((seconds - _SEARCH_SECONDS) * rate))
    high = min(wave.shape[-1], round((seconds + _SEARCH_SECONDS) * rate))
    if high - low < 2 * frame:
        return min(round(seconds * rate), wave.shape[-1])
    near = wave[..., low:high].float().reshape(-1, high - low).square().mean(dim=0)
    energy = F.avg_pool1d(near[None], frame, stride=frame // 4)[0]
    middle = torch.arange(len(energy), device=wave.device) * (frame // 4) + frame // 2
    away = (middle - (seconds * rate - low)).abs() / (_SEARCH_SECONDS * rate)
    return low + int(middle[(energy.clamp(min=1e-8).log() + away).argmin()])
