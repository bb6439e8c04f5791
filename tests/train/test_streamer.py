"""The streaming decoder's stage writes what the model reads."""

from __future__ import annotations

from pathlib import Path

import torch
from test_crops import numbered

from tutortoietts.core.config import StreamVocosConfig
from tutortoietts.models.stream_vocos import StreamFront
from tutortoietts.train import streamer
from tutortoietts.train.decoder import Pairs
from tutortoietts.train.export import averaged
from tutortoietts.train.log import Log

CONFIG = StreamVocosConfig(in_channels=4, cond_channels=4, dim=16, intermediate_dim=16, layers=1)


def test_training_writes_what_the_model_reads(tmp_path: Path) -> None:
    path = tmp_path / "stream.ckpt"
    speakers = {"anna": torch.ones(3, 4)}
    streamer.train(Pairs([numbered(60)]), speakers, path, 0.001, Log(tmp_path / "log.jsonl"), CONFIG)
    front = StreamFront(CONFIG)
    front.load_state_dict(averaged(path))
    assert front(torch.zeros(1, 9, 4), torch.zeros(1, 4)).isfinite().all()
