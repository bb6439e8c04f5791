"""`DiffusionTts(model_channels=1024, num_layers=10, ...)`: the diffusion decoder with the original's argument names."""

from __future__ import annotations

from typing import Any

from tutortoietts.core.config import DiffusionConfig
from tutortoietts.models.diffusion import Diffusion

__all__ = ["DiffusionTts"]


class DiffusionTts(Diffusion):
    """Takes the original's keyword arguments (unknown ones are refused); the defaults are the public model's sizes."""

    def __init__(self, **config: Any) -> None:
        super().__init__(DiffusionConfig.from_dict(config))
