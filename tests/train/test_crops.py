"""Crops: of sequences joined in one tensor, of latents with their mels, of speech with what a decoder made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import tiny_configs
from tutortoietts.audio.mel import denormalize_mel
from tutortoietts.core.config import VocosConfig
from tutortoietts.models.diffusion import Diffusion
from tutortoietts.models.vocos import Vocos
from tutortoietts.train import decoder, vocoder
from tutortoietts.train.data import Clip, write_shard
from tutortoietts.train.decoder import Pair, Pairs
from tutortoietts.train.ragged import Ragged
from tutortoietts.train.recipe import PRESETS


def numbered(codes: int, speaker: str = "anna") -> Pair:
    """Latents hold their own place in codes, the mel its own in codes, too."""
    frames = codes * 4 * 24000 // 22050
    latents = torch.arange(codes).float()[:, None].expand(-1, 4).bfloat16()
    places = (torch.arange(frames) + 0.5) / (4 * 24000 / 22050)
    return Pair(speaker, str(codes), latents, places.expand(100, -1).half())


def test_ragged_crops_are_slices() -> None:
    parts = [torch.randn(n, 2) for n in (5, 9, 3)]
    crops = Ragged(parts).crops(torch.tensor([1, 0, 1]), torch.tensor([6, 1, 0]), 3)
    assert torch.equal(crops, torch.stack([parts[1][6:9], parts[0][1:4], parts[1][:3]]))
    assert torch.equal(Ragged(parts).crops(torch.tensor([2]), 1, 5)[0, :2], parts[2][1:])


def test_crops_hold_the_mel_of_their_latents() -> None:
    pairs, generator = Pairs([numbered(90), numbered(121, "bert")]), torch.Generator().manual_seed(0)
    starts, sizes = set(), set()
    for _ in range(30):
        latents, mel, speaker = pairs.crops(generator)
        sizes.add(latents.shape[1])
        assert mel.shape[2] * 17 == latents.shape[1] * 74
        for row, heard, who in zip(latents, mel, speaker, strict=True):
            starts.add((int(who), int(row[0, 0])))
            assert abs(float(heard[0, 0]) - float(row[0, 0])) < 0.25
            assert abs(float(heard[0, -1]) - float(row[-1, 0]) - 1) < 0.25
    assert sizes == {34, 68, 119}
    assert (1, 0) in starts and (0, 51) in starts and all(start % 17 == 0 for _, start in starts)


def test_references_are_of_the_speaker_and_equalised_like_the_mel() -> None:
    made = [Pair(name, "", torch.zeros(40, 4).bfloat16(), torch.full((100, 174), value).half()) for name, value in
            (("anna", -0.5), ("bert", 0.25))]  # fmt: skip
    pairs, generator = Pairs(made), torch.Generator().manual_seed(1)
    for _ in range(5):
        _, mel, references, which = pairs.batch(generator)
        assert torch.allclose(mel[:, :, 0], references[which, 0, :, 0])
    assert len(mel[:, 0, 0].unique()) == 2


def test_what_the_decoder_made_is_read_back_by_speaker_and_text(tmp_path: Path) -> None:
    pairs = Pairs([numbered(90), numbered(20), numbered(36, "bert")])
    model = Diffusion(tiny_configs.diffusion(in_latent_channels=4)).eval()
    options = PRESETS["bundled"]
    decoder.write_made(pairs, model, options, tmp_path / "made.npz")
    made = decoder.read_made(tmp_path / "made.npz")
    assert {key: len(mel) for key, mel in made.items()} == {("anna", "90"): 2 * 148, ("bert", "36"): 148}
    low, high = denormalize_mel(torch.tensor([-1.0, 1.0]))
    assert all(low - 0.1 <= mel.float().min() and mel.float().max() <= high + 0.1 for mel in made.values())


def waves(folder: Path) -> vocoder.Waves:
    generator = np.random.default_rng(0)
    clips = [
        Clip("anna", text, generator.normal(0, 3000, 30000).astype(np.int16), np.zeros(1, np.int8), np.ones(1, "f4"))
        for text in ("a", "b")
    ]
    write_shard(folder / "anna_000.npz", clips)
    return vocoder.Waves([folder / "anna_000.npz"], 5)


def test_a_wave_has_the_mel_that_it_is_drawn_with(tmp_path: Path) -> None:
    _, mel, wave = waves(tmp_path).batch(torch.Generator().manual_seed(0), 4)
    assert float(vocoder.mel_loss(wave, mel)) < 0.02
    assert float(vocoder.mel_loss(wave.flip(0), mel)) > 0.1


def test_mels_of_the_decoder_come_in_where_there_are_any(tmp_path: Path) -> None:
    data, generator = waves(tmp_path), torch.Generator().manual_seed(0)
    data.take({("anna", "b"): torch.full((117, 100), 7.0).half()})
    given, mel, _ = data.batch(generator, 200)
    of_decoder = (given == 7.0).all(1).all(1)
    assert 0.2 < float(of_decoder.float().mean()) < 0.4  # of one clip in two
    assert not (mel == 7.0).any()


def test_the_adversary_scores_and_compares_with_each_of_its_judges() -> None:
    torch.manual_seed(0)
    adversary, model = vocoder.Adversary(), Vocos(VocosConfig(dim=8, intermediate_dim=8, layers=1))
    made, true = model(torch.randn(2, 100, 64))[:, 0], torch.randn(2, 64 * 256)
    for step in range(len(adversary.judges)):
        adversary.zero_grad()
        adversary.learn(made, true, step).backward()
        moved = [any(p.grad is not None for p in judge.parameters()) for judge in adversary.judges]
        assert moved == [n == step for n in range(len(moved))]
        with torch.no_grad():
            assert adversary.fool(true, true, step) < adversary.fool(made, true, step)
