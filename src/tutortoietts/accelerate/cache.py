"""Compiled forms of layers, kept by module and length while the module's weights stay unchanged."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from tutortoietts.native.layer_chain import Chain

__all__ = ["KernelCache", "chains"]

T = TypeVar("T")

_MOST = 8  # lengths of a module


class KernelCache(Generic[T]):
    """Compiled forms of the `most` lengths of each module that were used last. Safe to share between threads.

    Such a form reads the weights in place but holds copies of some (position biases), and it points at their memory: it
    is kept only while the same tensors are in the same places with the same numbers.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._chains: WeakKeyDictionary[nn.Module, OrderedDict[int, tuple[Hashable, T]]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def get(self, module: nn.Module, layers: Iterable[nn.Module], length: int, build: Callable[[], T]) -> T:
        """Return the form of `module` for `length` frames; `build` makes it from `layers`, if there is none."""
        state = _state(layers)
        with self._lock:
            known = self._chains.setdefault(module, OrderedDict())
            before = known.get(length)
            if before is not None and before[0] == state:
                known.move_to_end(length)
                return before[1]
        made = build()
        with self._lock:
            known[length] = (state, made)
            known.move_to_end(length)
            while len(known) > self._most:
                known.popitem(last=False)
        return made


chains: KernelCache[Chain] = KernelCache()
"""Chains of this process's models."""


def _state(layers: Iterable[nn.Module]) -> Hashable:
    """Return a value that changes with the modules, the place of their tensors and their numbers."""
    modules = [module for layer in layers for module in layer.modules()]
    tensors = (tensor for module in modules for tensor in (*module.parameters(False), *module.buffers(False)))
    norms = ((id(module), getattr(module, "eps", None)) for module in modules)
    return torch.get_num_threads(), *norms, *map(_version, tensors)


def _version(tensor: Tensor) -> Hashable:
    """Return a tensor's place and version; for an inference tensor, which has none, a value equal to no other."""
    return object() if tensor.is_inference() else (tensor.data_ptr(), tensor._version)
