"""Voice files: one safetensors file with `speaker` (1, D) and, unless it can only stream, `diffusion` (1, 2C).

The metadata name the model that made the latents, so that no other model is given them:
`format` "tutortoietts-voice-1", `name`, `model`, and `clips`, the digest of the clips it was made from, if any.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tutortoietts.core.errors import OptionError, OutputError, VoiceError
from tutortoietts.core.types import Voice
from tutortoietts.weights.read import is_dense, refuse_inflating

__all__ = ["SUFFIX", "file_name", "is_sound", "read_original", "read_tags", "read_voice", "write_voice"]

SUFFIX = ".safetensors"
FORMAT = "tutortoietts-voice-1"
MOST_BYTES = 1 << 26  # of a file of latents, which are some kilobytes
GREATEST = 1e4  # of a latent's values, which are about 1
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def file_name(model: str) -> str:
    """Return the file name for latents of a model id, which may contain any characters."""
    return re.sub(r"[^\w.-]", "_", model).lstrip(".") + SUFFIX


def write_voice(path: str | os.PathLike[str], voice: Voice, *, clips: str = "") -> Path:
    """Save a voice, under a temporary name first, so that the file is complete or absent. Folders are made.

    `clips`: digest of the clips it was made from. Raises OutputError if it cannot be written.
    """
    path = Path(path)
    tensors = {"speaker": _plain(voice.speaker)}
    if voice.diffusion is not None:
        tensors["diffusion"] = _plain(voice.diffusion)
    tags = {"format": FORMAT, "name": voice.name, "model": voice.model}
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(save(tensors, metadata={**tags, "clips": clips} if clips else tags))
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"voice file {path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return path


def read_tags(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the metadata of a voice file, without its tensors. Raises VoiceError for any other file."""
    _check_size(path)
    try:
        with safe_open(path, "pt") as file:
            tags = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise VoiceError(f"{path} is no voice file ({error}): make it again from clips") from error
    if tags.get("format") != FORMAT or not tags.get("model"):
        raise VoiceError(f"{path} is not tagged as a voice of some model: make it again from clips")
    return tags


def read_voice(path: str | os.PathLike[str]) -> Voice:
    """Read a voice, float32 on the CPU. Raises VoiceError for a file that is not a voice or is damaged."""
    tags = read_tags(path)
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise VoiceError(f"{path} is damaged ({error}): make it again from clips") from error
    if not {"speaker"} <= tensors.keys() <= {"speaker", "diffusion"}:
        raise VoiceError(f"{path} holds {sorted(tensors)}, must hold speaker and diffusion: make it again from clips")
    name = tags.get("name") or Path(path).stem
    return _checked(path, name, tags["model"], tensors["speaker"], tensors.get("diffusion"))


def read_original(path: str | os.PathLike[str], model: str) -> Voice:
    """Read latents that the original Tortoise saved, a pickled pair (speaker, diffusion), for `model`.

    No code in the file is run. Raises VoiceError for a file that holds no such pair.
    """
    _check_size(path)
    try:
        refuse_inflating(Path(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pair = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling raises nearly anything; all of it means the same here
        raise VoiceError(f"{path} cannot be read as saved latents: make the voice again from clips") from error
    if not isinstance(pair, (tuple, list)) or not all(isinstance(item, Tensor) for item in pair) or len(pair) < 2:
        raise VoiceError(f"{path} does not hold a pair of latents: make the voice again from clips")
    return _checked(path, Path(path).stem, model, pair[0], pair[1])


def is_sound(latent: Tensor) -> bool:
    """Return True if all values of a latent are numbers of a size that a model can work with."""
    return latent.numel() == 0 or float(latent.detach().double().abs().max()) <= GREATEST


def _check_size(path: str | os.PathLike[str]) -> None:
    try:
        size = os.stat(path).st_size
    except (OSError, ValueError) as error:
        raise VoiceError(f"{path} is no voice file ({error}): check the path") from error
    if size > MOST_BYTES:
        raise VoiceError(f"{path} has {size} bytes, over the {MOST_BYTES} of any voice: it is another kind of file")


def _plain(latent: Tensor) -> Tensor:
    return latent.detach().to("cpu", torch.float32).contiguous()


def _checked(path: str | os.PathLike[str], name: str, model: str, speaker: Tensor, diffusion: Tensor | None) -> Voice:
    latents = [latent for latent in (speaker, diffusion) if latent is not None]
    if not all(is_dense(latent) and latent.dtype in _DTYPES for latent in latents):
        raise VoiceError(f"{path} holds latents that are no plain numbers: make the voice again from clips")
    if not all(is_sound(latent) for latent in latents):
        raise VoiceError(
            f"{path} holds latents that are not numbers, or beyond {GREATEST:g}: make the voice again from clips"
        )
    try:
        plain = None if diffusion is None else _plain(diffusion)
        return Voice(name=name, model=model, speaker=_plain(speaker), diffusion=plain)
    except OptionError as error:
        raise VoiceError(f"{path}: {error}; make the voice again from clips") from error
