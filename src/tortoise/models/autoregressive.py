"""`UnifiedVoice(...)`: the autoregressive model, with the original's argument names."""

from __future__ import annotations

from typing import Any

from tutortoietts.core.config import AutoregressiveConfig
from tutortoietts.models.autoregressive import Autoregressive

__all__ = ["UnifiedVoice"]


class UnifiedVoice(Autoregressive):
    """Take the original's keyword arguments (unknown ones are refused); the defaults are the public model's sizes."""

    def __init__(self, **config: Any) -> None:
        super().__init__(AutoregressiveConfig.from_dict(config))
