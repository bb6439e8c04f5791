"""Crops: of sequences joined in one tensor, of latents with their mels and samples, of speech with its mel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tutortoietts.core.config import VocosConfig
from tutortoietts.models.vocos import Vocos
from tutortoietts.train import vocoder
from tutortoietts.train.data import Clip, write_shard
from tutortoietts.train.decoder import UNIT_CODES, UNIT_FRAMES, Pair, Pairs
from tutortoietts.train.ragged import Ragged
from tutortoietts.train.vocoder import HOP


def numbered(codes: int, speaker: str = "anna") -> Pair:
    """Latents hold their own place in codes, the mel its own in codes, too; samples the number of their frame."""
    frames = codes * 4 * 24000 // 22050
    latents = torch.arange(codes).float()[:, None].expand(-1, 4).bfloat16()
    places = (torch.arange(frames) + 0.5) / (4 * 24000 / 22050)
    samples = torch.arange(frames)[:, None].expand(-1, HOP).short()
    return Pair(speaker, str(codes), latents, places.expand(100, -1).half(), samples)


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


def test_crops_to_be_heard_hold_the_samples_of_their_latents() -> None:
    pairs, generator = Pairs([numbered(90), numbered(121, "bert")]), torch.Generator().manual_seed(0)
    latents, mel, samples, speaker = pairs.heard(generator, 20)
    assert latents.shape[1:] == (2 * UNIT_CODES, 4) and mel.shape[1:] == (100, 2 * UNIT_FRAMES)
    assert len(latents) == len(mel) == len(samples) == 20 and set(speaker.tolist()) == {0, 1}
    frames = (32768 * samples).view(20, -1, HOP)
    first = latents[:, 0, 0].float() / UNIT_CODES * UNIT_FRAMES
    assert len(first.unique()) > 3
    assert torch.equal(frames, (first[:, None] + torch.arange(2 * UNIT_FRAMES))[..., None].expand(-1, -1, HOP))


def test_references_are_of_the_speaker_and_equalised_like_the_mel() -> None:
    latents, samples = torch.zeros(40, 4).bfloat16(), torch.zeros(174, HOP).short()
    mels = {"anna": torch.full((100, 174), -0.5).half(), "bert": torch.full((100, 174), 0.25).half()}
    made = [Pair(name, "", latents, mel, samples) for name, mel in mels.items()]
    pairs, generator = Pairs(made), torch.Generator().manual_seed(1)
    for _ in range(5):
        _, mel, references, which = pairs.batch(generator)
        assert torch.allclose(mel[:, :, 0], references[which, 0, :, 0])
    assert len(mel[:, 0, 0].unique()) == 2


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


def test_half_of_the_mels_are_given_blurred(tmp_path: Path) -> None:
    given, mel, _ = waves(tmp_path).batch(torch.Generator().manual_seed(0), 200)
    as_they_are = (given == mel).flatten(1).all(1)
    assert 0.4 < float(as_they_are.float().mean()) < 0.6
    assert float(given.diff(dim=1)[~as_they_are].abs().mean()) < float(mel.diff(dim=1)[~as_they_are].abs().mean())


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
