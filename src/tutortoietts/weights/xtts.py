"""The files of an XTTS-v2 release: one checkpoint that holds three models, its configuration, its built-in voices."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from tutortoietts.core.config_xtts import XttsModelConfigs
from tutortoietts.core.errors import ModelError
from tutortoietts.weights.read import load_checkpoint

__all__ = ["built_in_voices", "mel_stats", "part", "read_configs", "vocabulary_of"]

_PREFIXES = {
    "xtts": "gpt.",
    "hifigan": "hifigan_decoder.waveform_decoder.",
    "speaker_encoder": "hifigan_decoder.speaker_encoder.",
}
_FINE_TUNED = "xtts."
_MARKS = (_FINE_TUNED, "gpt.gpt.", "hifigan_decoder.")  # a whole release, not one of its models alone
_TRAINING = ("dvae.", "torch_mel_spectrogram_style_encoder.", "torch_mel_spectrogram_dvae.")
_DUPLICATES = ("gpt.gpt_inference.", "gpt.gpt.wte.weight")
_V1_TABLES = ("gpt.prompt_embedding.", "gpt.prompt_pos_embedding.")
_STATS = "mel_stats"


def part(kind: str) -> Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]:
    """Return what takes the tensors of one model, under that model's own keys, out of a whole checkpoint.

    A state without the marks of a release is returned as it is. It raises ModelError for XTTS v1 and for keys that no
    model of a release has.
    """
    own = _PREFIXES[kind]

    def select(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        if not any(key.startswith(_MARKS) for key in state):
            return state
        return {key.removeprefix(own): tensor for key, tensor in _models_of(state).items() if key.startswith(own)}

    return select


def _models_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the three models and `mel_stats`: prefix off, duplicates and what only training needs left out."""
    tuned = any(key.startswith(_FINE_TUNED) for key in state)
    kept: dict[str, Tensor] = {}
    for full, tensor in state.items():
        key = full.removeprefix(_FINE_TUNED)
        if key.startswith(_V1_TABLES):
            message = f"{full} belongs to XTTS v1, another architecture, which is not supported: use XTTS-v2"
            raise ModelError(message, key=full)
        if key.startswith(_DUPLICATES) or (tuned and key.startswith(_TRAINING)):
            continue
        kept[key] = tensor
    for key in kept:
        if key != _STATS and not key.startswith(tuple(_PREFIXES.values())):
            raise ModelError(f"unknown key {key}: no model of an XTTS-v2 release has it", key=key)
    return kept


def mel_stats(state: Mapping[str, Tensor]) -> Tensor:
    """Return the 80 numbers by which a reference clip's mel is divided. ModelError where the checkpoint lacks them."""
    for key in (_STATS, _FINE_TUNED + _STATS):
        if key in state:
            return state[key].float()
    raise ModelError(f"the checkpoint lacks {_STATS}", key=_STATS)


def read_configs(path: str | os.PathLike[str], vocabulary: Mapping[str, int] | None = None) -> XttsModelConfigs:
    """Read sizes and defaults from a release's config.json, or from the configuration pickled into its model.pth.

    vocabulary: ids by token, for start and stop tokens that the configuration leaves to it.
    Raises ModelError for a file that is absent, damaged, or of another model.
    """
    path = Path(path)
    if path.suffix != ".json":
        content = load_checkpoint(path)
        config = content.get("config") if isinstance(content, Mapping) else None
        values = _plain(config)
        if not isinstance(values, Mapping):
            raise ModelError(f"{path}: holds no configuration: put the release's config.json beside it", file=path)
        return XttsModelConfigs.from_release(values, vocabulary)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as JSON ({error}): fetch it again", file=path) from error
    if not isinstance(values, Mapping):
        raise ModelError(f"{path}: holds a {type(values).__name__}, not an object", file=path)
    return XttsModelConfigs.from_release(values, vocabulary)


def vocabulary_of(path: str | os.PathLike[str]) -> dict[str, int]:
    """Read the ids of the added tokens of a vocabulary file, such as [START] and [en]. Raises ModelError."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(token["content"]): int(token["id"]) for token in content["added_tokens"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: no tokenizer file with added tokens ({error}): fetch it again", file=path) from error


def _plain(value: Any) -> Any:
    """Objects that stand in for the original's configuration classes, as mappings of what was set on them."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in vars(value).items()} if hasattr(value, "__dict__") else value


def built_in_voices(path: str | os.PathLike[str]) -> dict[str, tuple[Tensor, Tensor]]:
    """Read speakers_xtts.pth: name -> prompt latents (1, P, D) and speaker vector (1, C), float32.

    Raises ModelError naming the voice for an entry of another form.
    """
    content = load_checkpoint(path)
    if not isinstance(content, Mapping) or not content:
        raise ModelError(f"{path}: holds no voices by name", file=path)
    voices: dict[str, tuple[Tensor, Tensor]] = {}
    for name, entry in content.items():
        prompt, vector = (_tensor(entry, key) for key in ("gpt_cond_latent", "speaker_embedding"))
        if prompt is None or vector is None or prompt.ndim != 3 or vector.ndim != 3:
            raise ModelError(f"{path}: voice {name!r} lacks gpt_cond_latent or speaker_embedding", file=path, key=name)
        voices[str(name)] = prompt.float(), vector.float().flatten(1)
    return voices


def _tensor(entry: object, key: str) -> Tensor | None:
    found = entry.get(key) if isinstance(entry, Mapping) else None
    return found if isinstance(found, Tensor) and bool(found.isfinite().all()) else None
