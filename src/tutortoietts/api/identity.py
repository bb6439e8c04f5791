"""Identity of a loaded model and a voice: digests of everything in them that changes the sound."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tutortoietts.cache.files import replace_file
from tutortoietts.core.paths import cache_dir
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.engine.families import family_of
from tutortoietts.runtime.models import LoadedModels

__all__ = ["latents_digest", "model_identity"]

_log = logging.getLogger(__name__)


def model_identity(models: LoadedModels, options: SpeechOptions, *, streamed: bool = False) -> dict[str, Any]:
    """Return the digests of the weights that a request uses, its options and the precision, as JSON can hold them."""
    source = models.source
    needed = [*family_of(models.spec).components(models, options, streamed=streamed), "tokenizer"]
    return {
        "model": source.model_id,
        "weights": {name: _file_digest(source.file(name)) for name in needed},
        "options": json.loads(json.dumps(asdict(options), default=str)),
        "precision": models.precision.name,
    }


def latents_digest(latents: Iterable[Tensor | None]) -> str:
    """Return the digest of what makes a voice."""
    digest = hashlib.sha256()
    for latent in latents:
        digest.update(b"-" if latent is None else latent.detach().to("cpu", torch.float32).numpy().tobytes())
    return digest.hexdigest()


_known: dict[tuple[Path, int, int], str] = {}


def _file_digest(path: Path) -> str:
    """The digest of a file, remembered by its size and time, since weights are large and seldom change."""
    stat = path.stat()
    seen = path, stat.st_size, stat.st_mtime_ns
    if seen not in _known:
        _known[seen] = _kept_digest(path, f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}")
    return _known[seen]


def _kept_digest(path: Path, key: str) -> str:
    """The digest of a file, from the user's cache if it is known there."""
    memory = cache_dir() / "digests.json"
    try:
        kept: Mapping[str, str] = json.loads(memory.read_text(encoding="utf-8"))
        if isinstance(kept.get(key), str):
            return kept[key]
    except (OSError, ValueError, AttributeError):
        kept = {}
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        replace_file(memory, json.dumps({**kept, key: digest.hexdigest()}).encode(), durable=False)
    except OSError as error:
        _log.debug("digests cannot be remembered: %s", error)
    return digest.hexdigest()
