"""The key of a phrase: a digest of everything that changes its sound."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["EPOCH", "FORMAT", "phrase_key"]

FORMAT = 1
EPOCH = 1
"""Raised whenever the same inputs sound different with a new version of the package."""


def phrase_key(*, identity: Mapping[str, Any], voice: str, spoken: str, seed: int) -> str:
    """Return the key, 64 hex digits.

    identity: digests of the weights, options, precision, sample rate: all that the engine adds; voice: digest of the
    voice's latents; spoken: the text as given to the model. Not in it: devices, threads, paths, output formats.
    """
    parts = {
        "format": FORMAT, "epoch": EPOCH, "identity": dict(identity), "voice": voice, "spoken": spoken, "seed": seed,
    }  # fmt: skip
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
