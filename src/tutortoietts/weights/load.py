"""Load modules from files. No code in a file is executed, and a module is built completely or not at all.

    load_model(kind, path, config, device="cpu", dtype=torch.float32, *, name=None, cache=True) -> module, eval, frozen
        ``path`` is a public checkpoint (.pth, .pt, .bin pickle or .safetensors with the original keys), one file of
        ours (.safetensors with our keys) or a model directory (ours; its file ``name`` or the usual one of that kind).
        A pickle is converted once to safetensors in the user's cache; ``cache=False`` leaves the cache alone.
    load_state, load_tensor: see ``weights.read``
    build(module_factory, state, device, dtype, *, file=None) -> module from a state with our keys
    save_state(path, state, *, kind=None, dtype=None) -> safetensors with our keys, written atomically
    shapes(module_factory) -> {key: shape} that such a module needs
    model_class(kind) -> the class; its one argument is its config

Kinds: those of ``core.components.COMPONENTS``.
Parameters and persistent buffers come from the state and get ``dtype``; a module's constants (buffers registered with
``persistent=False``) must be made with ``device="cpu"`` written out, because modules are built on the meta device.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tutortoietts.core.components import component, resolve
from tutortoietts.core.errors import ModelError, OptionError
from tutortoietts.core.paths import cache_dir
from tutortoietts.weights.convert import convert, nested_entry
from tutortoietts.weights.read import check_finite, is_ours, load_state, load_tensor, stored_elements

__all__ = ["build", "cache_dir", "load_model", "load_state", "load_tensor", "model_class", "save_state", "shapes"]

_log = logging.getLogger(__name__)
_CONVERSION = 1  # raise it when a table changes: older files in the cache are then not used

_DRAWS = (Tensor.normal_, Tensor.uniform_)


class _Config(Protocol):
    """Any frozen configuration of ``core.config``; each class checks its own."""


def model_class(kind: str) -> Callable[[Any], nn.Module]:
    """Return the class of one kind of model. Raises ModelError for an unknown kind."""
    found: Callable[[Any], nn.Module] = resolve(component(kind).cls)
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
    """Return a module of this kind with the weights of ``path``, in eval mode, without gradients.

    name: in a model directory, the file's name without ``.safetensors``. Raises ModelError naming file and key.
    """
    make = model_class(kind)
    path = Path(path)
    if path.is_dir():
        path = path / f"{name or component(kind).role}.safetensors"
        return build(lambda: make(config), load_state(path), device, dtype, file=path)
    expected = shapes(lambda: make(config))
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
    """Return the factory's module with this state: constructed on the meta device, then loaded strictly.

    Raises ModelError (naming ``file``) for an unknown, missing or wrongly shaped key.
    """
    module = _without_memory(module_factory)
    _check_strict(module.state_dict(), state, file)
    check_finite(state, file)
    placed = {key: _placed(tensor, torch.device(device), dtype) for key, tensor in state.items()}
    module.load_state_dict(placed, strict=True, assign=True)
    for key, constant in module.named_buffers():
        if constant.is_meta and key not in placed:
            raise ModelError(f"constant {key} of {type(module).__name__} was made without a device", file=file, key=key)
    return module.to(device).eval().requires_grad_(False)


def shapes(module_factory: Callable[[], nn.Module]) -> dict[str, torch.Size]:
    """Return the keys and shapes that a module needs, without allocating it."""
    return _shapes(_without_memory(module_factory).state_dict())


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


def _our_state(kind: str, path: Path, expected: Mapping[str, torch.Size], cache: bool) -> dict[str, Tensor]:
    """Return the state under our keys, from one file of ours or of the public ones."""
    if path.suffix == ".safetensors":
        state = load_state(path)
        if is_ours(path) or _shapes(state) == dict(expected):
            return state
        return convert(kind, state, expected=expected, file=path)
    target = _cached_name(kind, path) if cache else None
    if target is not None and target.is_file():
        try:
            return _checked(load_state(target), expected)
        except ModelError as error:
            _log.warning("converting %s again: %s", path.name, error)
    state = convert(kind, load_state(path, nested_entry(kind)), expected=expected, file=path)
    if target is not None:
        _store(kind, target, state)
    return state


class _NoInitialisation(TorchFunctionMode):
    """Mode that skips random initial values of meta tensors: torch would import its compiler for them."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _DRAWS or getattr(func, "__module__", None) == nn.init.__name__:
            target = args[0] if args else kwargs.get("tensor")
            if isinstance(target, Tensor) and target.is_meta:
                return target
        return func(*args, **kwargs)


def _without_memory(factory: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"), _NoInitialisation():
        return factory()


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {key: tensor.shape for key, tensor in state.items()}


def _checked(state: dict[str, Tensor], expected: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    if _shapes(state) != dict(expected):
        raise ModelError("the file in the cache belongs to another configuration")
    return state


def _cached_name(kind: str, path: Path) -> Path | None:
    """Return the path of the converted file of a source; its name changes with the source's size and time."""
    if not path.is_file():
        return None
    source = path.resolve()
    stat = source.stat()
    place = hashlib.sha256(f"{kind} {source}".encode()).hexdigest()[:12]
    stamp = hashlib.sha256(f"{_CONVERSION} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:12]
    try:
        folder = cache_dir() / "converted"
    except OptionError:  # no home folder is known here: nothing is kept
        return None
    return folder / f"{path.stem}-{place}-{stamp}.safetensors"


def _store(kind: str, target: Path, state: Mapping[str, Tensor]) -> None:
    """Keep a conversion, and delete older ones of the same source. An error is logged: it costs time later only."""
    try:
        save_state(target, state, kind=kind)
        for older in target.parent.glob(f"{target.name.rsplit('-', 1)[0]}-*.safetensors"):
            if older != target:
                older.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        _log.warning("could not keep the converted checkpoint in %s: %s", target.parent, error)


def _writable(state: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Return the tensors on the CPU, contiguous, no two in the same memory; copied only where needed."""
    ready: dict[str, Tensor] = {}
    taken: set[int] = set()
    for key, tensor in state.items():
        kept = tensor.detach().to("cpu", dtype if dtype and tensor.is_floating_point() else tensor.dtype).contiguous()
        if kept.numel() < stored_elements(kept) or kept.data_ptr() in taken:
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
        if state[key].is_floating_point() != tensor.is_floating_point():
            raise ModelError(f"{label}: {key} holds {state[key].dtype}, must be {tensor.dtype}", file=file, key=key)
