"""Reference clips: find them, load them in the form that the models take, crop them reproducibly."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from torch import Tensor
from torch.nn import functional

from tutortoietts.audio.io import CLIP_SUFFIXES, load_clip
from tutortoietts.core.errors import AudioError
from tutortoietts.core.paths import expand_user

__all__ = ["CLIP_RATE", "clips_in", "crop_clip", "digest", "expand_samples", "load_clips"]

CLIP_RATE = 22050


def clips_in(folder: Path) -> tuple[Path, ...]:
    """Return the sound files of a folder, sorted by name, without hidden files and subfolders."""
    files = (file for file in folder.iterdir() if file.suffix.lower() in CLIP_SUFFIXES and file.name[0] != ".")
    return tuple(sorted(file for file in files if file.is_file()))


def expand_samples(samples: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Expand files, folders of sound files and glob patterns to files, each once, in the order given.

    Raises AudioError for a folder without sound files, a pattern that matches none and a file that is missing.
    """
    if isinstance(samples, (str, os.PathLike)):
        samples = [samples]
    found: dict[Path, None] = {}
    for sample in samples:
        if not os.fspath(sample):
            raise AudioError("a clip's name is empty: give files, a folder or a pattern like 'clips/*.wav'")
        path = expand_user(sample)
        if os.path.isdir(path):
            files = clips_in(path)
        elif os.path.exists(path):
            files = (path,)
        else:
            matches = map(Path, _matches(str(path)))
            files = tuple(file for file in matches if file.is_file())
        if not files:
            raise AudioError(f"no sound files at {sample}: give files, a folder or a pattern like 'clips/*.wav'")
        found.update(dict.fromkeys(files))
    return list(found)


def _matches(pattern: str) -> list[str]:
    try:
        return sorted(glob.glob(pattern, recursive=True))
    except (OSError, ValueError, re.error):  # a name that no file can have
        return []


def load_clips(paths: Sequence[str | os.PathLike[str]]) -> list[Tensor]:
    """Return each file as (1, N) float32 at 22 050 Hz. Raises AudioError for a clip that cannot be used."""
    return [load_clip(path, CLIP_RATE) for path in paths]


def crop_clip(clip: Tensor, samples: int) -> Tensor:
    """Crop a clip (..., N) to its middle (..., samples), or pad a shorter one with zeros at the end."""
    extra = clip.shape[-1] - samples
    if extra <= 0:
        return functional.pad(clip, (0, -extra))
    return clip[..., extra // 2 : extra // 2 + samples]


def digest(paths: Sequence[Path]) -> str:
    """Return the SHA-256 (hex) of the files' contents in this order; names and dates do not matter."""
    whole = hashlib.sha256()
    for path in paths:
        content = hashlib.sha256()
        try:
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    content.update(block)
        except OSError as error:
            raise AudioError(f"{path} cannot be read: {error.strerror or error}") from error
        whole.update(content.digest())
    return whole.hexdigest()
