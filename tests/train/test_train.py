"""The recipe: kernels and batches agree with the models, data is what it says, runs go on where they were."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tiny_configs
import tutortoietts
from tutortoietts.core.presets import PRESETS
from tutortoietts.engine.denoise import mel_frames
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.sampling.schedule import trained_schedule
from tutortoietts.text.tokenizer import Tokenizer
from tutortoietts.train import corpus, decoder, gpt, kernels, recipe
from tutortoietts.train.clvp import damage
from tutortoietts.train.codes import CHARACTERS, write_tokenizer
from tutortoietts.train.data import Clip, read_shard, write_shard
from tutortoietts.train.dvae import Codebook
from tutortoietts.train.features import CodedClip, half_code_phones, phone_at, read_coded, write_coded
from tutortoietts.train.optim import Trainer

CONFIG = tiny_configs.autoregressive(64, model_dim=64, max_text_tokens=40, number_text_tokens=39, start_text_token=39)


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float(((ours.float() - theirs.float()).norm() / theirs.float().norm()).detach())


def coded(speaker: str, size: int, seed: int) -> CodedClip:
    rng = np.random.default_rng(seed)
    codes, phones = rng.integers(0, 64, size).astype(np.int16), rng.integers(0, 40, size).astype(np.int8)
    return CodedClip(speaker, "a b", codes, phones)


class FixedReferences:
    """The same reference mel every time."""

    def __init__(self) -> None:
        self.mel = torch.randn(1, 80, 20, generator=torch.Generator().manual_seed(1))

    def draw(self, speaker: str, rng: random.Random) -> torch.Tensor:
        return self.mel


def test_a_padded_batch_computes_what_forward_computes() -> None:
    torch.manual_seed(0)
    model, references = Autoregressive(CONFIG), FixedReferences()
    items = [(coded("x", n, n), np.arange(3, 3 + t)) for n, t in ((9, 5), (14, 11))]
    clips = gpt.Clips(items, CONFIG)
    batch = clips.batch([0, 1], references, random.Random(0))  # type: ignore[arg-type]
    states = gpt.hidden(model, batch)[batch.code_at].split([10, 15])
    speaker = model.conditioning(references.mel[None])
    for (clip, ids), row in zip(items, states, strict=True):
        text = torch.tensor([[*ids.tolist(), 0]])
        latents, logits, _ = model(speaker, text, torch.from_numpy(clip.codes.astype(np.int64))[None])
        assert relative(row[:-1], latents[0]) < 1e-4
        assert relative(model.mel_logits(row), logits[0, :-1]) < 1e-4
    assert batch.codes.tolist()[9] == CONFIG.stop_mel_token


def test_trunk_with_our_kernels_is_the_models_trunk() -> None:
    if kernels.library() is None:
        pytest.skip("no C compiler: the model's own forward pass is used instead")
    torch.manual_seed(0)
    exact = Autoregressive(CONFIG)
    nn.init.normal_(exact.gpt.blocks[0].qkv.weight, std=0.3)  # type: ignore[union-attr, arg-type]
    model = Autoregressive(CONFIG)
    model.load_state_dict(exact.state_dict())
    model.bfloat16()
    x, grad = torch.randn(3, 21, 64), torch.randn(3, 21, 64)
    a, b = x.clone().requires_grad_(), x.bfloat16().requires_grad_()
    oracle, ours = exact.hidden_states(a), kernels.hidden_states(model, b)
    oracle.backward(grad)
    ours.backward(grad.bfloat16())
    assert relative(ours, oracle) < 0.02
    assert relative(b.grad, a.grad) < 0.03  # type: ignore[arg-type]
    for p, q in zip(model.gpt.blocks.parameters(), exact.gpt.blocks.parameters(), strict=True):
        assert relative(p.grad, q.grad) < 0.08  # type: ignore[arg-type]


def test_order_covers_every_clip_once() -> None:
    clips = gpt.Clips([(coded("x", 5 + n % 30, n), np.arange(3, 10)) for n in range(100)], CONFIG)
    batches = list(clips.order(random.Random(0), tokens=200, longest=1000))
    assert sorted(n for batch in batches for n in batch) == list(range(100))
    assert all(len(b) * max(map(clips.length, b)) <= 200 for b in batches)


def test_clips_too_long_for_the_model_are_left_out() -> None:
    items = [(coded("x", 59, 0), np.arange(3, 8)), (coded("x", 58, 0), np.arange(3, 8))]
    assert len(gpt.Clips(items, CONFIG).items) == 1


def test_training_goes_on_where_it_was(tmp_path: Path) -> None:
    def run(steps: int, path: Path) -> torch.Tensor:
        torch.manual_seed(1)
        model = nn.Linear(4, 4)
        trainer = Trainer(nn.ModuleDict({"model": model}), path, minutes=1e6, rate=0.1)
        for _ in range(steps):
            x = torch.full((2, 4), 0.1 * trainer.steps, dtype=torch.bfloat16)
            trainer.step((model(x).float() - 1).square().mean())
        trainer.save()
        return trainer.master["model.weight"].detach()

    whole = run(6, tmp_path / "whole.ckpt")
    run(3, tmp_path / "parts.ckpt")
    assert torch.allclose(run(3, tmp_path / "parts.ckpt"), whole, atol=1e-5)


def test_the_decoders_schedule_is_the_samplers() -> None:
    schedule = trained_schedule()
    steps = torch.tensor([0.0, 10, 500, 1200, 2500, 3999])
    alpha, sigma = decoder.alpha_sigma(steps)
    for i, step in enumerate(steps.tolist()):
        assert float(alpha[i]) == pytest.approx(schedule.alpha(step), rel=0.01)
        assert float(sigma[i]) == pytest.approx(schedule.sigma(step), rel=0.02)


def test_seventeen_codes_are_a_whole_number_of_frames() -> None:
    assert abs(decoder.UNIT_CODES * 4 * 24000 / 22050 - decoder.UNIT_FRAMES) < 0.02
    assert mel_frames(118) == 513


def test_the_bundled_model_has_the_recipes_presets_and_none_of_them_starts_from_noise() -> None:
    shipped = json.loads((Path(tutortoietts.__file__).parent / "bundled" / "model.json").read_text())["presets"]
    assert shipped == recipe.PRESETS and set(PRESETS) < set(shipped)
    assert {preset["diffusion_start"] for preset in shipped.values()} == {"regressed"}


def test_number_words() -> None:
    assert corpus.number_words(0) == "zero"
    assert corpus.number_words(42) == "forty-two"
    assert corpus.number_words(305) == "three hundred five"
    assert corpus.number_words(12_070) == "twelve thousand, seventy"


def test_templates_fill_completely_and_use_known_characters() -> None:
    lists, rng = corpus.read_templates(), random.Random(3)
    for _ in range(300):
        text = corpus.template_sentence(rng, lists)
        assert set(text.lower()) <= set(CHARACTERS) | {" "}, text


def test_tokenizer_file_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    write_tokenizer(path)
    tokenizer = Tokenizer(path)
    tokens = tokenizer.encode("Hello, you!")
    assert tokens.ids.shape == (1, len("hello, you!"))
    assert len(set(tokenizer.ids("abcdefghijklmnopqrstuvwxyz '.,?!"))) == 32


def test_damage_always_changes_the_codes() -> None:
    rng = random.Random(0)
    codes, other = np.arange(40, dtype=np.int16), np.arange(100, 130, dtype=np.int16)
    assert all(not np.array_equal(damage(codes, other, rng), codes) for _ in range(50))


def test_shards_and_codes_read_back(tmp_path: Path) -> None:
    clip = Clip("alpha", "hi.", np.arange(800, dtype=np.int16), np.array([0, 5], np.int8), np.array([0.02, 0.05], "f4"))
    write_shard(tmp_path / "s.npz", [clip, clip])
    first, second = read_shard(tmp_path / "s.npz")
    assert first.text == "hi." and np.array_equal(second.samples, clip.samples)
    assert np.array_equal(second.ends, clip.ends)
    write_coded(tmp_path / "c.npz", [coded("x", 7, 1), coded("y", 3, 2)])
    assert [(c.speaker, len(c.codes)) for c in read_coded(tmp_path / "c.npz")] == [("x", 7), ("y", 3)]


def test_phones_of_half_codes() -> None:
    ends = np.array([0.03, 0.10], np.float32)
    clip = Clip("slt", "hi.", np.zeros(1600, np.int16), np.array([4, 9], np.int8), ends)
    assert phone_at(clip, np.array([0.0, 0.029, 0.05, 0.2])).tolist() == [4, 4, 9, 0]
    assert len(half_code_phones(clip, 3)) == 6


def test_codebook_follows_its_points_and_revives_the_dead() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(400, 2, generator=generator) * 0.01 + torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(200, 1)
    book = Codebook(4, 2)
    book.start(points, generator)
    for _ in range(300):
        book.update(points, book.nearest(points), generator)
    distance = torch.cdist(points, book.entries).min(1).values
    assert float(distance.max()) < 0.1
