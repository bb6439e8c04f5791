"""Classifier of clips that Tortoise made: a small network over the raw waveform."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from tutortoietts.core.config import ClassifierConfig
from tutortoietts.nn.blocks import AttentionBlock, group_norm

__all__ = ["Classifier"]


class Classifier(nn.Module):
    """Classifier, waveform (B, spec_dim, L) -> logits (B, classes); class 0: made by Tortoise."""

    def __init__(self, cfg: ClassifierConfig) -> None:
        super().__init__()
        self.cfg = cfg
        width, size = cfg.base_channels, cfg.kernel_size
        self.init = nn.Conv1d(cfg.spec_dim, width, 3, padding=1)
        self.res = nn.Sequential()
        for _ in range(cfg.depth):
            for _ in range(cfg.resnet_blocks):
                self.res.append(_ResidualBlock(width, size))
            self.res.append(nn.Conv1d(width, 2 * width, 5, stride=cfg.downsample_factor, padding=2))
            width *= 2
        self.final_norm = group_norm(width)
        self.final_conv = nn.Conv1d(width, cfg.embedding_dim, 1)
        self.attn = nn.Sequential(
            *(AttentionBlock(cfg.embedding_dim, cfg.num_attn_heads) for _ in range(cfg.attn_blocks))
        )
        self.head = nn.Linear(cfg.embedding_dim, cfg.classes)

    def forward(self, clip: Tensor) -> Tensor:
        """Return logits (B, classes) of clips (B, spec_dim, L), samples in [-1, 1]."""
        x = self.res(self.init(clip))
        x = self.attn(self.final_conv(F.silu(self.final_norm(x))).transpose(1, 2).contiguous())
        logits: Tensor = self.head(x[:, 0])
        return logits


class _ResidualBlock(nn.Module):
    """Residual block, (B, C, L) -> (B, C, L): twice GroupNorm, SiLU, convolution; the input added."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = group_norm(width), group_norm(width)
        self.conv1 = nn.Conv1d(width, width, size, padding=size // 2)
        self.conv2 = nn.Conv1d(width, width, size, padding=size // 2)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(F.silu(self.norm1(x)))
        out: Tensor = x + self.conv2(F.silu(self.norm2(inner)))
        return out
