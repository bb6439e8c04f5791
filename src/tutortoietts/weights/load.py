"""Files to modules. Nothing here executes what a file contains, and a module is built wholly or not at all.

    load_model(kind, path, config, device="cpu", dtype=torch.float32, *, name=None, cache=True) -> module, eval, frozen
        ``path`` is a public checkpoint (.pth, .pt, .bin pickle or .safetensors with the original keys), one file of
        ours (.safetensors with our keys) or a model directory (ours; its file ``name`` or the usual one of that kind).
        A pickle is converted once to safetensors in the user's cache; ``cache=False`` leaves the cache alone.
    load_state(path, nested=None) -> {key: tensor} on the CPU, as the file has it
    build(module_factory, state, device, dtype, *, file=None) -> module from a state with our keys
    save_state(path, state, *, kind=None, dtype=None) -> safetensors with our keys, written atomically
    model_class(kind) -> the class; its one argument is its config

Kinds: autoregressive, bigvgan, classifier, clvp, cvvp, diffusion, dvae, hifigan, random_latent, univnet, vocos.
Parameters and persistent buffers come from the state and get ``dtype``; a module's constants (buffers registered with
``persistent=False``) must be made with ``device="cpu"`` written out, because modules are built on the meta device.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tutortoietts.core.errors import ModelError
from tutortoietts.weights.convert import convert
from tutortoietts.weights.tables import TABLES

__all__ = ["build", "cache_dir", "load_model", "load_state", "model_class", "save_state"]

_log = logging.getLogger(__name__)
_CONVERSION = 1  # raise it when a table changes: older files in the cache are then not used

_CLASSES = {
    "autoregressive": "Autoregressive",
    "bigvgan": "BigVGAN",
    "classifier": "Classifier",
    "clvp": "Clvp",
    "cvvp": "Cvvp",
    "diffusion": "Diffusion",
    "dvae": "Dvae",
    "hifigan": "Hifigan",
    "random_latent": "RandomLatent",
    "univnet": "UnivNet",
    "vocos": "Vocos",
}
_FILE_IN_DIRECTORY = {"bigvgan": "vocoder", "univnet": "vocoder", "vocos": "vocoder", "hifigan": "stream_decoder"}


class _Config(Protocol):
    """Any frozen configuration of ``core.config``; each class checks its own."""


def model_class(kind: str) -> Callable[[Any], nn.Module]:
    """The class of one kind of model; ModelError for an unknown kind."""
    if kind not in _CLASSES:
        raise ModelError(f"no model of kind {kind!r}; there are {', '.join(sorted(_CLASSES))}")
    found: Callable[[Any], nn.Module] = getattr(import_module(f"tutortoietts.models.{kind}"), _CLASSES[kind])
    return found


def load_model(
    kind: str,
    path: str | os.PathLike[str],
    config: _Config,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    name: str | None = None,
    cache: bool = True,
) -> nn.Module:
    """A module of this kind with the weights of ``path``, in eval mode, without gradients.

    name: in a model directory, the file's name without ``.safetensors``. Raises ModelError naming file and key.
    """
    make = model_class(kind)
    path = Path(path)
    if path.is_dir():
        path = path / f"{name or _FILE_IN_DIRECTORY.get(kind, kind)}.safetensors"
        return build(lambda: make(config), load_state(path), device, dtype, file=path)
    expected = _expected(lambda: make(config))
    state = _our_state(kind, path, expected, cache)
    return build(lambda: make(config), state, device, dtype, file=path)


def build(
    module_factory: Callable[[], nn.Module],
    state: Mapping[str, Tensor],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    file: str | os.PathLike[str] | None = None,
) -> nn.Module:
    """The factory's module holding this state: constructed without memory, then given the tensors, strictly.

    Raises ModelError (naming ``file``) for an unknown, missing or wrongly shaped key.
    """
    with torch.device("meta"):
        module = module_factory()
    _check_strict(module.state_dict(), state, file)
    placed = {key: _placed(tensor, torch.device(device), dtype) for key, tensor in state.items()}
    module.load_state_dict(placed, strict=True, assign=True)
    for key, constant in module.named_buffers():
        if constant.is_meta:
            raise ModelError(f"constant {key} of {type(module).__name__} was made without a device", file=file, key=key)
    return module.to(device).eval().requires_grad_(False)


def load_state(path: str | os.PathLike[str], nested: str | None = None) -> dict[str, Tensor]:
    """All tensors of a file, on the CPU. nested: the entry of a pickled checkpoint that holds them, if it has one.

    Raises ModelError if the file is absent, truncated, not a checkpoint, or holds anything but plain tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: there is no such file", file=path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _tensors_only(_read_pickle(path), nested, path)


def save_state(
    path: str | os.PathLike[str],
    state: Mapping[str, Tensor],
    *,
    kind: str | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a state with our keys as safetensors, floating tensors in ``dtype``. Complete or not there at all."""
    path = Path(path)
    ready = _writable(state, dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        save_file(ready, temporary, metadata={"tutortoietts": "1", **({"kind": kind} if kind else {})})
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def cache_dir() -> Path:
    """TUTORTOIETTS_CACHE, or ``tutortoietts`` in XDG_CACHE_HOME (``~/.cache``)."""
    if own := os.environ.get("TUTORTOIETTS_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "tutortoietts"


def _our_state(kind: str, path: Path, expected: Mapping[str, torch.Size], cache: bool) -> dict[str, Tensor]:
    """The state under our keys, from a single file of either sort."""
    if path.suffix == ".safetensors":
        state = load_state(path)
        if _is_ours(path) or state.keys() == expected.keys():
            return state
        return convert(kind, state, expected=expected, file=path)
    target = _cached_name(kind, path) if cache else None
    if target is not None and target.is_file():
        try:
            return _checked(_read_safetensors(target), expected)
        except ModelError as error:
            _log.warning("converting %s again: %s", path.name, error)
    nested = TABLES[kind].nested if kind in TABLES else None
    state = convert(kind, load_state(path, nested), expected=expected, file=path)
    if target is not None:
        _store(kind, target, state)
    return state


def _expected(factory: Callable[[], nn.Module]) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {key: tensor.shape for key, tensor in factory().state_dict().items()}


def _checked(state: dict[str, Tensor], expected: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    if {key: tensor.shape for key, tensor in state.items()} != dict(expected):
        raise ModelError("the file in the cache belongs to another configuration")
    return state


def _cached_name(kind: str, path: Path) -> Path | None:
    """Where the converted file of this source lies; the name changes with the source's size and time."""
    if not path.is_file():
        return None
    source = path.resolve()
    stat = source.stat()
    place = hashlib.sha256(f"{kind} {source}".encode()).hexdigest()[:12]
    stamp = hashlib.sha256(f"{_CONVERSION} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:12]
    return cache_dir() / "converted" / f"{path.stem}-{place}-{stamp}.safetensors"


def _store(kind: str, target: Path, state: Mapping[str, Tensor]) -> None:
    """Keep a conversion, and forget older ones of the same source. A full disk costs time later, not this load."""
    try:
        save_state(target, state, kind=kind)
        for older in target.parent.glob(f"{target.name.rsplit('-', 1)[0]}-*.safetensors"):
            if older != target:
                older.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        _log.warning("could not keep the converted checkpoint in %s: %s", target.parent, error)


def _writable(state: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """On the CPU, contiguous, no two in the same memory; copied only where needed."""
    ready: dict[str, Tensor] = {}
    taken: set[int] = set()
    for key, tensor in state.items():
        kept = tensor.detach().to("cpu", dtype if dtype and tensor.is_floating_point() else tensor.dtype).contiguous()
        if kept.numel() < _stored(kept) or kept.data_ptr() in taken:
            kept = kept.clone()
        taken.add(kept.data_ptr())
        ready[key] = kept
    return ready


def _placed(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    return tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype).contiguous()


def _check_strict(own: Mapping[str, Tensor], state: Mapping[str, Tensor], file: str | os.PathLike[str] | None) -> None:
    label = "state" if file is None else str(file)
    for key in state:
        if key not in own:
            raise ModelError(f"{label}: unknown key {key}", file=file, key=key)
    for key, tensor in own.items():
        if key not in state:
            raise ModelError(f"{label}: missing key {key}", file=file, key=key)
        if state[key].shape != tensor.shape:
            raise ModelError(
                f"{label}: {key} has shape {tuple(state[key].shape)}, this configuration needs {tuple(tensor.shape)}",
                file=file,
                key=key,
            )


def _is_ours(path: Path) -> bool:
    with safe_open(path, "pt") as file:
        return "tutortoietts" in (file.metadata() or {})


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path}: not a whole safetensors file ({error})", file=path) from error


def _read_pickle(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice on storages and formats is not the user's business
            loaded: object = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except Exception as error:  # a damaged or hostile pickle can fail in any way; all of them mean the same here
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ModelError(
            f"{path}: not a checkpoint of plain tensors (truncated, damaged, or a pickle with code in it, which is "
            f"never run): {reason}",
            file=path,
        ) from error
    return loaded


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _tensors_only(loaded: object, nested: str | None, path: Path) -> dict[str, Tensor]:
    if nested is not None and isinstance(loaded, Mapping) and isinstance(loaded.get(nested), Mapping):
        loaded = loaded[nested]
    if not isinstance(loaded, Mapping):
        raise ModelError(f"{path}: holds a {type(loaded).__name__}, not tensors by name", file=path)
    state: dict[str, Tensor] = {}
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ModelError(
                f"{path}: entry {key!s} is a {type(value).__name__}, not a tensor", file=path, key=str(key)
            )
        if value.layout is not torch.strided or value.is_quantized or value.numel() > _stored(value):
            raise ModelError(f"{path}: entry {key} is not a plain dense tensor", file=path, key=key)
        state[key] = value.detach()
    return state


def _stored(tensor: Tensor) -> int:
    """How many elements the tensor's storage really holds: an expanded view claims more."""
    return tensor.untyped_storage().nbytes() // tensor.element_size()
