"""Codes against text: where the model looks, the paths through it, the times of words, the losses of codes."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

import tiny_configs
from tutortoietts.core.errors import OptionError
from tutortoietts.core.types import Word
from tutortoietts.engine.align import (
    CODE_SECONDS,
    Alignment,
    align,
    begins,
    code_losses,
    gazes,
    retime,
    steady_heads,
    text_path,
    word_times,
)
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.nn import gpt
from tutortoietts.text.words import WordTokens


@pytest.fixture(scope="module")
def model() -> Autoregressive:
    cfg = tiny_configs.autoregressive(18, max_text_tokens=20, max_mel_tokens=40)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Autoregressive(cfg).eval().requires_grad_(False)
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model


SPEAKER, TEXT, CODES = torch.ones(1, 32), torch.tensor([[7, 8, 9, 3, 0]]), torch.arange(12)[None]


def some_steady_heads(steps: int, tokens: int, heads: int = 8, good: int = 2) -> tuple[Tensor, Tensor]:
    """Random attention, of which the first heads move over the text: slowly, then faster. Also the true path."""
    generator = torch.Generator().manual_seed(0)
    truth = (torch.linspace(0, 1, steps) ** 1.5 * (tokens - 1)).round().long()
    spread = torch.rand(heads, steps, tokens, generator=generator)
    for head in range(good):
        noise = torch.rand(steps, tokens, generator=generator)
        away = (torch.arange(tokens)[None] - truth[:, None]).float()
        spread[head] = torch.exp(-(away**2) / 4) + 0.05 * noise
    return spread / spread.sum(dim=2, keepdim=True), truth


def test_the_path_follows_steady_heads_only(model: Autoregressive, monkeypatch: pytest.MonkeyPatch) -> None:
    spread, truth = some_steady_heads(30, 10)
    text, codes = torch.arange(10)[None], torch.arange(30)[None] % 18
    monkeypatch.setattr("tutortoietts.engine.align._read", lambda *_: (spread, torch.zeros(1, 30, 32)))
    found = align(model, SPEAKER, text, codes)
    assert found.path is not None
    assert (found.path.diff() >= 0).all() and (found.path - truth).abs().max() <= 1
    assert torch.equal(found.path, text_path(model, SPEAKER, text, codes))  # type: ignore[arg-type]
    torch.testing.assert_close(found.attention, spread[:2].mean(dim=0))
    torch.testing.assert_close(found.confidence, found.attention[torch.arange(30), found.path])
    expected = [int((truth < token).sum()) for token in range(11)]
    assert (found.begins - torch.tensor(expected)).abs().max() <= 1.5
    named = align(model, SPEAKER, text, codes, [(0, 1), (0, 0)])
    torch.testing.assert_close(named.attention, found.attention)


def test_without_a_steady_head_all_tokens_last_as_long() -> None:
    spread, _ = some_steady_heads(120, 40, good=0)
    assert steady_heads(spread) is None
    assert steady_heads(torch.full((4, 60, 20), 0.05)) is None


def test_a_model_that_cannot_be_looked_at(model: Autoregressive) -> None:
    found = align(torch.nn.Linear(2, 2), SPEAKER, TEXT, CODES)  # type: ignore[arg-type]
    assert found.path is None and text_path(torch.nn.Linear(2, 2), SPEAKER, TEXT, CODES) is None  # type: ignore[arg-type]
    assert found.begins.tolist() == pytest.approx([0, 2.4, 4.8, 7.2, 9.6, 12])
    assert found.confidence.tolist() == [0.0] * 12 and found.losses.tolist() == [0.0] * 12
    times = word_times(found, [WordTokens("word", (0, 4), (1, 3))], bias=-0.5)
    assert times == [Word("word", 2.4 * CODE_SECONDS, pytest.approx(7.2 * CODE_SECONDS), 0.0, (0, 4))]
    assert align(model, SPEAKER, TEXT, CODES[:, :1]).path is None
    assert text_path(model, SPEAKER, TEXT, CODES[:, :1]) is None


def test_a_head_that_is_not_there(model: Autoregressive) -> None:
    with pytest.raises(OptionError, match=r"head \(2, 0\) is outside \(2, 2\)"):
        align(model, SPEAKER, TEXT, CODES, [(0, 0), (2, 0)])


def test_gazes_are_the_attention_that_the_model_pays(model: Autoregressive, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    attend = gpt.attend

    def noted(q: Tensor, k: Tensor, v: Tensor, **options) -> Tensor:
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)[0]
        text_part = weights[:, 8:20, 2:7]  # codes begin after the speaker, start, five tokens and the last stop
        seen.append(text_part / text_part.sum(dim=-1, keepdim=True))
        return attend(q, k, v, **options)

    monkeypatch.setattr(gpt, "attend", noted)
    model(SPEAKER, TEXT, CODES)
    theirs = torch.cat(seen)
    monkeypatch.setattr(gpt, "attend", attend)
    torch.testing.assert_close(gazes(model, SPEAKER, TEXT, CODES), theirs)
    named = align(model, SPEAKER, TEXT, CODES, [(1, 0), (0, 1)])
    torch.testing.assert_close(named.attention, theirs[[2, 1]].mean(dim=0))


def test_begins_are_means_over_all_paths() -> None:
    likely = torch.rand(5, 4, generator=torch.Generator().manual_seed(1))
    likely /= likely.sum(dim=1, keepdim=True)
    paths = [p for p in itertools.product(range(4), repeat=5) if sorted(p) == list(p)]
    weights = [math.prod(float(likely[i, token]) for i, token in enumerate(path)) for path in paths]
    mean = [
        sum(weight * sum(at < token for at in path) for path, weight in zip(paths, weights, strict=True)) / sum(weights)
        for token in range(5)
    ]
    assert begins(likely).tolist() == pytest.approx(mean, abs=1e-6)
    sharp = torch.eye(4).repeat_interleave(torch.tensor([3, 1, 2, 4]), dim=0)
    assert begins(sharp).tolist() == pytest.approx([0, 3, 4, 6, 10], abs=1e-3)


def test_losses_are_those_of_the_slow_forward(model: Autoregressive) -> None:
    _, logits, _ = model(SPEAKER, TEXT, CODES)
    expected = -logits[0, :12].log_softmax(dim=-1).gather(1, CODES[0][:, None])[:, 0]
    torch.testing.assert_close(code_losses(model, SPEAKER, TEXT, CODES), expected)
    torch.testing.assert_close(align(model, SPEAKER, TEXT, CODES).losses, expected)
    torch.testing.assert_close(code_losses(model, SPEAKER, TEXT, CODES[:, :1]), expected[:1])


def test_word_times_take_off_the_bias_and_stay_in_the_sound() -> None:
    attention = torch.eye(4).repeat_interleave(2, dim=0) * 0.5 + 0.125
    found = Alignment(
        path=torch.arange(4).repeat_interleave(2),
        begins=torch.tensor([0.0, 2, 4, 6, 8], dtype=torch.float64),
        attention=attention,
        losses=torch.zeros(8),
    )
    words = [WordTokens("a", (0, 1), (0, 1)), WordTokens("b", (2, 3), (2, 4))]
    late = word_times(found, words, bias=0.5, code_seconds=1.0)
    assert [(word.start, word.end) for word in late] == [(0.0, 1.5), (3.5, 7.5)]
    early = word_times(found, words, bias=-0.5, code_seconds=1.0)
    assert [(word.start, word.end) for word in early] == [(0.5, 2.5), (4.5, 8.0)]
    assert [word.confidence for word in early] == [pytest.approx(0.625), pytest.approx(0.75)]
    assert [(word.word, word.chars) for word in early] == [("a", (0, 1)), ("b", (2, 3))]


def test_times_move_with_the_sound() -> None:
    words = [Word(name, at, at + 1, 0.5, (0, 1)) for at, name in enumerate("abcd")]

    def times(kept: list[tuple[float, float]], at: float = 0.0) -> list[tuple[float, float]]:
        return [(word.start, word.end) for word in retime(words, kept, at)]

    assert times([(0.0, 4.0)], at=2.5) == [(2.5, 3.5), (3.5, 4.5), (4.5, 5.5), (5.5, 6.5)]
    assert times([(0.5, 3.5)]) == [(0.0, 0.5), (0.5, 1.5), (1.5, 2.5), (2.5, 3.0)]
    assert times([(0.0, 1.0), (2.5, 4.0)], at=1.0) == [(1.0, 2.0), (2.0, 2.0), (2.0, 2.5), (2.5, 3.5)]
    assert times([], at=3.0) == [(3.0, 3.0)] * 4
    assert retime(words, [(0.0, 4.0)]) == words
