"""Speech to a vector that says who speaks: a ResNet with squeeze-and-excitation and attentive statistics pooling.

He et al. 2015 (arXiv:1512.03385), Hu et al. 2018 (arXiv:1709.01507), Okabe et al. 2018 (arXiv:1803.10963).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.config_xtts import SpeakerEncoderConfig

__all__ = ["SpeakerEncoder"]

_REDUCTION = 8
_ATTENTION = 128
_VARIANCE_FLOOR = 1e-5


class BatchNorm(nn.Module):
    """(B, C, ...) -> same, by the mean and variance that training found."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.running_mean: Tensor
        self.running_var: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)


class Block(nn.Module):
    """(B, C, bands, T) -> (B, C', bands / stride, T / stride): two convolutions, weights, and the input added."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = BatchNorm(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = BatchNorm(after)
        self.squeeze = nn.Linear(after, after // _REDUCTION)
        self.excite = nn.Linear(after // _REDUCTION, after)
        self.shortcut: nn.Module | None = None
        if stride != 1 or before != after:
            shortcut = nn.Conv2d(before, after, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(shortcut, BatchNorm(after))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(F.relu(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        weights = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean(dim=(2, 3))))))
        x = x if self.shortcut is None else self.shortcut(x)
        return F.relu(y * weights[:, :, None, None] + x)


class SpeakerEncoder(nn.Module):
    """Features of speech (B, input_dim, T), of `audio.mel.speaker_features` -> vectors of length 1, (B, proj_dim)."""

    def __init__(self, cfg: SpeakerEncoderConfig) -> None:
        super().__init__()
        self.cfg = cfg
        width = cfg.num_filters[0]
        self.conv = nn.Conv2d(1, width, 3, padding=1)
        self.norm = BatchNorm(width)
        self.stages = nn.ModuleList()
        for stage, (blocks, after) in enumerate(zip(cfg.layers, cfg.num_filters, strict=True)):
            first = Block(width, after, 1 if stage == 0 else 2)
            self.stages.append(nn.Sequential(first, *(Block(after, after, 1) for _ in range(blocks - 1))))
            width = after
        channels = width * cfg.bands
        self.attend_in = nn.Conv1d(channels, _ATTENTION, 1)
        self.attend_norm = BatchNorm(_ATTENTION)
        self.attend_out = nn.Conv1d(_ATTENTION, channels, 1)
        self.project = nn.Linear(2 * channels, cfg.proj_dim)

    def pooled(self, features: Tensor) -> Tensor:
        """Describe speech by mean and deviation over time: features (B, input_dim, T) -> (B, 2 * channels)."""
        x = features.to(self.conv.weight)
        x = self.norm(F.relu(self.conv(x[:, None])))
        for stage in self.stages:
            x = stage(x)
        x = x.flatten(1, 2)  # (B, C * bands, T / 8)
        weights = self.attend_out(self.attend_norm(F.relu(self.attend_in(x)))).softmax(dim=2)
        mean = (x * weights).sum(dim=2)
        variance = (x.square() * weights).sum(dim=2) - mean.square()
        return torch.cat([mean, variance.clamp(min=_VARIANCE_FLOOR).sqrt()], dim=1)

    def raw(self, features: Tensor) -> Tensor:
        """Return the vectors before they get length 1: features (B, input_dim, T) -> (B, proj_dim)."""
        return self.project(self.pooled(features))  # type: ignore[no-any-return]

    def forward(self, features: Tensor) -> Tensor:
        """Return the speaker vectors of features (B, input_dim, T) -> (B, proj_dim)."""
        return F.normalize(self.raw(features), dim=1)
