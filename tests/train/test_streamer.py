"""The stage of the streaming decoder: crops stay aligned, training writes what the model reads."""

from __future__ import annotations

import random
from pathlib import Path

import torch

from tutortoietts.core.config import StreamVocosConfig
from tutortoietts.models.stream_vocos import StreamFront
from tutortoietts.train import streamer
from tutortoietts.train.decoder import Pair
from tutortoietts.train.export import averaged
from tutortoietts.train.log import Log

CONFIG = StreamVocosConfig(in_channels=4, cond_channels=4, dim=16, intermediate_dim=16, layers=1)


def numbered(codes: int) -> Pair:
    """Latents hold their own place in codes, the mel its own in codes, too."""
    frames = codes * 4 * 24000 // 22050
    latents = torch.arange(codes).float()[:, None].expand(-1, 4).bfloat16()
    places = (torch.arange(frames) + 0.5) / (4 * 24000 / 22050)
    return Pair("anna", latents, places.expand(100, -1).half())


def test_crops_hold_the_mel_of_their_latents() -> None:
    rng, speakers = random.Random(0), {"anna": torch.ones(3, 4)}
    starts = set()
    for _ in range(20):
        latents, voices, mel = streamer.batch([numbered(90), numbered(120)], speakers, rng, 2, 3)
        assert latents.shape == (3, 34, 4) and voices.shape == (3, 4) and mel.shape == (3, 100, 148)
        for row, heard in zip(latents, mel, strict=True):
            starts.add(int(row[0, 0]))
            assert abs(float(heard[0, 0]) - float(row[0, 0])) < 0.25
            assert abs(float(heard[0, -1]) - float(row[-1, 0]) - 1) < 0.25
    assert len(starts) > 3 and all(start % 17 == 0 for start in starts)


def test_training_writes_what_the_model_reads(tmp_path: Path) -> None:
    pairs = [numbered(60)]
    path = tmp_path / "stream.ckpt"
    speakers = {"anna": torch.ones(3, 4)}
    streamer.train(pairs, speakers, path, 0.001, Log(tmp_path / "log.jsonl"), CONFIG)
    front = StreamFront(CONFIG)
    front.load_state_dict(averaged(path))
    assert front(torch.zeros(1, 9, 4), torch.zeros(1, 4)).isfinite().all()
