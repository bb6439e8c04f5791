"""Checks that modules are still those that compiled code stands in for: not replaced, subclassed, hooked or moved."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["changed_layer", "forwards"]


def forwards(*known: type[nn.Module]) -> Mapping[type[nn.Module], Any]:
    """Return the classes with their present forward methods; call it when a module is imported."""
    return {kind: kind.forward for kind in known}


def changed_layer(
    modules: Iterable[nn.Module],
    known: Mapping[type[nn.Module], Any],
    dtypes: Collection[torch.dtype],
) -> str | None:
    """Return why compiled code cannot stand in for these modules and all within them, or None if it can.

    known: classes that the code knows, from `forwards`. dtypes: numbers that it reads, contiguous and on the CPU.
    """
    for module in modules:
        for one in module.modules():
            if type(one) is nn.ModuleList:
                continue
            name = type(one).__name__
            if type(one) not in known or type(one).forward is not known[type(one)]:
                return f"a layer is a {name}"
            if "forward" in vars(one) or one._forward_hooks or one._forward_pre_hooks:
                return f"a {name} was changed"
            if not all(_plain(tensor, dtypes) for tensor in (*one.parameters(False), *one.buffers(False))):
                return f"the numbers of a {name} are of another kind, or not on the CPU"
    return None


def _plain(tensor: Tensor, dtypes: Collection[torch.dtype]) -> bool:
    return tensor.device.type == "cpu" and tensor.dtype in dtypes and tensor.is_contiguous()
