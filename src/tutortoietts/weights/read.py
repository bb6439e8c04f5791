"""Read tensors from files. A pickle is read with torch's restricted unpickler only, which runs no code.

load_state(path, nested=None) -> {key: tensor} on the CPU, as the file has it
load_tensor(path) -> the only tensor of a file (mel_norms.pth)
load_checkpoint(path) -> whatever plain values a pickle holds

The public XTTS checkpoint carries a pickled configuration. Its four classes are replaced by empty ones, which keep what
was set on them and run nothing; no other class is let in.
"""

from __future__ import annotations

import contextlib
import os
import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tutortoietts.core.errors import ModelError

__all__ = [
    "check_finite",
    "is_dense",
    "is_ours",
    "load_checkpoint",
    "load_state",
    "load_tensor",
    "refuse_inflating",
    "stored_elements",
]

GREATEST_WEIGHT = 1e8
_ZIP = b"PK\x03\x04"
_INFLATION, _SMALL = 4, 1 << 24


class _StandIn:
    """In place of a class of another program: it has no code, only what the pickle sets on it."""


def _stand_in(name: str) -> tuple[Callable[..., Any], str]:
    return type(name.rpartition(".")[2], (_StandIn,), {}), name


_STAND_INS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    _stand_in("TTS.tts.configs.xtts_config.XttsConfig"),
    _stand_in("TTS.tts.models.xtts.XttsArgs"),
    _stand_in("TTS.tts.models.xtts.XttsAudioConfig"),
    _stand_in("TTS.config.shared_configs.BaseDatasetConfig"),
]
_LEGACY_PICKLES = 5  # torch's old format: three pickles of preamble, the content, the list of storages


def load_state(path: str | os.PathLike[str], nested: str | None = None) -> dict[str, Tensor]:
    """Return all tensors of a file, on the CPU. nested: the entry of a pickled checkpoint that holds them, if any.

    Raises ModelError if the file is absent, truncated, not a checkpoint, or holds anything but plain tensors.
    """
    path = _existing(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    loaded = _read_pickle(path)
    if nested is not None and isinstance(loaded, Mapping) and isinstance(loaded.get(nested), Mapping):
        loaded = loaded[nested]
    return _tensors_only(loaded, path)


def load_tensor(path: str | os.PathLike[str]) -> Tensor:
    """Return the only tensor of a file (the public ``mel_norms.pth``), float32 on the CPU. Raises ModelError."""
    path = _existing(path)
    if path.suffix == ".safetensors":
        state = _read_safetensors(path)
        if len(state) != 1:
            raise ModelError(f"{path}: holds {len(state)} tensors, expected one", file=path)
        return _finite(path, *next(iter(state.items()))).float()
    loaded = _read_pickle(path)
    if not isinstance(loaded, Tensor):
        raise ModelError(f"{path}: holds a {type(loaded).__name__}, expected one tensor", file=path)
    if not is_dense(loaded):
        raise ModelError(f"{path}: is not a plain dense tensor", file=path)
    return _finite(path, "the tensor", loaded.detach()).float()


def check_finite(state: Mapping[str, Tensor], file: str | os.PathLike[str] | None) -> None:
    """Raise ModelError, naming file and key, for a weight that is no number or of a size that no model has."""
    for key, tensor in state.items():
        _finite(file or "state", key, tensor)


def _finite(file: str | os.PathLike[str], key: str, tensor: Tensor) -> Tensor:
    if tensor.is_floating_point() and tensor.numel() and not tensor.is_meta:
        try:
            least, most = (float(one) for one in tensor.aminmax())
        except (RuntimeError, NotImplementedError) as error:
            raise ModelError(
                f"{file}: {key} holds {tensor.dtype}, which is not read here", file=file, key=key
            ) from error
        if not (-GREATEST_WEIGHT <= least and most <= GREATEST_WEIGHT):  # also where one of them is NaN
            raise ModelError(
                f"{file}: {key} holds values that are not numbers or beyond {GREATEST_WEIGHT:g} (from {least:g} to "
                f"{most:g}): the file is damaged; fetch it again",
                file=file,
                key=key,
            )
    return tensor


def load_checkpoint(path: str | os.PathLike[str]) -> object:
    """Read the plain values of a pickle: tensors, numbers, texts, lists, mappings.

    Raises ModelError as `load_state`.
    """
    return _read_pickle(_existing(path))


def is_ours(path: Path) -> bool:
    """Return True if a safetensors file is marked as holding our keys."""
    with safe_open(path, "pt") as file:
        return "tutortoietts" in (file.metadata() or {})


def stored_elements(tensor: Tensor) -> int:
    """Return the number of elements in a tensor's storage: an expanded view claims more."""
    return tensor.untyped_storage().nbytes() // tensor.element_size()


def is_dense(tensor: Tensor) -> bool:
    """Return True for a plain tensor that stores all elements that it claims to have."""
    return (
        tensor.layout is torch.strided
        and not tensor.is_quantized
        and tensor.device.type == "cpu"
        and tensor.numel() <= stored_elements(tensor)
    )


def refuse_inflating(path: Path) -> None:
    """Raise ModelError for an archive whose content is much larger than itself: torch stores it uncompressed."""
    if not _is_zip(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            whole = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise ModelError(f"{path}: truncated or damaged archive ({error}); fetch it again", file=path) from error
    if whole > _INFLATION * path.stat().st_size + _SMALL:
        raise ModelError(f"{path}: unpacks to {whole} bytes, far more than it has; nothing was unpacked", file=path)


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: there is no such file", file=path)
    return path


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path}: not a complete safetensors file ({error}); fetch it again", file=path) from error


def _read_pickle(path: Path) -> object:
    refuse_inflating(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_STAND_INS):
            warnings.simplefilter("ignore")  # torch's advice on storages and formats is not the user's business
            loaded: object = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except MemoryError:
        raise
    except Exception as error:  # a damaged or hostile pickle can fail in any way; all of them mean the same here
        named = re.search(r"GLOBAL (\w[\w.]*)", str(error))
        key, wanted = _first_code(path, named.group(1) if named else None)
        if wanted is None:
            message = f"truncated or damaged ({type(error).__name__}); fetch it again"
        else:
            message = f"a pickle with code in it: entry {key or '?'} asks for {wanted}; nothing was executed"
        raise ModelError(f"{path}: not a checkpoint of plain tensors: {message}", file=path, key=key) from error
    return loaded


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == _ZIP


def _first_code(path: Path, refused: str | None) -> tuple[str | None, str | None]:
    """Return the entry of a pickle that names code, and that name, by reading the opcodes without running them.

    refused: the name that the unpickler refused; without it, the first that does not belong to tensors.
    """
    key: str | None = None
    with contextlib.suppress(Exception):  # it only words an error that is certain already
        for text, code in _opcodes(path):
            if code is None:
                key = text
            elif code == refused or (refused is None and code.split(".")[0] not in ("torch", "collections")):
                return key, code
    return None, refused


def _opcodes(path: Path) -> Iterator[tuple[str, str | None]]:
    """Yield (text, None) for each string of a pickle, (the string before it, name) for each class or function."""
    with _pickles(path) as stream:
        for _ in range(_LEGACY_PICKLES):
            texts: list[str] = [""]
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == "GLOBAL":
                    yield texts[-1], str(argument).replace(" ", ".")
                elif opcode.name == "STACK_GLOBAL":
                    yield texts[-3] if len(texts) > 3 else "", None
                    yield texts[-1], ".".join(texts[-2:])
                elif opcode.name.endswith("UNICODE"):
                    texts.append(str(argument))
                    yield texts[-1], None


@contextlib.contextmanager
def _pickles(path: Path) -> Iterator[IO[bytes]]:
    """Open the pickle of a checkpoint: inside the archive, or the file itself."""
    if not _is_zip(path):
        with path.open("rb") as stream:
            yield stream
        return
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        with archive.open(name) as stream:
            yield stream


def _tensors_only(loaded: object, path: Path) -> dict[str, Tensor]:
    if not isinstance(loaded, Mapping):
        raise ModelError(f"{path}: holds a {type(loaded).__name__}, not tensors by name", file=path)
    state: dict[str, Tensor] = {}
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ModelError(
                f"{path}: entry {key!s} is a {type(value).__name__}, not a tensor", file=path, key=str(key)
            )
        if not is_dense(value):
            raise ModelError(f"{path}: entry {key} is not a plain dense tensor", file=path, key=key)
        state[key] = value.detach()
    return state
