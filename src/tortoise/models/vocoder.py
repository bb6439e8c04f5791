"""`BigVGAN()`: the public vocoder with its public weights, for `tts.vocoder = BigVGAN()`; `UnivNetGenerator()`."""

from __future__ import annotations

import os
from typing import Any

from tutortoietts.core.config import UnivNetConfig
from tutortoietts.core.errors import OptionError
from tutortoietts.models.bigvgan import BigVGAN as _BigVGAN
from tutortoietts.models.univnet import UnivNet
from tutortoietts.weights.fetch import fetch
from tutortoietts.weights.load import load_model
from tutortoietts.weights.registry import REGISTRY

__all__ = ["BigVGAN", "UnivNetGenerator"]


class BigVGAN(_BigVGAN):
    """Mel (B, 100, F) -> waveform (B, 1, F * 256), with the weights of a public file: "bigvgan_base" (14 M parameters),
    "bigvgan" or "bigvgan_large" (112 M). Raises FetchError, saying which file to put where, if it cannot be had."""

    def __init__(self, name: str = "bigvgan_base", models_dir: str | os.PathLike[str] | None = None) -> None:
        known = [file for file, entry in REGISTRY.items() if entry.kind == "bigvgan"]
        if name not in known:
            raise OptionError(f"no public BigVGAN {name!r}; there are {', '.join(known)}")
        entry = REGISTRY[name]
        loaded = load_model("bigvgan", fetch(entry, models_dir), entry.config())
        super().__init__(entry.config())  # type: ignore[arg-type]
        self.load_state_dict(loaded.state_dict(), assign=True)
        self.eval().requires_grad_(False)


class UnivNetGenerator(UnivNet):
    """Take the original's keyword arguments (unknown ones are refused); the defaults are the public model's sizes."""

    def __init__(self, **config: Any) -> None:
        super().__init__(UnivNetConfig.from_dict(config))
