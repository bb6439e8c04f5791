"""Cutting bracketed text: where the model looks, the path through it, quiet cuts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import tiny_configs
from tutortoietts.engine.redact import cut_spans, follow, gazes, redact, text_path
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.nn import gpt

CODE = 1024 / 22050
RATE = 24000


def steady_heads(steps: int, tokens: int, heads: int = 8, good: int = 2) -> tuple[Tensor, Tensor]:
    """Random gazes, of which the first ones move over the text: slowly, then faster. Also the true path."""
    generator = torch.Generator().manual_seed(0)
    truth = (torch.linspace(0, 1, steps) ** 1.5 * (tokens - 1)).round().long()
    spread = torch.rand(heads, steps, tokens, generator=generator)
    for head in range(good):
        noise = torch.rand(steps, tokens, generator=generator)
        away = (torch.arange(tokens)[None] - truth[:, None]).float()
        spread[head] = torch.exp(-(away**2) / 4) + 0.05 * noise
    return spread / spread.sum(dim=2, keepdim=True), truth


def test_the_path_follows_steady_heads_only() -> None:
    spread, truth = steady_heads(120, 40)
    path = follow(spread)
    assert path is not None
    assert (path.diff() >= 0).all()
    assert (path - truth).abs().max() <= 2


def test_without_a_steady_head_there_is_no_path() -> None:
    spread, _ = steady_heads(120, 40, good=0)
    assert follow(spread) is None
    assert follow(torch.full((4, 60, 20), 0.05)) is None


def test_gazes_are_the_attention_that_the_model_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = tiny_configs.autoregressive(18, max_text_tokens=20, max_mel_tokens=40)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Autoregressive(cfg).eval().requires_grad_(False)
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    speaker, text, codes = torch.ones(1, 32), torch.tensor([[7, 8, 9, 3, 0]]), torch.arange(12)[None]
    seen: list[Tensor] = []
    attend = gpt.attend

    def noted(q: Tensor, k: Tensor, v: Tensor, **options) -> Tensor:
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)[0]
        text_part = weights[:, 8:20, 2:7]  # codes begin after the speaker, start, five tokens and the last stop
        seen.append(text_part / text_part.sum(dim=-1, keepdim=True))
        return attend(q, k, v, **options)

    monkeypatch.setattr(gpt, "attend", noted)
    model(speaker, text, codes)
    theirs = torch.cat(seen)
    monkeypatch.setattr(gpt, "attend", attend)
    torch.testing.assert_close(gazes(model, speaker, text, codes), theirs)
    path = text_path(model, speaker, text, codes)
    assert path is None or path.shape == (12,)
    assert text_path(model, speaker, text, codes[:, :1]) is None


def test_spans_in_proportion_and_by_the_path() -> None:
    hidden, ends = [True, False, True], [10, 30, 40]
    assert cut_spans(None, 80, ends, hidden) == [(0.0, 20 * CODE), (60 * CODE, None)]
    path = torch.arange(80).clamp(max=40) // 1  # one token a code
    assert cut_spans(path, 80, ends, hidden) == [(0.0, 10 * CODE), (30 * CODE, None)]
    assert cut_spans(None, 80, [10, 40], [False, True]) == [(20 * CODE, None)]


def speech_with_pauses(*pauses: float, seconds: float = 3.0) -> Tensor:
    wave = 0.3 * torch.sin(torch.arange(int(seconds * RATE)) * 0.1)
    for pause in pauses:
        wave[round((pause - 0.05) * RATE) : round((pause + 0.05) * RATE)] = 0
    return wave[None, None]


def test_cuts_are_moved_to_pauses() -> None:
    wave = speech_with_pauses(1.0, 2.0)
    left = redact(wave, [(0.0, 1.15)], RATE)
    assert left.shape[-1] / RATE == pytest.approx(2.0, abs=0.1)
    middle = redact(wave, [(0.9, 2.2)], RATE)
    assert middle.shape[-1] / RATE == pytest.approx(2.0, abs=0.1)
    end = redact(wave, [(1.9, None)], RATE)
    assert end.shape[-1] / RATE == pytest.approx(2.0, abs=0.1)
    both = redact(wave, [(0.0, 1.1), (1.9, None)], RATE)
    assert both.shape[-1] / RATE == pytest.approx(1.0, abs=0.15)


def test_spans_that_meet_or_leave_the_sound() -> None:
    wave = speech_with_pauses(1.0)
    assert redact(wave, [(0.0, 5.0)], RATE).shape[-1] == 0
    assert redact(wave, [(0.0, None)], RATE).shape[-1] == 0
    assert redact(wave, [(0.9, 1.1), (1.05, 1.0)], RATE).shape[-1] <= wave.shape[-1]
    tiny = torch.ones(1, 1, 100)
    assert redact(tiny, [(0.0, 0.002)], RATE).shape[-1] == 52
