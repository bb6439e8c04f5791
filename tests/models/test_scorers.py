"""CVVP and the classifier: what they promise beside the golden numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from tutortoietts.core.config import ClassifierConfig, CvvpConfig
from tutortoietts.models.classifier import Classifier
from tutortoietts.models.cvvp import Cvvp

CVVP = CvvpConfig(
    model_dim=32, transformer_heads=2, mel_codes=11, conditioning_enc_depth=1, speech_enc_depth=1, head_dim=16,
    rotary_dim=8, latent_multiplier=2,
)  # fmt: skip


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_cvvp_encodes_a_clip_once_for_all_candidates() -> None:
    model, mel = Cvvp(CVVP), draw(1, 80, 29)
    codes = torch.randint(11, (4, 13), generator=torch.Generator().manual_seed(2))
    clip = model.encode_mel(mel)
    torch.testing.assert_close(clip.norm(dim=-1), torch.ones(1))
    assert clip.shape == (1, 64)
    together = model.score(clip, model.encode_codes(codes))
    apart = torch.cat([model(mel, row[None]) for row in codes])
    torch.testing.assert_close(together, apart)
    assert together.unique().numel() == 4


@torch.no_grad()
def test_classifier_takes_any_length() -> None:
    model = Classifier(ClassifierConfig(base_channels=8, embedding_dim=32, num_attn_heads=2, attn_blocks=1, depth=2))
    for length in (16, 1000, 1023):
        assert model(draw(2, 1, length)).shape == (2, 2)
