"""`CLVP(...)`: the model that ranks candidates, with the original's argument names."""

from __future__ import annotations

from typing import Any

from tutortoietts.core.config import ClvpConfig
from tutortoietts.models.clvp import Clvp

__all__ = ["CLVP"]


class CLVP(Clvp):
    """Take the original's keyword arguments (unknown ones are refused); the defaults are the public model's sizes."""

    def __init__(self, **config: Any) -> None:
        super().__init__(ClvpConfig.from_dict(config))
