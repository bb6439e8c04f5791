"""Random voices: normal noise to a speaker latent."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from tutortoietts.core.config import RandomLatentConfig

__all__ = ["RandomLatent"]


class RandomLatent(nn.Module):
    """Network, noise (B, C) -> latent (B, C).

    The equalised learning rate of the original Tortoise (weights times 0.1 / sqrt(C), biases times 0.1) and the gain of
    sqrt(2) after each activation are folded into the weights when a checkpoint is converted.
    """

    def __init__(self, cfg: RandomLatentConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.hidden = nn.ModuleList(nn.Linear(cfg.channels, cfg.channels) for _ in range(cfg.layers))
        self.out = nn.Linear(cfg.channels, cfg.channels)

    def forward(self, noise: Tensor) -> Tensor:
        """Return a latent (B, C) of standard normal noise (B, C)."""
        x = noise
        for layer in self.hidden:
            x = F.leaky_relu(layer(x), 0.2)
        latent: Tensor = self.out(x)
        return latent
