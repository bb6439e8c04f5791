"""Detect speech that Tortoise made, with the public classifier."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from tutortoietts.audio.io import load_audio
from tutortoietts.core.errors import AudioError, OptionError
from tutortoietts.models.classifier import Classifier
from tutortoietts.weights.fetch import fetch
from tutortoietts.weights.load import load_model
from tutortoietts.weights.registry import lookup

__all__ = ["classify", "detect"]

_RATE = 24000
_MOST = 220_000  # samples that the original looks at
_FEWEST = 4096  # shorter clips leave the classifier nothing to look at


def detect(
    clip: str | os.PathLike[str] | Tensor,
    *,
    models_dir: str | os.PathLike[str] | None = None,
    device: str | torch.device = "cpu",
) -> float:
    """Return the probability, 0..1, that Tortoise made a clip, by its first 9 seconds.

    clip: a sound file, or samples (1, N) or (N,) at 24 000 Hz. models_dir: folder that is searched first for the public
    file `classifier.pth`. Raise AudioError for a clip that cannot be used, FetchError if the file cannot be had.
    """
    samples = clip if isinstance(clip, Tensor) else load_audio(clip, _RATE)
    samples = samples.detach().to(torch.float32).reshape(1, -1)[:, :_MOST]
    if samples.shape[1] < _FEWEST:
        seconds = samples.shape[1] / _RATE
        raise AudioError(
            f"the clip lasts {seconds:.2f} s, too short to classify: give at least {_FEWEST / _RATE:.2f} s"
        )
    if not bool(samples.isfinite().all()):
        raise AudioError("the clip holds values that are not finite numbers: convert it again")
    path = fetch(lookup("classifier"), models_dir)
    return classify(_classifier(str(path), str(device)), samples.to(device))


@torch.inference_mode()
def classify(model: Classifier, clip: Tensor) -> float:
    """Return the probability, 0..1, that a clip (1, N) at 24 000 Hz was made by Tortoise."""
    if clip.ndim != 2 or clip.shape[0] != 1:
        raise OptionError(f"a clip to classify has shape {tuple(clip.shape)}, must be (1, samples)")
    return float(model(clip[None]).softmax(dim=-1)[0, 0])


@lru_cache(maxsize=1)
def _classifier(path: str, device: str) -> Classifier:
    loaded = load_model("classifier", Path(path), lookup("classifier").config(), torch.device(device))
    assert isinstance(loaded, Classifier)
    return loaded
